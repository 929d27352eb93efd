"""The pace of a neural network, which no rehearsal on a sample foretells: customary values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from stepml.job.algorithm_base import Descent
from stepml.job.choices import filled
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled

_Fields = TypeVar("_Fields", bound=Descent)

_ADAM_RATE = 1e-3  # Kingma and Ba, 2015, section 2
_SGD_RATE = 0.05
_LEAST_ROWS, _MOST_ROWS = 16, 128  # of all ranks in a step, or of a rank that descends alone
_STEPS_AN_EPOCH = 40  # with few rows
_STEPS = 2000
_LEAST_EPOCHS, _MOST_EPOCHS = 5, 20


def with_network_pace(
    spec: JobSpec, algorithm: _Fields, shard_rows: Sequence[int], most_rows: int | None = None
) -> JobSpec:
    """Return the job with values in the open fields of ``algorithm``, and a maximum of epochs.

    Parameters
    ----------
    spec : JobSpec
    algorithm : Descent
        That of the job.
    shard_rows : sequence of int
        Rows of each rank.
    most_rows : int, optional
        The largest batch of a rank whose activations fit into a function.
    """
    kind = algorithm.optimiser or ("adam" if algorithm.momentum is None else "sgd")
    share = 1 if algorithm.averages_models else len(shard_rows)
    rows = sum(shard_rows) * share // len(shard_rows) // _STEPS_AN_EPOCH
    rows = -(-min(max(rows, _LEAST_ROWS), _MOST_ROWS) // share)
    algorithm = filled(
        algorithm,
        {
            "batch_size": min(rows, max(shard_rows), rows if most_rows is None else most_rows),
            "optimiser": kind,
            "learning_rate": _ADAM_RATE if kind == "adam" else _SGD_RATE,
            "momentum": 0.0 if kind == "adam" else 0.9,
            "schedule": "cosine" if algorithm.learning_rate is None else "constant",
        },
    )
    steps = -(-max(shard_rows) // settled(algorithm.batch_size))
    epochs = min(max(_LEAST_EPOCHS, -(-_STEPS // steps)), _MOST_EPOCHS)
    stop = filled(spec.stop, {"max_epochs": epochs})
    return msgspec.structs.replace(spec, algorithm=algorithm, stop=stop)
