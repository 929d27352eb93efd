"""Batch size, number of epochs, and the shape of the steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from stepml.job.algorithm_base import AlgorithmSpec, Descent
from stepml.job.choices import filled
from stepml.job.spec import MOST_CHOSEN_EPOCHS, Exchange, JobSpec
from stepml.job.spec_base import settled
from stepml.ml.choices.networks import with_network_pace

# With momentum and a falling rate, so many steps are enough for problems of ordinary condition.
_STEPS = 1000
_LEAST_AN_EPOCH, _MOST_AN_EPOCH = 50, 200  # steps, if max_epochs is open
_LEAST_EPOCHS, _MOST_EPOCHS = 5, 20
_EPOCHS_AHEAD = 3  # from the minimum of a sample
_STEP_ROWS = 1000  # of large data: more rows do not make a step better
LEAST_ROWS = 8  # of a gradient


def with_pace(spec: JobSpec, shard_rows: Sequence[int], most_rows: int | None = None) -> JobSpec:
    """Return the job with batch size, optimiser, schedule and maximum of epochs.

    Parameters
    ----------
    spec : JobSpec
        With an algorithm.
    shard_rows : sequence of int
        Rows of each rank.
    most_rows : int, optional
        The largest batch of a rank whose activations fit into a function.
    """
    algorithm = settled(spec.algorithm).chosen()
    if not spec.model.is_convex and isinstance(algorithm, Descent):
        return with_network_pace(spec, algorithm, shard_rows, most_rows)
    descent = algorithm.rehearsed(spec.model)
    if descent is not None:
        batch_size = _batch_size(descent, spec.stop.max_epochs, shard_rows)
        values = {"batch_size": batch_size} | _shape(algorithm, spec.exchange)
        algorithm = filled(algorithm, values)
    epochs = algorithm.usual_epochs
    if isinstance(algorithm, Descent):
        steps = -(-max(shard_rows) // settled(algorithm.batch_size))
        usual = min(max(_LEAST_EPOCHS, -(-_STEPS // steps)), _MOST_EPOCHS)
        if algorithm.starts_at_sample and not spec.stop.has_target:
            usual = _EPOCHS_AHEAD
        warm = math.ceil(2 * algorithm.warmup_epochs)  # the rate is reached, and can fall
        epochs = max(usual, min(warm, MOST_CHOSEN_EPOCHS))
    return msgspec.structs.replace(
        spec, algorithm=algorithm, stop=filled(spec.stop, {"max_epochs": epochs})
    )


def _batch_size(descent: Descent, max_epochs: int | None, shard_rows: Sequence[int]) -> int:
    """Return the rows of each rank in a step: a share of a batch of all ranks."""
    rows, world_size = sum(shard_rows), len(shard_rows)
    if max_epochs is None:
        steps = min(max(_LEAST_AN_EPOCH, rows // _STEP_ROWS), _MOST_AN_EPOCH)
    else:
        steps = min(max(_LEAST_AN_EPOCH, _STEPS // max_epochs), _STEPS)
    batch = -(-rows // steps)
    # Ranks that descend alone see no other rows, so a small batch is only theirs.
    least = LEAST_ROWS if descent.averages_models else -(-LEAST_ROWS // world_size)
    return min(max(-(-batch // world_size), least), max(shard_rows))


def _shape(algorithm: AlgorithmSpec, exchange: Exchange) -> dict[str, float | str]:
    """Return optimiser, momentum and schedule.

    They go with the learning rate: one that is given is that of plain steps, if nothing else is.
    """
    if not isinstance(algorithm, Descent):
        return {}
    given = algorithm.optimiser or ("sgd" if algorithm.momentum else None)
    kind = given or ("adam" if exchange.server_update == "adam" else "sgd")
    is_plain = kind == "adam" or algorithm.learning_rate is not None
    schedule = "constant" if algorithm.learning_rate is not None else "cosine"
    return {"optimiser": kind, "momentum": 0.0 if is_plain else 0.9, "schedule": schedule}
