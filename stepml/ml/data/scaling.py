"""Mean and variance of features over all shards, and the scale that standardises by them.

They are taken of shards, not of ranges: sums of floats depend on the order of addition, and
shards do not depend on how the bytes were cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data import arrays
from stepml.ml.data.objects import Buffer

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]

# Rows that are widened to float64 at a time.
_BLOCK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and sum of squared deviations of each feature."""

    n: int  # rows
    mean: Floats64  # (n_features,)
    m2: Floats64  # (n_features,)

    def pack(self) -> bytearray:
        """Return the moments as a container of arrays."""
        return arrays.pack({"n": np.array(self.n), "mean": self.mean, "m2": self.m2})

    @classmethod
    def unpack(cls, data: Buffer) -> Moments:
        """Return the moments that `pack` wrote."""
        views = arrays.unpack_named(data, ("n", "mean", "m2"))
        return cls(int(views["n"]), views["mean"], views["m2"])


@dataclass(frozen=True, slots=True)
class Scale:
    """What `standardise` subtracts and divides by."""

    mean: Floats32  # (n_features,)
    scale: Floats32  # (n_features,) standard deviation; 1 where a feature is constant

    def pack(self) -> bytearray:
        """Return the scale as a container of arrays."""
        return arrays.pack({"mean": self.mean, "scale": self.scale})

    @classmethod
    def unpack(cls, data: Buffer) -> Scale:
        """Return the scale that `pack` wrote."""
        views = arrays.unpack_named(data, ("mean", "scale"))
        return cls(views["mean"], views["scale"])


def feature_moments(X: Floats32) -> Moments:
    """Return the moments of a shard's features, computed in float64.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), at least one sample
    """
    blocks = (X[first : first + _BLOCK_ROWS] for first in range(0, len(X), _BLOCK_ROWS))
    return merge_moments(map(_block_moments, blocks))


def merge_moments(moments: Iterable[Moments]) -> Moments:
    """Return the moments of all rows; the order of ``moments`` decides the last bits.

    Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, 1979.
    """
    return reduce(_merge_two, moments)


def scale_of(moments: Moments) -> Scale:
    """Return the scale that gives each feature mean 0 and variance 1."""
    variance = moments.m2 / moments.n
    # The variance of a constant is not 0 but of the size of its mean's rounding error.
    eps = np.finfo(np.float64).eps
    rounding = moments.n * eps * variance + (moments.n * moments.mean * eps) ** 2
    deviation = np.where(variance <= rounding, 1.0, np.sqrt(variance)).astype(np.float32)
    # A deviation below the smallest float32 is constant, too.
    return Scale(moments.mean.astype(np.float32), np.where(deviation == 0, 1, deviation))


def standardise(X: Floats32, scale: Scale) -> Floats32:
    """Return ``(X - mean) / scale``, a new array of the same shape."""
    standardised: Floats32 = X - scale.mean
    standardised /= scale.scale
    return standardised


def _block_moments(X: Floats32) -> Moments:
    wide = X.astype(np.float64)
    mean = wide.mean(axis=0)
    wide -= mean
    return Moments(len(X), mean, np.einsum("ij,ij->j", wide, wide))


def _merge_two(a: Moments, b: Moments) -> Moments:
    n = a.n + b.n
    delta = b.mean - a.mean
    mean = a.mean + delta * (b.n / n)
    return Moments(n, mean, a.m2 + b.m2 + delta**2 * (a.n * b.n / n))
