"""Mean and variance of features over all shards, and the scale of rows that follows from them.

They are sums over shards, not over ranges: sums of floats depend on the order of addition, and
shards do not depend on the cuts into ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data import arrays
from stepml.ml.data.objects import Buffer
from stepml.ml.data.remainders import Remainders, are_constant
from stepml.ml.matrices import CsrMatrix, Matrix

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]
Features = NDArray[np.int64]
_Columns = NDArray[np.intp]

ROWS = "rows"  # in the metadata of a shard and its moments: the name of the rows
# Values of a block: 2 MB as float64.
_BLOCK_VALUES = 2**18
# A block of a wide matrix has at least so many rows.
_LEAST_ROWS = 8


def _no_features() -> Features:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and sum of squared deviations of each feature, without missing values."""

    n: NDArray[np.int64]  # (n_features,) values that are not missing
    mean: Floats64  # (n_features,) 0 if there are no values
    m2: Floats64  # (n_features,)
    fine: Features = field(default_factory=_no_features)  # whose remainders count

    @property
    def are_constant(self) -> NDArray[np.bool_]:
        """Whether each feature has the same value in all rows, or none."""
        return are_constant(self.n, self.mean, self.m2, self.fine)

    def pack(self, rows: str = "") -> bytearray:
        """Return the moments as a container of arrays; ``rows`` names the rows of the shard."""
        named: dict[str, arrays.Array] = {"n": self.n, "mean": self.mean, "m2": self.m2}
        if len(self.fine):
            named["fine"] = self.fine
        return arrays.pack(named, {ROWS: rows})

    @classmethod
    def unpack(cls, data: Buffer, rows: str | None = None) -> Moments:
        """Return the moments of a packed container; ``rows`` is the name that it must have.

        Raises
        ------
        DamagedValueError
            ``data`` has no moments, or those of other rows.
        """
        views = arrays.unpack_named(data, ("n", "mean", "m2"), ("fine",))
        if rows is not None:
            arrays.require_metadata(data, ROWS, rows)
        return cls(**views)


@dataclass(frozen=True, slots=True)
class Scale:
    """The preparation of rows for training: ``((x or fill) - mean) / scale``.

    The difference is that of float32 numbers. Only of fine features, whose remainders count, it is
    that of float64 numbers.
    """

    fill: Floats32  # (n_features,) replaces missing values (NaN)
    mean: Floats32  # (n_features,) 0 for sparse rows, so that they stay sparse
    scale: Floats32  # (n_features,) standard deviation; 1 if a feature is constant
    fine: Features = field(default_factory=_no_features)  # ascending; none without subtraction
    fine_mean: Floats64 = field(default_factory=lambda: np.zeros(0))  # (n_fine,)

    def named(self) -> dict[str, arrays.Array]:
        """Return the arrays of the scale by name; those of fine features only if there are any."""
        named = {"fill": self.fill, "mean": self.mean, "scale": self.scale}
        return named | ({"fine": self.fine, "fine_mean": self.fine_mean} if len(self.fine) else {})

    def pack(self) -> bytearray:
        """Return the scale as a container of arrays."""
        return arrays.pack(self.named())

    @classmethod
    def unpack(cls, data: Buffer) -> Scale:
        """Return the scale of a packed container."""
        return cls(**arrays.unpack_named(data, ("fill", "mean", "scale"), ("fine", "fine_mean")))


def feature_moments(X: Matrix, remainders: Remainders | None = None) -> Moments:
    """Return the moments of a shard's features over all its rows, computed in float64.

    Parameters
    ----------
    X : matrix of shape (n_samples, n_features), at least one sample
        Values that a sparse matrix does not store are 0, and count. Stored values may be NaN.
    remainders : Remainders, optional
        Of dense rows.
    """
    if isinstance(X, CsrMatrix):
        return _sparse_moments(X)
    if remainders is None:
        return merge_moments(_block_moments(X[rows]) for rows in _blocks(X))
    features, rest = remainders.features, remainders.values
    moments = (_fine_moments(X[rows], features, rest[rows]) for rows in _blocks(X))
    return merge_moments(moments)


def merge_moments(moments: Iterable[Moments]) -> Moments:
    """Return the moments of all rows; the last bits depend on the order of ``moments``.

    Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, 1979.
    """
    return reduce(_merge_two, moments)


