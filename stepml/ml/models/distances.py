"""Squared distances of rows from points, dense or sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from stepml.ml.group_sums import row_sums_by_group
from stepml.ml.matrices import CsrMatrix, Floats64, product, row_norms_squared
from stepml.ml.models.base import Floats, Matrix

_SURE = np.float32(1 - 1e-6)  # a squared norm minus its rounding errors, relative
_UNSURE = 2e-6  # largest rounding error of a product, relative
_AT_ONCE = 2**22  # distances, or numbers of points: 16 MB
_FAR = 4.0  # squared distance from 0, in mean squared distances of points from their mean


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Rows, prepared for distances from single points.

    Distances are |x|² - 2·p·x + |p|², after an origin among the rows is subtracted from rows and
    points: otherwise few digits would remain for rows close together and far from 0. Sparse rows
    would become dense. For them, with q = p - o, distances are |x - o|² - 2·q·x + 2·q·o + |q|².
    """

    X: Matrix  # dense: transposed, minus the origin, with two more rows: norms, and ones
    origin: Floats  # (n_features,)
    norms: Floats  # (n_samples,), squared, of rows minus the origin, minus rounding errors
    reach: float  # the largest norm of sparse rows, if the origin is not 0; otherwise 0

    @classmethod
    def of(cls, X: Matrix) -> Self:
        if isinstance(X, CsrMatrix):
            return cls._of_sparse(X)
        origin = X.mean(axis=0, dtype=np.float64).astype(np.float32)
        rows = np.ones((X.shape[1] + 2, len(X)), np.float32)
        moved = np.subtract(X.T, origin[:, None], out=rows[:-2])
        norms = np.einsum("ij,ij->j", moved, moved, out=rows[-2])
        norms *= _SURE
        return cls(rows, origin, norms, 0.0)

    @classmethod
    def _of_sparse(cls, X: CsrMatrix) -> Self:
        norms, everywhere = row_norms_squared(X), np.zeros(len(X), np.intp)
        mean = row_sums_by_group(X, everywhere, 1)[0] / len(X)
        origin, square = mean.astype(np.float32), float(mean @ mean)
        if not square > _FAR * (float(norms.mean(dtype=np.float64)) - square):
            return cls(X, np.zeros_like(origin), norms * _SURE, 0.0)
        reach = float(np.sqrt(norms.max()))
        moved = squared_distances(X, origin[None], everywhere).astype(np.float32)
        return cls(X, origin, moved * _SURE, reach)

    @property
    def most(self) -> int:
        """Points of a block, whose distances need little memory."""
        return max(1, _AT_ONCE // max(len(self.norms), len(self.origin)))

    def nearest(self, points: Floats) -> Floats:
        """Return squared distances from the nearest point, (n_samples,); see `distances`."""
        nearest = np.full(len(self.norms), np.inf, np.float32)
        for first in range(0, len(points), self.most):
            several = self.distances(points[first : first + self.most])
            np.minimum(nearest, several.min(axis=0), out=nearest)
        return nearest

    def distances(self, points: Floats, out: Floats | None = None) -> Floats:
        """Return squared distances, (n_points, n_samples).

        For rows at the same place except for rounding, they are 0 or slightly negative.
        """
        moved = points - self.origin
        norms = np.square(moved).sum(axis=1) * _SURE
        if not isinstance(self.X, CsrMatrix):
            factors = np.ones((len(points), len(self.X)), np.float32)
            np.multiply(moved, -2, out=factors[:, :-2])
            factors[:, -1] = norms
            dense: Floats = np.matmul(factors, self.X, out=out)
            return dense
        if self.reach:
            norms = norms + 2 * np.einsum("ij,j->i", moved, self.origin, dtype=np.float64)
            norms -= _UNSURE * self.reach * np.sqrt(np.square(moved).sum(axis=1))
        distances: Floats = np.add(product(self.X, -2 * moved.T).T, self.norms, out=out)
        distances += norms.astype(np.float32)[:, None]
        return distances


def squared_distances(
    X: CsrMatrix, points: Floats, chosen: npt.NDArray[np.integer[Any]]
) -> Floats64:
    """Return each row's squared distance from the point chosen for it, with all digits.

    Parameters
    ----------
    X : CsrMatrix of shape (n_samples, n_features)
    points : array of shape (n_points, n_features)
    chosen : array of integers of shape (n_samples,)
    """
    norms: Floats64 = np.einsum("ij,ij->i", points, points, dtype=np.float64)
    distances: Floats64 = norms[chosen]
    for rows, block in X.blocks():
        places = np.repeat(chosen[rows].astype(np.intp) * X.n_features, block.counts)
        places += block.columns
        there = points.reshape(-1)[places].astype(np.float64)
        values = block.values[block.pairs]
        # For stored values: (x - p)² instead of p²
        excess = (values - 2 * there) * values
        numbers = np.repeat(np.arange(len(block)), block.counts)
        distances[rows] += np.bincount(numbers, excess, minlength=len(block))
    return np.maximum(distances, 0, out=distances)


def origin_of(points: Floats) -> Floats | None:
    """Return the mean of the points if it is far from 0 relative to their spread, or None."""
    mean: Floats = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    away = points - mean
    spread = float(np.square(away, out=away).sum(axis=1).mean())
    return _coarse(mean) if float(np.square(mean).sum()) > _FAR * spread else None


def products(points: Floats, X: Matrix) -> Floats:
    """Return the product of each point with each row, (n_points, n_samples)."""
    if isinstance(X, CsrMatrix):
        return product(X, points.T).T
    return points @ X.T


def dense_row(X: Matrix, row: int) -> Floats:
    """Return one row of X as a dense array, (n_features,)."""
    if not isinstance(X, CsrMatrix):
        only: Floats = X[row]
        return only
    dense = np.zeros(X.n_features, np.float32)
    pairs = X[row : row + 1].pairs
    dense[X.indices[pairs]] = X.values[pairs]
    return dense


def _coarse(numbers: Floats) -> Floats:
    """Round to 8 binary digits, so that differences from numbers of few digits are exact."""
    digits, exponents = np.frexp(numbers)
    rounded: Floats = np.ldexp(np.rint(digits * 256) / 256, exponents).astype(np.float32)
    return rounded
