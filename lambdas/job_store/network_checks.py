"""Checks of a job's network, as soon as enough is known of the data, and again with all facts.

Only functions that have torch call them.
"""

from __future__ import annotations

from functools import partial
from math import prod

from lambdas.job_store.code import ready_code
from lambdas.job_store.plans import PartitionPlan
from lambdas.job_store.room import require_room
from lambdas.job_store.store import JobStore
from stepml.job.choices import with_rows
from stepml.job.errors import InvalidJobError, InvalidNetworkError
from stepml.job.models import Neural
from stepml.job.spec import JobSpec
from stepml.ml.data import Manifest
from stepml.ml.models import NetworkLayout, NeuralNetwork, build_model
from stepml.ml.neural.code import directory_of

_GUESSED_CLASSES = 10


def check_network_of(
    store: JobStore, plan: PartitionPlan, manifest: Manifest | None, most_model_bytes: int
) -> list[NetworkLayout]:
    """Build the job's network, take a step with it on random rows, and return its layout.

    While the number of outputs is unknown, a second layout is that with one more. There is none if
    the network takes one number alone, or if the shape of rows is unknown.

    Parameters
    ----------
    store : JobStore
    plan : PartitionPlan
    manifest : Manifest, or None
        Of the data; None: they have not been read, so that labels, and perhaps the shape of rows,
        are unknown.
    most_model_bytes : int
        The memory of a function for a model.

    Raises
    ------
    InvalidNetworkError
        The network cannot be built, or does not suit the rows.
    InvalidJobError
        ``exchange.server_update`` does not suit the network.
    ModelTooLargeError
        Training it would take more memory than ``most_model_bytes``.
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
        return []
    labels = _guessed_labels(spec.model) if manifest is None else manifest.labels
    model = build_model(spec.model, prod(spec.model.input_shape), labels)
    assert isinstance(model, NeuralNetwork)
    is_known = manifest is not None or model.n_outputs == 1
    layout = check_network(
        spec.model,
        model.input_shape,
        model.n_outputs,
        code,
        outputs_are_known=is_known,
        require_room=partial(require_room, spec, most_model_bytes=most_model_bytes),
    )
    require_steps_of_gradients(spec, layout)
    if is_known or spec.model.weights is None:
        return [layout]
    try:
        return [layout, layout_of(spec.model, model.input_shape, model.n_outputs + 1, code)]
    except InvalidNetworkError:
        return []


def require_steps_of_gradients(spec: JobSpec, network: NetworkLayout) -> None:
    """Raise `InvalidJobError` if a server would take steps of statistics without a gradient."""
    if spec.exchange.server_update != "none" and network.rest:
        raise InvalidJobError(
            "exchange.server_update: the server takes steps along gradients, but the network has "
            f"statistics of batches or constants, such as {network.rest[0].name!r}; "
            f"expected 'none', got {spec.exchange.server_update!r}"
        )


def _guessed_labels(model: Neural) -> list[float]:
    n_labels = _GUESSED_CLASSES if model.loss == "cross_entropy" else 2
    return [float(label) for label in range(n_labels)]