def scale_of(moments: Moments, *, standardise: bool = True, sparse: bool = False) -> Scale:
    """Return the scale for the training rows.

    Parameters
    ----------
    moments : Moments
        Of all training rows.
    standardise : bool, default True
        Give each feature mean 0 and variance 1. Otherwise only missing values change: they become
        the feature's mean, or 0 if all are missing.
    sparse : bool, default False
        Do not subtract the mean, so that zeros stay zeros. It still replaces missing values.
    """
    mean = moments.mean.astype(np.float32)
    zeros, ones = np.zeros_like(mean), np.ones_like(mean)
    centres = standardise and not sparse
    fine = moments.fine if centres else _no_features()
    return Scale(
        fill=mean,
        mean=mean if centres else zeros,
        scale=_deviations(moments) if standardise else ones,
        fine=fine,
        fine_mean=moments.mean[fine],
    )


def scaled(X: Matrix, scale: Scale, remainders: Remainders | None = None) -> Matrix:
    """Return ``((X or fill) - mean) / scale``, a new matrix of the same shape.

    Raises
    ------
    ValueError
        A mean would be subtracted from a sparse matrix.
    """
    result: Matrix
    if isinstance(X, CsrMatrix):
        indptr = X.indptr - X.indptr[0]
        values = X.values[X.pairs].copy()
        result = CsrMatrix(indptr, X.indices[X.pairs], values, X.n_features)
    else:
        result = X.astype(np.float32)
    scale_in_place(result, scale, remainders)
    return result


def scale_in_place(X: Matrix, scale: Scale, remainders: Remainders | None = None) -> None:
    """Replace ``X`` by the result of `scaled`, with a few MB of additional memory."""
    if isinstance(X, CsrMatrix):
        _scale_pairs(X, scale)
    else:
        _scale_rows(X, scale, remainders)


def _scale_rows(X: Floats32, scale: Scale, remainders: Remainders | None) -> None:
    moves, stretches = scale.mean.any(), (scale.scale != 1).any()
    for rows in _blocks(X):
        block = X[rows]
        centred = _centred(block, scale, remainders, rows)
        missing = np.isnan(block)
        if missing.any():
            np.copyto(block, scale.fill, where=missing)
        if moves:
            np.subtract(block, scale.mean, out=block)
        if len(scale.fine):
            block[:, scale.fine] = centred
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


def _centred(X: Floats32, scale: Scale, remainders: Remainders | None, rows: slice) -> Floats64:
    """Return the fine features minus their means; 0 for missing values, which become the mean."""
    values = X[:, scale.fine].astype(np.float64)
    if remainders is not None:
        # A shard that was made again may have other fine features than the scale.
        _, own, given = np.intersect1d(
            scale.fine, remainders.features, assume_unique=True, return_indices=True
        )
        values[:, own] += remainders.values[rows, given]
    values -= scale.fine_mean
    return np.nan_to_num(values, copy=False)


def _blocks(X: Floats32) -> Iterator[slice]:
    step = max(_LEAST_ROWS, _BLOCK_VALUES // max(1, X.shape[1]))
    return (slice(first, first + step) for first in range(0, len(X), step))


def _fine_moments(X: Floats32, fine: Features, rest: Floats32) -> Moments:
    """Return moments for which the remainders of the ``fine`` features count.

    They are computed relative to a value of the feature. So constant features have no variance.
    """
    moments = _block_moments(X)
    values = np.add(X[:, fine], rest, dtype=np.float64)
    origin = np.nan_to_num(np.fmin.reduce(values, axis=0))
    values -= origin
    own = _block_moments_of_known(values)
    moments.mean[fine], moments.m2[fine] = origin + own.mean, own.m2
    return replace(moments, fine=fine)


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
    m2 += (n - stored) * mean**2  # the share of the zeros
    return Moments(n, mean, m2)


def _known_pairs(X: CsrMatrix) -> Iterator[tuple[_Columns, Floats32, _Columns]]:
    """Yield columns and values of pairs in blocks, and the columns of missing values."""
    for _, block in X.blocks():
        columns, values = block.columns, block.values[block.pairs]
        missing = np.isnan(values)
        if missing.any():
            yield columns[~missing], values[~missing], columns[missing]
        else:
            yield columns, values, columns[:0]


def _deviations(moments: Moments) -> Floats32:
    deviations = np.sqrt(moments.m2 / np.maximum(moments.n, 1))
    deviation = np.where(moments.are_constant, 1.0, deviations).astype(np.float32)
    # A deviation below the smallest float32 counts as 0, too.
    return np.where(deviation == 0, np.float32(1), deviation)


def _merge_two(a: Moments, b: Moments) -> Moments:
    n = a.n + b.n
    share = b.n / np.maximum(n, 1)
    delta = b.mean - a.mean
    m2 = a.m2 + b.m2 + delta**2 * (a.n * share)
    return Moments(n, a.mean + delta * share, m2, a.fine)
