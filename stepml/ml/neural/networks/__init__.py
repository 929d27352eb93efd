"""The networks that StepML brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from stepml.job import networks as specs
from stepml.ml.neural.networks.mlp import mlp
from stepml.ml.neural.networks.mobilenet import mobilenet
from stepml.ml.neural.networks.resnet import resnet18, resnet50

_BUILDERS: dict[type, Callable[[Any, Sequence[int], int], nn.Module]] = {
    specs.Mlp: mlp,
    specs.Mobilenet: mobilenet,
    specs.Resnet18: resnet18,
    specs.Resnet50: resnet50,
}


def build_network(spec: specs.Network, input_shape: Sequence[int], n_outputs: int) -> nn.Module:
    """Return a network with random parameters, drawn by torch's generator.

    Parameters
    ----------
    spec : Network
    input_shape : sequence of int
        Of one row: (features,) or (channels, height, width).
    n_outputs : int
    """
    return _BUILDERS[type(spec)](spec, input_shape, n_outputs)
