"""Residual networks: He et al., Deep Residual Learning for Image Recognition, 2016, table 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from stepml.job import networks as specs
from stepml.ml.neural.networks.images import Channels, convolution, halves_at_once, head

_WIDENING = 4  # of a bottleneck: channels of its result, relative to those within
_Layers = Callable[[Channels, Channels, int], list[nn.Module]]


def resnet18(spec: specs.Resnet18, input_shape: Sequence[int], n_outputs: int) -> nn.Module:
    """Return 8 blocks of two convolutions."""
    return _resnet(_basic, (2, 2, 2, 2), 1, spec.width, input_shape, n_outputs)


def resnet50(spec: specs.Resnet50, input_shape: Sequence[int], n_outputs: int) -> nn.Module:
    """Return 16 bottlenecks of three convolutions."""
    return _resnet(_bottleneck, (3, 4, 6, 3), _WIDENING, spec.width, input_shape, n_outputs)


class Residual(nn.Module):
    """A block whose result is added to its input, which a projection gives the same shape."""

    def __init__(self, block: nn.Module, projection: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.projection = projection
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the result of the block."""
        result: Tensor = self.activation(self.block(x) + self.projection(x))
        return result


def _resnet(
    layers: _Layers,
    n_blocks: Sequence[int],
    widening: int,
    width: Channels,
    input_shape: Sequence[int],
    n_outputs: int,
) -> nn.Module:
    stages: list[nn.Module] = []
    before = width
    for stage, n in enumerate(n_blocks):
        for number in range(n):
            stride = 2 if stage and not number else 1
            stages.append(_residual(layers, before, width << stage, widening, stride))
            before = (width << stage) * widening
    first = _first_layers(input_shape, width)
    return nn.Sequential(*first, *stages, *head(before, n_outputs))


def _first_layers(input_shape: Sequence[int], width: Channels) -> list[nn.Module]:
    if not halves_at_once(input_shape):
        return [*convolution(input_shape[0], width, size=3), nn.ReLU(inplace=True)]
    return [
        *convolution(input_shape[0], width, size=7, stride=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]


def _residual(
    layers: _Layers, n_inputs: Channels, width: Channels, widening: int, stride: int
) -> Residual:
    n_outputs = width * widening
    projection: nn.Module = nn.Identity()
    if stride > 1 or n_inputs != n_outputs:
        projection = nn.Sequential(*convolution(n_inputs, n_outputs, size=1, stride=stride))
    return Residual(nn.Sequential(*layers(n_inputs, width, stride)), projection)


def _basic(n_inputs: Channels, width: Channels, stride: int) -> list[nn.Module]:
    return [
        *convolution(n_inputs, width, size=3, stride=stride),
        nn.ReLU(inplace=True),
        *convolution(width, width, size=3),
    ]


def _bottleneck(n_inputs: Channels, width: Channels, stride: int) -> list[nn.Module]:
    return [
        *convolution(n_inputs, width, size=1),
        nn.ReLU(inplace=True),
        *convolution(width, width, size=3, stride=stride),
        nn.ReLU(inplace=True),
        *convolution(width, width * _WIDENING, size=1),
    ]
