"""Fully connected layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from stepml.job import networks as specs

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def mlp(spec: specs.Mlp, input_shape: Sequence[int], n_outputs: int) -> nn.Module:
    """Return layers of ``spec.hidden`` units and one of ``n_outputs``."""
    units = [math.prod(input_shape), *spec.hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for n_inputs, n_units in pairwise(units):
        layers += [nn.Linear(n_inputs, n_units), _ACTIVATIONS[spec.activation]()]
    if spec.dropout:
        layers.append(nn.Dropout(spec.dropout))
    return nn.Sequential(*layers, nn.Linear(units[-1], n_outputs))
