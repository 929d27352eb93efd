"""A small convolutional network for the images of handwritten digits."""

from __future__ import annotations

from torch import nn


def network(input_shape: tuple[int, ...], n_outputs: int, width: int = 16) -> nn.Module:
    channels, rows, columns = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size=3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(width * (rows // 2) * (columns // 2), n_outputs),
    )
