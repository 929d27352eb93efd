"""Count, mean, variance and ends of features, over all shards.

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
_NAMES = ("n", "mean", "m2", "low", "high")
_OPTIONAL = ("fine", "weight")
# Values of a block: 2 MB as float64.
_BLOCK_VALUES = 2**18
# A block of a wide matrix has at least so many rows.
_LEAST_ROWS = 8
_LONG_ROW = 1024


def no_features() -> Features:
    """Return an empty array."""
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean, sum of squared deviations and ends of each feature, without missing values."""

    n: NDArray[np.int64]  # (n_features,) values that are not missing
    mean: Floats64  # (n_features,) 0 if there are no values
    m2: Floats64  # (n_features,)
    low: Floats64  # (n_features,) the smallest value; infinity if there are no values
    high: Floats64  # (n_features,) the largest value; minus infinity if there are no values
    fine: Features = field(default_factory=no_features)  # whose remainders count
    weight: Floats64 = field(default_factory=lambda: np.zeros(0))  # (1,) sum of the rows' weights

    @property
    def are_constant(self) -> NDArray[np.bool_]:
        """Whether each feature has the same value in all rows, or none."""
        return are_constant(self.n, self.mean, self.m2, self.fine)

    def pack(self, rows: str = "") -> bytearray:
        """Return the moments as a container of arrays; ``rows`` names the rows of the shard."""
        named: dict[str, arrays.Array] = {name: getattr(self, name) for name in _NAMES}
        named |= {name: getattr(self, name) for name in _OPTIONAL if len(getattr(self, name))}
        return arrays.pack(named, {ROWS: rows})

    @classmethod
    def unpack(cls, data: Buffer, rows: str | None = None) -> Moments:
        """Return the moments of a packed container; ``rows`` is the name that it must have.

        Raises
        ------
        DamagedValueError
            ``data`` has no moments, or those of other rows.
        """
        views = arrays.unpack_named(data, _NAMES, _OPTIONAL)
        if rows is not None:
            arrays.require_metadata(data, ROWS, rows)
        return cls(**views)


def feature_moments(
    X: Matrix, remainders: Remainders | None = None, weights: Floats32 | None = None
) -> Moments:
    """Return the moments of a shard's features over all its rows, computed in float64.

    They count each row once, whatever its weight.

    Parameters
    ----------
    X : matrix of shape (n_samples, n_features), at least one sample
        Values that a sparse matrix does not store are 0, and count. Stored values may be NaN.
    remainders : Remainders, optional
        Of dense rows.
    weights : array of shape (n_samples,), optional
        Of the rows, for the sum.
    """
    moments = _feature_moments(X, remainders)
    if weights is None:
        return moments
    return replace(moments, weight=np.array([weights.sum(dtype=np.float64)]))


def _feature_moments(X: Matrix, remainders: Remainders | None) -> Moments:
    if isinstance(X, CsrMatrix):
        return _sparse_moments(X)
    if remainders is None:
        return merge_moments(_block_moments(X[rows]) for rows in row_blocks(X))
    features, rest = remainders.features, remainders.values
    moments = (_fine_moments(X[rows], features, rest[rows]) for rows in row_blocks(X))
    return merge_moments(moments)


def merge_moments(moments: Iterable[Moments]) -> Moments:
    """Return the moments of all rows; the last bits depend on the order of ``moments``.

    Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, 1979.
    """
    return reduce(_merge_two, moments)


def row_blocks(X: Floats32) -> Iterator[slice]:
    """Yield slices of rows that are small enough for the caches."""
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
    moments.low[fine], moments.high[fine] = origin + own.low, origin + own.high
    return replace(moments, fine=fine)


def _block_moments(X: Floats32) -> Moments:
    wide = X.astype(np.float64)
    mean = wide.mean(axis=0)
    if np.isnan(mean).any():
        return _block_moments_of_known(wide)
    wide -= mean
    m2 = np.einsum("ij,ij->j", wide, wide)
    return Moments(np.full(X.shape[1], len(X)), mean, m2, *_ends(X))


def _ends(X: Floats32) -> tuple[Floats64, Floats64]:
    """Return the smallest and the largest value of each column of ``X``, which has rows."""
    n_rows, width = X.shape
    # NumPy is slow along short rows: several are compared as one.
    together = min(max(1, _LONG_ROW // width), n_rows)
    whole = n_rows // together * together
    long = X[:whole].reshape(-1, together * width)
    parts = ((end(long, axis=0).reshape(together, width), X[whole:]) for end in (np.min, np.max))
    low, high = (np.concatenate(each) for each in parts)
    return low.min(axis=0).astype(np.float64), high.max(axis=0).astype(np.float64)


def _block_moments_of_known(X: Floats64) -> Moments:
    missing = np.isnan(X)
    n = len(X) - np.count_nonzero(missing, axis=0)
    low = np.fmin.reduce(X, axis=0, initial=np.inf)
    high = np.fmax.reduce(X, axis=0, initial=-np.inf)
    np.copyto(X, 0, where=missing)
    mean = X.sum(axis=0) / np.maximum(n, 1)
    X -= mean
    np.copyto(X, 0, where=missing)
    return Moments(n, mean, np.einsum("ij,ij->j", X, X), low, high)


def _sparse_moments(X: CsrMatrix) -> Moments:
    n = np.full(X.n_features, len(X))
    stored, sums, m2 = (np.zeros(X.n_features) for _ in range(3))
    low, high = np.full(X.n_features, np.inf), np.full(X.n_features, -np.inf)
    for columns, values, missing_columns in _known_pairs(X):
        stored += np.bincount(columns, minlength=X.n_features)
        if len(missing_columns):
            n -= np.bincount(missing_columns, minlength=X.n_features)
        wide = values.astype(np.float64)
        np.add.at(sums, columns, wide)
        np.minimum.at(low, columns, wide)
        np.maximum.at(high, columns, wide)
    mean = sums / np.maximum(n, 1)
    for columns, values, _ in _known_pairs(X):
        deviations = values - mean.take(columns)
        np.add.at(m2, columns, np.square(deviations, out=deviations))
    has_zeros = n > stored
    m2 += (n - stored) * mean**2  # the share of the zeros
    low[has_zeros], high[has_zeros] = np.minimum(low, 0)[has_zeros], np.maximum(high, 0)[has_zeros]
    return Moments(n, mean, m2, low, high)


def _known_pairs(X: CsrMatrix) -> Iterator[tuple[_Columns, Floats32, _Columns]]:
    """Yield columns and values of pairs in blocks, and the columns of missing values."""
    for _, block in X.blocks():
        columns, values = block.columns, block.values[block.pairs]
        missing = np.isnan(values)
        if missing.any():
            yield columns[~missing], values[~missing], columns[missing]
        else:
            yield columns, values, columns[:0]


def _merge_two(a: Moments, b: Moments) -> Moments:
    n = a.n + b.n
    share = b.n / np.maximum(n, 1)
    delta = b.mean - a.mean
    m2 = a.m2 + b.m2 + delta**2 * (a.n * share)
    low, high = np.minimum(a.low, b.low), np.maximum(a.high, b.high)
    return Moments(n, a.mean + delta * share, m2, low, high, a.fine, a.weight + b.weight)
