"""States of the model, as they are stored after each epoch, and a rank's progress in one."""

from __future__ import annotations

import numpy as np
import xxhash

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
    counts = np.array([progress.batches_done, progress.rows_seen, progress.finished], np.int64)
    loss = np.array([progress.loss_sum], np.float64)
    return bytes(arrays.pack({"parameters": progress.parameters, "counts": counts, "loss": loss}))


def unpack_progress(data: Buffer) -> Progress:
    """Return the progress that `pack_progress` wrote."""
    views = arrays.unpack_named(data, ("parameters", "counts", "loss"))
    batches_done, rows_seen, finished = views["counts"].tolist()
    loss_sum = float(views["loss"][0])
    return Progress(views["parameters"], batches_done, loss_sum, rows_seen, bool(finished))


def digest_of(parameters: Floats) -> str:
    """Return what tells replicas with other bits apart."""
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(parameters).data)
