"""Squared distances of rows from points, dense or sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from stepml.ml.matrices import CsrMatrix, product, row_norms_squared
from stepml.ml.models.base import Floats, Matrix

_SURE = np.float32(1 - 1e-6)  # what of squared norms the rounding errors leave


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Rows, made ready for their distances from single points."""

    X: Matrix  # if dense, less the origin
    origin: Floats | np.float32  # (n_features,): the mean of dense rows; 0 for sparse ones
    norms: Floats  # (n_samples,), squared, less what may be a rounding error

    @classmethod
    def of(cls, X: Matrix) -> Self:
        if isinstance(X, CsrMatrix):
            return cls(X, np.float32(0), row_norms_squared(X) * _SURE)
        origin = X.mean(axis=0, dtype=np.float64).astype(np.float32)
        moved = X - origin
        return cls(moved, origin, row_norms_squared(moved) * _SURE)

    def distances(self, points: Floats) -> Floats:
        """Return squared distances, (n_points, n_samples); 0 for rows that are as good as there."""
        moved = points - self.origin
        distances = products(-2 * moved, self.X)
        distances += self.norms
        distances += np.square(moved).sum(axis=1, keepdims=True) * _SURE
        return np.maximum(distances, 0, out=distances)


def products(points: Floats, X: Matrix) -> Floats:
    """Return the product of each point with each row, (n_points, n_samples), along the rows."""
    if isinstance(X, CsrMatrix):
        return product(X, points.T).T
    return points @ X.T


def dense_row(X: Matrix, row: int) -> Floats:
    """Return one row of X, (n_features,), with its zeros."""
    if not isinstance(X, CsrMatrix):
        only: Floats = X[row]
        return only
    dense = np.zeros(X.n_features, np.float32)
    pairs = X[row : row + 1].pairs
    dense[X.indices[pairs]] = X.values[pairs]
    return dense
