"""Mean and variance of features over all shards, and the scale that rows are given by them.

They are taken of shards, not of ranges: sums of floats depend on the order of addition, and
shards do not depend on how the bytes were cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data import arrays
from stepml.ml.data.objects import Buffer
from stepml.ml.matrices import CsrMatrix, Matrix

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]
_Columns = NDArray[np.intp]

# Values that are worked on at a time; as float64 they are 2 MB.
_BLOCK_VALUES = 2**18
# Of wider matrices, too, some rows are taken together.
_LEAST_ROWS = 8


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and sum of squared deviations of each feature, missing values left out."""

    n: NDArray[np.int64]  # (n_features,) values
    mean: Floats64  # (n_features,) 0 where there are none
    m2: Floats64  # (n_features,)

    def pack(self) -> bytearray:
        """Return the moments as a container of arrays."""
        return arrays.pack({"n": self.n, "mean": self.mean, "m2": self.m2})

    @classmethod
    def unpack(cls, data: Buffer) -> Moments:
        """Return the moments that `pack` wrote."""
        views = arrays.unpack_named(data, ("n", "mean", "m2"))
        return cls(views["n"], views["mean"], views["m2"])


@dataclass(frozen=True, slots=True)
class Scale:
    """What rows become before they are learnt from: ``((x or fill) - mean) / scale``."""

    fill: Floats32  # (n_features,) what stands for a missing value (NaN)
    mean: Floats32  # (n_features,) 0 of sparse rows: they would not stay sparse
    scale: Floats32  # (n_features,) standard deviation; 1 where a feature is constant

    def pack(self) -> bytearray:
        """Return the scale as a container of arrays."""
        return arrays.pack({"fill": self.fill, "mean": self.mean, "scale": self.scale})

    @classmethod
    def unpack(cls, data: Buffer) -> Scale:
        """Return the scale that `pack` wrote."""
        views = arrays.unpack_named(data, ("fill", "mean", "scale"))
        return cls(views["fill"], views["mean"], views["scale"])


def feature_moments(X: Matrix) -> Moments:
    """Return the moments of a shard's features over all its rows, computed in float64.

    Parameters
    ----------
    X : matrix of shape (n_samples, n_features), at least one sample
        What a sparse matrix does not store is 0, and counts; what it stores may be missing.
    """
    if isinstance(X, CsrMatrix):
        return _sparse_moments(X)
    return merge_moments(map(_block_moments, _blocks(X)))


def merge_moments(moments: Iterable[Moments]) -> Moments:
    """Return the moments of all rows; the order of ``moments`` decides the last bits.

    Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, 1979.
    """
    return reduce(_merge_two, moments)


def scale_of(moments: Moments, *, standardise: bool = True, sparse: bool = False) -> Scale:
    """Return the scale that follows from the training rows.

    Parameters
    ----------
    moments : Moments
        Of all training rows.
    standardise : bool, default True
        Give each feature mean 0 and variance 1; otherwise missing values become the feature's
        mean (0 where all are missing), and nothing else changes.
    sparse : bool, default False
        Leave the mean as it is: zeros have to stay zeros. Missing values become it all the same.
    """
    mean = moments.mean.astype(np.float32)
    zeros, ones = np.zeros_like(mean), np.ones_like(mean)
    return Scale(
        fill=mean,
        mean=mean if standardise and not sparse else zeros,
        scale=_deviations(moments) if standardise else ones,
    )


def scaled(X: Matrix, scale: Scale) -> Matrix:
    """Return ``((X or fill) - mean) / scale``, a new matrix of the same shape.

    Raises
    ------
    ValueError
        If a mean is to be subtracted from a sparse matrix.
    """
    result: Matrix
    if isinstance(X, CsrMatrix):
        indptr = X.indptr - X.indptr[0]
        values = X.values[X.pairs].copy()
        result = CsrMatrix(indptr, X.indices[X.pairs], values, X.n_features)
    else:
        result = X.astype(np.float32)
    scale_in_place(result, scale)
    return result


