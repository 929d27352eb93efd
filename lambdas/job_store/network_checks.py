"""Checks of a job's network, as soon as enough is known of the data, and again with all facts.

Only functions that have torch call them.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from lambdas.job_store.code import ready_code
from lambdas.job_store.plans import PartitionPlan, TrainingPlan
from lambdas.job_store.store import JobStore
from lambdas.job_store.training_memory import StepRows, TrainingMemory
from stepml.job.choices import with_rows
from stepml.job.errors import InvalidJobError, InvalidNetworkError
from stepml.job.models import Neural
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled
from stepml.ml.class_names import NUMBERS
from stepml.ml.data import Manifest
from stepml.ml.job_shards import split_of
from stepml.ml.models import NetworkLayout, NeuralNetwork, build_model
from stepml.ml.own.code import directory_of

_GUESSED_CLASSES = 10


class NetworkFacts(NamedTuple):
    """Facts about a job's network.

    While the number of outputs is unknown, a second layout is that with one more. There is none if
    the network takes one number alone, or if the shape of rows is unknown.
    """

    layouts: list[NetworkLayout]
    saved_row_bytes: int = 0  # activations of a row in training


def check_network_of(
    store: JobStore, plan: PartitionPlan, manifest: Manifest | None, function_mb: int
) -> NetworkFacts:
    """Build the job's network, and take a step with it on random rows.

    Parameters
    ----------
    store : JobStore
    plan : PartitionPlan
    manifest : Manifest, or None
        Of the data; None: they have not been read, so that labels, and perhaps the shape of rows,
        are unknown.
    function_mb : int
        The memory of an executor.

    Raises
    ------
    InvalidNetworkError
        The network cannot be built, or does not suit the rows, or takes too long.
    InvalidJobError
        ``exchange.server_update`` or ``data.weight`` does not suit the network.
    ModelTooLargeError
        Training it takes more memory than an executor has.
    """
    from stepml.ml.neural.checks import check_network, check_source, layout_of

    ready_code(store.storage, plan.code)
    code = directory_of(plan.code) if plan.code else None
    spec = plan.spec
    if manifest is not None:
        spec = with_rows(spec, manifest.n_features, manifest.layout.row_shape)
    assert isinstance(spec.model, Neural)
    if spec.model.input_shape is None:
        check_source(spec.model, code)
        return NetworkFacts([])
    labels = _guessed_labels(spec.model) if manifest is None else manifest.labels
    names = NUMBERS if manifest is None else manifest.names
    n_features = prod(spec.model.input_shape)
    model = build_model(spec.model, n_features, labels, code=code, names=names)
    assert isinstance(model, NeuralNetwork)
    is_known = manifest is not None or model.n_outputs == 1
    rows = _rows_of(plan, spec, manifest)

    def require_room(n_parameters: int, saved_row_bytes: int = 0) -> None:
        TrainingMemory(spec, n_parameters, saved_row_bytes, rows).require(function_mb)

    layout, saved_row_bytes = check_network(
        spec.model,
        model.input_shape,
        model.n_outputs,
        code,
        outputs_are_known=is_known,
        require_room=require_room,
    )
    require_room(layout.n_parameters, saved_row_bytes)
    _require_row_losses(spec, model)
    require_steps_of_gradients(spec, layout)
    if is_known or spec.model.weights is None:
        return NetworkFacts([layout], saved_row_bytes)
    try:
        other = layout_of(spec.model, model.input_shape, model.n_outputs + 1, code)
    except InvalidNetworkError:
        return NetworkFacts([], saved_row_bytes)
    return NetworkFacts([layout, other], saved_row_bytes)


def most_batch_size(draft: TrainingPlan, network: NetworkFacts, function_mb: int) -> int | None:
    """Return the rows of a rank's batch for which executors have memory; None: for any.

    Raises
    ------
    ModelTooLargeError
        The job asks for more, or there is memory for none.
    """
    if not network.layouts:
        return None
    n_parameters, rows = network.layouts[0].n_parameters, StepRows.of(draft)
    memory = TrainingMemory(draft.spec, n_parameters, network.saved_row_bytes, rows)
    memory.require(function_mb)
    return memory.most_batch_size(function_mb)


def require_rows_enough(plan: TrainingPlan) -> None:
    """Raise `InvalidNetworkError` if ranks step with one row, and the user's network needs more."""
    model = plan.model()
    if not isinstance(model, NeuralNetwork) or not model.spec.needs_code:
        return
    if 1 not in _rows_of_steps(plan):
        return
    from stepml.ml.neural.checks import check_row_alone

    check_row_alone(model.bound, model.spec, directory_of(plan.code))


def _rows_of_steps(plan: TrainingPlan) -> set[int]:
    """Return the numbers of rows whose gradient a rank computes at once."""
    descent, batches = settled(plan.spec.algorithm).as_descent, set[int]()
    assert descent is not None  # others train no networks
    for rows in plan.shard_rows:
        most = rows if descent.averages_models else max(plan.shard_rows)
        n_batches = -(-most // settled(descent.batch_size))
        batches |= {rows // n_batches, -(-rows // n_batches)}
    parts = [(rows, min(descent.parts or 1, rows)) for rows in batches if rows]
    return {each for rows, n in parts for each in (rows // n, -(-rows // n))}


def _rows_of(plan: PartitionPlan, spec: JobSpec, manifest: Manifest | None) -> StepRows:
    if manifest is None:
        assert isinstance(spec.model, Neural)
        return StepRows.at_least(plan, prod(spec.model.input_shape or ()))
    _, shards = split_of(spec, manifest)
    return StepRows(max(interval.n_rows for interval in shards.shards))


def require_steps_of_gradients(spec: JobSpec, network: NetworkLayout) -> None:
    """Raise `InvalidJobError` if a server would take steps of statistics without a gradient."""
    if spec.exchange.server_update != "none" and network.rest:
        raise InvalidJobError(
            "exchange.server_update: the server takes steps along gradients, but the network has "
            f"statistics of batches or constants, such as {network.rest[0].name!r}; "
            f"expected 'none', got {spec.exchange.server_update!r}"
        )


def _require_row_losses(spec: JobSpec, model: NeuralNetwork) -> None:
    if spec.data.weight is not None and model.code is not None and model.bound.has_own_loss:
        raise InvalidJobError(
            "data.weight: expected none with a loss of the network's own, which is one number for "
            f"all rows; got {spec.data.weight!r}"
        )


def _guessed_labels(model: Neural) -> list[float]:
    n_labels = _GUESSED_CLASSES if model.loss == "cross_entropy" else 2
    return [float(label) for label in range(n_labels)]
