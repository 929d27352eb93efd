"""Features for which float32 has too few digits, and the rest of their values.

Rows are float32. If the values of a feature are close together and far from 0, as milliseconds
since 1970 are, they differ in digits that float32 lacks. Pieces and shards also hold the
*remainders* of such *fine* features, ``x - float32(x)``, again as float32: both together have 48
binary digits. Standardising uses them; all else sees the float32 alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]

# Of the largest value: with a wider range, float32 still tells 2¹⁴ values of it apart.
_NARROW = 2.0**-10
_LARGEST_WHOLE = 2.0**24  # float32 has all whole numbers up to here


@dataclass(frozen=True, slots=True, eq=False)
class Remainders:
    """The remainders of some features of a dense matrix."""

    features: NDArray[np.int64]  # (n_fine,) ascending
    values: Floats32  # (n_samples, n_fine)


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """The smallest and the largest value of each feature, NaN without any value."""

    low: Floats64  # (n_features,)
    high: Floats64  # (n_features,)

    @classmethod
    def of(cls, X: NDArray[Any]) -> Bounds:
        """Return the bounds of the columns of ``X``; NaN counts as no value."""
        return cls(
            np.fmin.reduce(X, axis=0, initial=np.nan).astype(np.float64),
            np.fmax.reduce(X, axis=0, initial=np.nan).astype(np.float64),
        )

    def are_narrow(self) -> NDArray[np.bool_]:
        """Return whether the values of each feature are close together and far from 0."""
        largest = np.maximum(np.abs(self.low), np.abs(self.high))
        return self.high - self.low < _NARROW * largest


def fine_columns(X: NDArray[Any]) -> tuple[int, ...]:
    """Return the fine features, given some rows."""
    return fine_within(Bounds.of(X))


def fine_in_pairs(indices: NDArray[Any], values: NDArray[Any], n_rows: int) -> tuple[int, ...]:
    """Return the fine features, given the pairs of some rows, ascending within each row."""
    features, counts = np.unique(indices, return_counts=True)
    everywhere = features[counts == n_rows]  # others are 0 somewhere, far from their values
    X = values[np.isin(indices, everywhere)].reshape(n_rows, len(everywhere))
    return tuple(everywhere[list(fine_columns(X))].tolist())


def fine_within(bounds: Bounds) -> tuple[int, ...]:
    """Return the fine features, given bounds of some or all rows.

    If some rows are not close together, neither are all of them. Whole numbers that float32 holds
    need no remainders.
    """
    low, high = bounds.low, bounds.high
    largest = np.maximum(np.abs(low), np.abs(high))
    coarse = (largest >= _LARGEST_WHOLE) | (np.rint(low) != low) | (np.rint(high) != high)
    return tuple(np.flatnonzero(bounds.are_narrow() & coarse).tolist())


def remainders_of(values: NDArray[Any]) -> Floats32:
    """Return ``values - float32(values)``; 0 for missing values."""
    wide = values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        rest = wide - wide.astype(np.float32)
    return np.nan_to_num(rest, posinf=0, neginf=0).astype(np.float32)


def remainders_of_pairs(
    indices: NDArray[Any], values: NDArray[Any], fine: tuple[int, ...]
) -> Floats32 | None:
    """Return the remainders of pairs, 0 unless the feature is ``fine``; None without fine ones."""
    if not fine:
        return None
    return np.where(np.isin(indices, fine), remainders_of(values), np.float32(0))


def is_ascending_below(features: NDArray[Any], n_features: int) -> bool:
    """Return whether ``features`` are different ones of ``n_features``, in ascending order."""
    inside = (features >= 0) & (features < n_features)
    return bool(inside.all() and (features[1:] > features[:-1]).all())
