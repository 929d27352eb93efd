"""States of the model, as they are stored after each epoch, and a rank's progress in one."""

from __future__ import annotations

import numpy as np

from stepml.ml.algorithms import Progress
from stepml.ml.data import arrays
from stepml.ml.data.objects import Buffer
from stepml.ml.models.base import Floats


def pack_state(parameters: Floats, epoch: int) -> bytes:
    """Return the model's state after ``epoch`` as a container of arrays."""
    return bytes(arrays.pack({"parameters": parameters}, {"epoch": str(epoch)}))


def unpack_state(data: Buffer) -> Floats:
    """Return the parameters, a read-only view of ``data``; damage is a `DamagedValueError`."""
    return arrays.unpack_named(data, ("parameters",))["parameters"]


def pack_progress(progress: Progress) -> bytes:
    """Return how far a rank is in its epoch as a container of arrays."""
    counts = np.array([progress.batches_done, progress.rows_seen], np.int64)
    loss = np.array([progress.loss_sum], np.float64)
    return bytes(arrays.pack({"parameters": progress.parameters, "counts": counts, "loss": loss}))


def unpack_progress(data: Buffer) -> Progress:
    """Return the progress that `pack_progress` wrote."""
    views = arrays.unpack_named(data, ("parameters", "counts", "loss"))
    batches_done, rows_seen = views["counts"].tolist()
    return Progress(views["parameters"], batches_done, float(views["loss"][0]), rows_seen)
