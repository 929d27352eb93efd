"""The user's own first parameters of a network."""

from __future__ import annotations

from collections.abc import Sequence

from lambdas.job_store.given_objects import GivenObject, OpenBucket
from stepml.job.errors import DamagedValueError, InvalidJobError
from stepml.job.models import Neural
from stepml.ml.data import arrays
from stepml.ml.matrices import Floats
from stepml.ml.models import NetworkLayout, NeuralNetwork
from stepml.ml.models.base import Array
from stepml.ml.neural.weights import chosen_tensors, with_weights

MOST_BYTES = 2**29  # in a function of 3 GB, beside the network

_FIELD = "model.weights"


def require_weights(uri: str | None, open_bucket: OpenBucket) -> None:
    """Raise `InvalidJobError` if functions cannot read the file; None is none."""
    if uri is not None:
        _object(uri).require(open_bucket)


def first_parameters(
    model: NeuralNetwork, spec: Neural, drawn: Floats, open_bucket: OpenBucket
) -> Floats:
    """Return the parameters of ``model.weights``; without it, those that were ``drawn``.

    Raises
    ------
    InvalidJobError
        The file is absent, or no safetensors, or its tensors are not those of the network.
    """
    if spec.weights is None:
        return drawn
    return with_weights(model.network, drawn, _tensors(spec.weights, open_bucket), spec.reset)


def check_weights(spec: Neural, layouts: Sequence[NetworkLayout], open_bucket: OpenBucket) -> None:
    """Compare the tensors of ``model.weights`` with the network; errors as of `first_parameters`.

    ``layouts`` are those of `chosen_tensors`. Without any, only the file is checked.
    """
    if spec.weights is None:
        return
    given = _tensors(spec.weights, open_bucket)
    if layouts:
        chosen_tensors(layouts, given, spec.reset)


def _tensors(uri: str, open_bucket: OpenBucket) -> dict[str, Array]:
    content = _object(uri).load(open_bucket)
    try:
        found, _ = arrays.unpack(content)
    except DamagedValueError as error:
        raise InvalidJobError(
            f"{_FIELD}: expected a safetensors file of float16, float32 or float64 at {uri}: "
            f"{error}"
        ) from error
    return found


def _object(uri: str) -> GivenObject:
    return GivenObject(_FIELD, uri, "a file", MOST_BYTES)
