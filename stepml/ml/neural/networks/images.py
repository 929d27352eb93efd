"""Common parts of convolutional networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

Channels = int

_SMALL = 64  # pixels of height or width up to which the first layers keep the size


def halves_at_once(input_shape: Sequence[int]) -> bool:
    """Return whether images are large enough for first layers that halve their size."""
    return min(input_shape[1:]) > _SMALL


def convolution(
    n_inputs: Channels, n_outputs: Channels, *, size: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Return a square convolution and the normalisation of its batch."""
    layer = nn.Conv2d(
        n_inputs, n_outputs, size, stride, padding=size // 2, groups=groups, bias=False
    )
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return [layer, nn.BatchNorm2d(n_outputs)]


def head(n_inputs: Channels, n_outputs: int, dropout: float = 0.0) -> list[nn.Module]:
    """Return the mean of each channel and a layer of ``n_outputs``."""
    dropped = [nn.Dropout(dropout)] if dropout else []
    return [
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        *dropped,
        nn.Linear(n_inputs, n_outputs),
    ]
