"""Networks on torch, from the model of a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from stepml.job.errors import InvalidNetworkError
from stepml.job.models import Neural
from stepml.ml.neural.bound import BoundNetwork
from stepml.ml.neural.deployed import fill
from stepml.ml.neural.layout import Array, ChannelScale
from stepml.ml.neural.losses import Loss, loss_named, of_targets
from stepml.ml.neural.networks import build_network
from stepml.ml.neural.own import OwnNetwork, own_network
from stepml.ml.neural.settings import seeded


def bound_network(
    spec: Neural,
    input_shape: Sequence[int],
    n_outputs: int,
    channels: ChannelScale | None,
    code: Path | None,
    seed: int,
) -> BoundNetwork:
    """Return a network whose parameters are drawn with ``seed``.

    Other parameters as of `NeuralNetwork`; errors as of `own_network` and `BoundNetwork`.
    """
    with seeded(seed):
        own = parts_of(spec, input_shape, n_outputs, code)
    loss = loss_named(spec.loss, spec.label_smoothing)
    row_losses: Loss | None = loss_named(spec.loss, spec.label_smoothing, of_rows=True)
    if own.loss is not None:
        loss, row_losses = of_targets(own.loss, spec.loss), None
    return BoundNetwork(
        own.module,
        loss,
        input_shape,
        channels,
        own.transform,
        has_own_loss=own.loss is not None,
        row_losses=row_losses,
    )


def trained_module(
    spec: Neural,
    input_shape: Sequence[int],
    n_outputs: int,
    code: Path | None,
    arrays: Mapping[str, Array],
) -> nn.Module:
    """Return a new network with the tensors ``arrays``.

    Other parameters as of `NeuralNetwork`; errors as of `own_network` and `fill`.
    """
    with seeded(0):
        module = parts_of(spec, input_shape, n_outputs, code).module
    fill(module, arrays)
    return module


def parts_of(
    spec: Neural, input_shape: Sequence[int], n_outputs: int, code: Path | None
) -> OwnNetwork:
    """Return a network of StepML's, or the one that the user's function returns."""
    if spec.entry_point is None:
        return OwnNetwork(build_network(spec.built_in, input_shape, n_outputs))
    if code is None:
        raise InvalidNetworkError(
            f"the network is made by {spec.entry_point!r} in code of your own, which runs only if "
            "you name it: stepml.load_model(…, code=PATH), or --code PATH"
        )
    return own_network(code, spec.entry_point, spec.options, input_shape, n_outputs)
