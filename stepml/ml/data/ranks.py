"""Quantiles and most frequent values of each feature, of rows in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.remainders import Remainders
from stepml.ml.data.shards import Shard
from stepml.ml.matrices import CsrMatrix, Floats64, chosen_rows

_Counts = NDArray[np.int64]
_Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Ranked:
    """The values of each feature in ascending order; missing values are left out.

    Zeros are counted, not stored, so sparse rows stay small.
    """

    features: _Places  # (n,) of each value that is not 0, ascending
    values: Floats64  # (n,) ascending within a feature
    n_zeros: _Counts  # (n_features,)

    @classmethod
    def of(cls, rows: Shard) -> Self:
        """Return the ranked values of ``rows``; see `by_weight`."""
        rows = by_weight(rows)
        features, values, n_missing = _pairs(rows)
        n_features = rows.X.shape[1]
        order = np.lexsort((values, features))
        n_stored = np.bincount(features, minlength=n_features)
        n_zeros = len(rows.X) - n_missing - n_stored
        return cls(features[order], values[order], n_zeros)

    def quantile(self, share: float) -> Floats64:
        """Return a quantile of each feature, between two values if need be; 0 without values."""
        ranks = share * np.maximum(self._n_known - 1, 0)
        low = np.floor(ranks)
        below, above = self._at(low.astype(np.intp)), self._at(np.ceil(ranks).astype(np.intp))
        return below + (ranks - low) * (above - below)

    def most_frequent(self) -> Floats64:
        """Return the most frequent value of each feature, the smallest of several; 0 without."""
        n_features = len(self.n_zeros)
        is_first = np.ones(len(self.values), np.bool_)
        same_feature = self.features[1:] == self.features[:-1]
        is_first[1:] = ~(same_feature & (self.values[1:] == self.values[:-1]))
        starts = np.flatnonzero(is_first)
        lengths = np.diff(starts, append=len(self.values))
        features = np.concatenate([self.features[starts], np.arange(n_features)])
        values = np.concatenate([self.values[starts], np.zeros(n_features)])
        counts = np.concatenate([lengths, self.n_zeros])
        order = np.lexsort((values, -counts, features))
        _, best = np.unique(features[order], return_index=True)
        found: Floats64 = values[order[best]]
        return found

    @property
    def _n_stored(self) -> _Counts:
        return np.bincount(self.features, minlength=len(self.n_zeros))

    @property
    def _n_known(self) -> _Counts:
        return self._n_stored + self.n_zeros

    def _at(self, ranks: _Places) -> Floats64:
        """Return the value of each feature at its rank."""
        n_stored = self._n_stored
        starts = np.cumsum(n_stored) - n_stored
        is_negative = self.values < 0
        n_negative = np.bincount(self.features[is_negative], minlength=len(n_stored))
        is_zero = (ranks >= n_negative) & (ranks < n_negative + self.n_zeros)
        is_zero |= self._n_known == 0
        behind = np.where(ranks < n_negative, ranks, ranks - self.n_zeros)
        padded = np.append(self.values, 0.0)
        places = np.where(is_zero, len(self.values), starts + behind)
        found: Floats64 = padded[places]
        return found


def by_weight(rows: Shard) -> Shard:
    """Return as many rows, each as often as its share of all weights, rounded up or down.

    Rows without weights stay as they are.
    """
    if rows.weights is None or not rows.weights.any():
        return rows
    ends = np.cumsum(rows.weights, dtype=np.float64)
    marks = (np.arange(len(ends)) + 0.5) * (ends[-1] / len(ends))
    places = np.searchsorted(ends, marks)
    rest = rows.remainders
    if rest is not None:
        rest = Remainders(rest.features, rest.values[places])
    return Shard(chosen_rows(rows.X, places), rows.y[places], remainders=rest)


def _pairs(rows: Shard) -> tuple[_Places, Floats64, _Counts]:
    """Return features and values other than 0, and the number of each feature's missing values."""
    X = rows.X
    if isinstance(X, CsrMatrix):
        features, values = X.indices[X.pairs].astype(np.intp), X.values[X.pairs].astype(np.float64)
    else:
        wide = X.astype(np.float64)
        if rows.remainders is not None:
            wide[:, rows.remainders.features] += rows.remainders.values
        features, values = np.tile(np.arange(X.shape[1]), len(X)), wide.reshape(-1)
    missing = np.isnan(values)
    n_missing = np.bincount(features[missing], minlength=X.shape[1])
    kept = ~missing & (values != 0)
    return features[kept], values[kept], n_missing
