"""MobileNet: Howard et al., MobileNets: Efficient Convolutional Neural Networks, 2017, table 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from stepml.job import networks as specs
from stepml.ml.neural.networks.images import Channels, convolution, halves_at_once, head

_FIRST = 32


def mobilenet(spec: specs.Mobilenet, input_shape: Sequence[int], n_outputs: int) -> nn.Module:
    """Return the network; on small images, the first convolution keeps their size."""

    def channels(usual: int) -> int:
        return max(8, int(usual * spec.width))

    stride = 2 if halves_at_once(input_shape) else 1
    layers: list[nn.Module] = [
        *convolution(input_shape[0], channels(_FIRST), size=3, stride=stride),
        nn.ReLU(inplace=True),
    ]
    before = channels(_FIRST)
    for usual, stride in _blocks(spec.depth):
        layers += _separable(before, channels(usual), stride)
        before = channels(usual)
    return nn.Sequential(*layers, *head(before, n_outputs, spec.dropout))


def _blocks(depth: int) -> Iterator[tuple[Channels, int]]:
    """Yield channels, at width 1, and stride of each block."""
    yield from ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
    yield from ((512, 1),) * depth
    yield from ((1024, 2), (1024, 1))


def _separable(n_inputs: Channels, n_outputs: Channels, stride: int) -> list[nn.Module]:
    """Return a convolution of each channel, then one of each pixel."""
    return [
        *convolution(n_inputs, n_inputs, size=3, stride=stride, groups=n_inputs),
        nn.ReLU(inplace=True),
        *convolution(n_inputs, n_outputs, size=1),
        nn.ReLU(inplace=True),
    ]