def scale_in_place(X: Matrix, scale: Scale) -> None:
    """Make of ``X`` what `scaled` would return; beside it, a few MB are held."""
    if isinstance(X, CsrMatrix):
        _scale_pairs(X, scale)
    else:
        _scale_rows(X, scale)


def _scale_rows(X: Floats32, scale: Scale) -> None:
    moves, stretches = scale.mean.any(), (scale.scale != 1).any()
    for block in _blocks(X):
        missing = np.isnan(block)
        if missing.any():
            np.copyto(block, scale.fill, where=missing)
        if moves:
            np.subtract(block, scale.mean, out=block)
        if stretches:
            np.divide(block, scale.scale, out=block)


def _scale_pairs(X: CsrMatrix, scale: Scale) -> None:
    if scale.mean.any():
        raise ValueError("a sparse matrix would not stay sparse if its mean were subtracted")
    for _, block in X.blocks():
        values = block.values[block.pairs]
        missing = np.flatnonzero(np.isnan(values))
        if len(missing):
            values[missing] = scale.fill.take(block.columns[missing])
        values /= scale.scale.take(block.columns)


def _blocks(X: Floats32) -> Iterator[Floats32]:
    step = max(_LEAST_ROWS, _BLOCK_VALUES // max(1, X.shape[1]))
    return (X[first : first + step] for first in range(0, len(X), step))


def _block_moments(X: Floats32) -> Moments:
    wide = X.astype(np.float64)
    mean = wide.mean(axis=0)
    if np.isnan(mean).any():
        return _block_moments_of_known(wide)
    wide -= mean
    return Moments(np.full(X.shape[1], len(X)), mean, np.einsum("ij,ij->j", wide, wide))


def _block_moments_of_known(X: Floats64) -> Moments:
    missing = np.isnan(X)
    n = len(X) - np.count_nonzero(missing, axis=0)
    np.copyto(X, 0, where=missing)
    mean = X.sum(axis=0) / np.maximum(n, 1)
    X -= mean
    np.copyto(X, 0, where=missing)
    return Moments(n, mean, np.einsum("ij,ij->j", X, X))


def _sparse_moments(X: CsrMatrix) -> Moments:
    n = np.full(X.n_features, len(X))
    stored, sums, m2 = (np.zeros(X.n_features) for _ in range(3))
    for columns, values, missing_columns in _known_pairs(X):
        stored += np.bincount(columns, minlength=X.n_features)
        if len(missing_columns):
            n -= np.bincount(missing_columns, minlength=X.n_features)
        np.add.at(sums, columns, values.astype(np.float64))
    mean = sums / np.maximum(n, 1)
    for columns, values, _ in _known_pairs(X):
        deviations = values - mean.take(columns)
        np.add.at(m2, columns, np.square(deviations, out=deviations))
    m2 += (n - stored) * mean**2  # the zeros' share
    return Moments(n, mean, m2)


def _known_pairs(X: CsrMatrix) -> Iterator[tuple[_Columns, Floats32, _Columns]]:
    """Yield columns and values of some pairs at a time, and the columns of missing values."""
    for _, block in X.blocks():
        columns, values = block.columns, block.values[block.pairs]
        missing = np.isnan(values)
        if missing.any():
            yield columns[~missing], values[~missing], columns[missing]
        else:
            yield columns, values, columns[:0]


def _deviations(moments: Moments) -> Floats32:
    n = np.maximum(moments.n, 1).astype(np.float64)
    variance = moments.m2 / n
    # The variance of a constant is not 0 but of the size of its mean's rounding error.
    eps = np.finfo(np.float64).eps
    rounding = n * eps * variance + (n * moments.mean * eps) ** 2
    deviation = np.where(variance <= rounding, 1.0, np.sqrt(variance)).astype(np.float32)
    # A deviation below the smallest float32 is constant, too.
    return np.where(deviation == 0, np.float32(1), deviation)


def _merge_two(a: Moments, b: Moments) -> Moments:
    n = a.n + b.n
    share = b.n / np.maximum(n, 1)
    delta = b.mean - a.mean
    return Moments(n, a.mean + delta * share, a.m2 + b.m2 + delta**2 * (a.n * share))
