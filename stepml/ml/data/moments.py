"""Count, mean, variance and ends of features, over all shards.

They are sums over shards, not over ranges: sums of floats depend on the order of addition, and
shards do not depend on the cuts into ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

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
    """Count, mean, sum of squared deviations and ends of each feature, without missing values.

    Those of rows with weights are sums over weighted rows, without rows of weight 0.
    """

    n: NDArray[Any]  # (n_features,) values that are not missing, or the sum of their weights
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

    def in_rows(self, n_rows: int) -> Moments:
        """Return the moments of ``n_rows`` rows whose weights have a mean of 1."""
        total = self.weight.sum()
        if not total > 0:
            return self
        return replace(self, n=self.n * (n_rows / total), m2=self.m2 * (n_rows / total))

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

    Parameters
    ----------
    X : matrix of shape (n_samples, n_features), at least one sample
        Values that a sparse matrix does not store are 0, and count. Stored values may be NaN.
    remainders : Remainders, optional
        Of dense rows.
    weights : array of shape (n_samples,), optional
        Of the rows.
    """
    if weights is not None:
        return _weighted_moments(X, remainders, weights)
    if isinstance(X, CsrMatrix):
        return _sparse_moments(X)
    if remainders is None:
        return merge_moments(_block_moments(X[rows]) for rows in row_blocks(X))
    features, rest = remainders.features, remainders.values
    moments = (_fine_moments(X[rows], features, rest[rows]) for rows in row_blocks(X))
    return merge_moments(moments)


def _weighted_moments(X: Matrix, remainders: Remainders | None, weights: Floats32) -> Moments:
    total = np.array([weights.sum(dtype=np.float64)])
    if isinstance(X, CsrMatrix):
        return replace(_weighted_sparse_moments(X, weights), weight=total)
    found = []
    for rows in row_blocks(X):
        present, own = weights[rows] > 0, weights[rows].astype(np.float64)
        if not present.any():
            continue
        part, own = X[rows][present], own[present]
        if remainders is None:
            found.append(_block_moments_of_known(part.astype(np.float64), own))
        else:
            rest = remainders.values[rows][present]
            found.append(_fine_moments(part, remainders.features, rest, own))
    if found:
        return replace(merge_moments(found), weight=total)
    fine = no_features() if remainders is None else remainders.features
    nothing = _block_moments_of_known(np.empty((0, X.shape[1])), np.empty(0))
    return replace(nothing, fine=fine, weight=total)


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


def _fine_moments(
    X: Floats32, fine: Features, rest: Floats32, weights: Floats64 | None = None
) -> Moments:
    """Return moments for which the remainders of the ``fine`` features count.

    They are computed relative to a value of the feature. So constant features have no variance.
    """
    if weights is None:
        moments = _block_moments(X)
    else:
        moments = _block_moments_of_known(X.astype(np.float64), weights)
    values = np.add(X[:, fine], rest, dtype=np.float64)
    origin = np.nan_to_num(np.fmin.reduce(values, axis=0))
    values -= origin
    own = _block_moments_of_known(values, weights)
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


def _block_moments_of_known(X: Floats64, weights: Floats64 | None = None) -> Moments:
    missing = np.isnan(X)
    low = np.fmin.reduce(X, axis=0, initial=np.inf)
    high = np.fmax.reduce(X, axis=0, initial=-np.inf)
    np.copyto(X, 0, where=missing)
    if weights is None:
        n: NDArray[Any] = len(X) - np.count_nonzero(missing, axis=0)
        mean = X.sum(axis=0) / np.maximum(n, 1)
    else:
        n = np.where(missing, 0, weights[:, None]).sum(axis=0)
        mean = _quotients((X * weights[:, None]).sum(axis=0), n)
    X -= mean
    np.copyto(X, 0, where=missing)
    if weights is None:
        return Moments(n, mean, np.einsum("ij,ij->j", X, X), low, high)
    return Moments(n, mean, np.einsum("i,ij,ij->j", weights, X, X), low, high)


def _quotients(sums: Floats64, n: NDArray[Any]) -> Floats64:
    """Return sums divided by ``n``, 0 where that is 0."""
    found: Floats64 = np.divide(sums, n, out=np.zeros(len(sums)), where=n > 0)
    return found


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


def _weighted_sparse_moments(X: CsrMatrix, weights: Floats32) -> Moments:
    wide, present = weights.astype(np.float64), weights > 0
    stored, lacking, sums, m2 = (np.zeros(X.n_features) for _ in range(4))
    pairs = np.zeros(X.n_features, np.int64)
    low, high = np.full(X.n_features, np.inf), np.full(X.n_features, -np.inf)
    for columns, values, own in _weighted_pairs(X, wide):
        known = ~np.isnan(values)
        pairs += np.bincount(columns, minlength=X.n_features)
        lacking += np.bincount(columns[~known], own[~known], X.n_features)
        stored += np.bincount(columns[known], own[known], X.n_features)
        np.add.at(sums, columns[known], own[known] * values[known])
        np.minimum.at(low, columns[known], values[known])
        np.maximum.at(high, columns[known], values[known])
    has_zeros = pairs < np.count_nonzero(present)
    n = np.where(has_zeros, wide.sum() - lacking, stored)
    mean = _quotients(sums, n)
    for columns, values, own in _weighted_pairs(X, wide):
        known = ~np.isnan(values)
        deviations = values[known] - mean.take(columns[known])
        np.add.at(m2, columns[known], own[known] * np.square(deviations))
    m2 += np.maximum(n - stored, 0) * mean**2  # the share of the zeros
    low[has_zeros], high[has_zeros] = np.minimum(low, 0)[has_zeros], np.maximum(high, 0)[has_zeros]
    return Moments(n, mean, m2, low, high)


def _weighted_pairs(
    X: CsrMatrix, weights: Floats64
) -> Iterator[tuple[_Columns, Floats64, Floats64]]:
    """Yield columns, values and weights of the pairs of rows that have one, in blocks."""
    for rows, block in X.blocks():
        own = np.repeat(weights[rows], block.counts)
        present = own > 0
        values = block.values[block.pairs][present].astype(np.float64)
        yield block.columns[present], values, own[present]


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
    share = _quotients(b.n, n)
    delta = b.mean - a.mean
    m2 = a.m2 + b.m2 + delta**2 * (a.n * share)
    low, high = np.minimum(a.low, b.low), np.maximum(a.high, b.high)
    return Moments(n, a.mean + delta * share, m2, low, high, a.fine, a.weight + b.weight)
