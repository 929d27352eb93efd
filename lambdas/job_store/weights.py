"""The user's own first parameters of a network."""

from __future__ import annotations

from lambdas.job_store.given_objects import GivenObject, OpenBucket
from stepml.job.errors import DamagedValueError, InvalidJobError
from stepml.job.models import Neural
from stepml.ml.data import arrays
from stepml.ml.matrices import Floats
from stepml.ml.models import NeuralNetwork
from stepml.ml.neural.weights import with_weights

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
    content = _object(spec.weights).load(open_bucket)
    try:
        found, _ = arrays.unpack(content)
    except DamagedValueError as error:
        raise InvalidJobError(
            f"{_FIELD}: expected a safetensors file of float16, float32 or float64 at "
            f"{spec.weights}: {error}"
        ) from error
    return with_weights(model.network, drawn, found, spec.reset)


def _object(uri: str) -> GivenObject:
    return GivenObject(_FIELD, uri, "a file", MOST_BYTES)
