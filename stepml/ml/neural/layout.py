"""Facts about a network that functions without torch need as well."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from stepml.ml.matrices import Floats, Floats64

Array = npt.NDArray[Any]

SCALE_ARRAYS = {
    f"feature_{name}": name
    for name in ("fill", "mean", "scale", "fine", "fine_mean", "fine_fill", "moved")
}
"""The arrays of the features' scale by their names in an artifact; tensors have other names."""


COUNTER = "num_batches_tracked"
"""The last part of the names of batch normalisation's counters, which are not used here."""


@dataclass(frozen=True, slots=True)
class ChannelScale:
    """The normalisation of images: ``(x - mean) / deviation`` in each channel."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def of(cls, means: Floats64, variances: Floats64, n_channels: int) -> Self:
        """Return the scale of images, given moments of each pixel of each channel."""
        means, variances = means.reshape(n_channels, -1), variances.reshape(n_channels, -1)
        whole = variances.mean(axis=1) + means.var(axis=1)
        whole[whole <= 0] = 1
        return cls(tuple(means.mean(axis=1).tolist()), tuple(np.sqrt(whole).tolist()))


@dataclass(frozen=True, slots=True)
class Tensor:
    """One array of a network."""

    name: str  # as torch's state_dict has it
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class NetworkLayout:
    """The places of a network's tensors in its vector of parameters.

    First come those that gradients train, then statistics of batches and constants.
    """

    trained: tuple[Tensor, ...]
    rest: tuple[Tensor, ...] = ()

    @property
    def n_trained(self) -> int:
        """The number of parameters that are trained."""
        return sum(tensor.size for tensor in self.trained)

    @property
    def n_parameters(self) -> int:
        """The length of the vector."""
        return self.n_trained + sum(tensor.size for tensor in self.rest)

    def arrays(self, w: Floats) -> dict[str, Array]:
        """Return the tensors of the vector ``w`` as views, by name."""
        return {name: w[place].reshape(shape) for name, place, shape in self._places()}

    def vector(self, arrays: Mapping[str, Array]) -> Floats:
        """Return the vector of these tensors.

        Raises
        ------
        KeyError, ValueError
            One is missing, or has another shape.
        """
        w = np.empty(self.n_parameters, np.float32)
        for name, place, shape in self._places():
            if arrays[name].shape != shape:
                raise ValueError(f"{name}: shape {shape} expected, {arrays[name].shape} found")
            w[place] = arrays[name].reshape(-1)
        return w

    def _places(self) -> Iterator[tuple[str, slice, tuple[int, ...]]]:
        start = 0
        for tensor in (*self.trained, *self.rest):
            yield tensor.name, slice(start, start + tensor.size), tensor.shape
            start += tensor.size
