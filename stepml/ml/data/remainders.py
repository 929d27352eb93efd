"""Features for which float32 has too few digits, and the rest of their values.

Rows are float32. If the values of a feature are close together and far from 0, as milliseconds
since 1970 are, they differ in digits that float32 lacks. Pieces and shards also hold the
*remainders* of such *fine* features, ``x - float32(x)``, again as float32: both together have 48
binary digits. Standardising uses them; all else sees the float32 alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]

# Of the largest value: with a wider range, float32 still tells 2¹⁴ values of it apart.
_NARROW = 2.0**-10
# Few rows may be close together by chance: float32 tells at most 2⁶ values of these apart.
_VERY_NARROW = 2.0**-18
ENOUGH_ROWS = 100
# Float32 numbers differ by more than 2⁻²⁴, so one in 10⁹ rows makes a larger deviation.
_ROUNDING = 2.0**-40
_LARGEST_WHOLE = 2.0**24  # float32 has all whole numbers up to here


@dataclass(frozen=True, slots=True, eq=False)
class Remainders:
    """The remainders of some features of a dense matrix."""

    features: NDArray[np.int64]  # (n_fine,) ascending
    values: Floats32  # (n_samples, n_fine)


Ends = tuple[float, float] | None
"""The smallest and the largest of some values, or None without any."""


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """The smallest and the largest value of each feature, NaN without any value."""

    low: Floats64  # (n_features,)
    high: Floats64  # (n_features,)

    @classmethod
    def of(cls, X: NDArray[Any]) -> Bounds:
        """Return the bounds of the columns of ``X``; NaN counts as no value."""
        return cls(
            np.fmin.reduce(X, axis=0, initial=np.nan, dtype=np.float64),
            np.fmax.reduce(X, axis=0, initial=np.nan, dtype=np.float64),
        )

    def of_columns(self, columns: Sequence[int]) -> Bounds:
        """Return the bounds of some columns, in their order."""
        return Bounds(self.low[columns], self.high[columns])

    def with_unknown(self, n_columns: int) -> Bounds:
        """Return the bounds with those of more columns, whose values are not known."""
        unknown = np.full(n_columns, np.nan)
        return Bounds(np.append(self.low, unknown), np.append(self.high, unknown))

    def merged(self, other: Bounds) -> Bounds:
        """Return the bounds of both."""
        return Bounds(np.fmin(self.low, other.low), np.fmax(self.high, other.high))


def fine_columns(X: Floats64) -> tuple[int, ...]:
    """Return the fine features, given some rows."""
    return _fine(Bounds.of(X), np.any(remainders_of(X), axis=0), len(X))


def fine_within(bounds: Bounds, n_rows: int) -> tuple[int, ...]:
    """Return the fine features, given bounds of ``n_rows`` rows, which may be all."""
    ends = np.stack([bounds.low, bounds.high])
    return _fine(bounds, np.any(remainders_of(ends), axis=0), n_rows)


def _fine(bounds: Bounds, have_remainders: Any, n_rows: int) -> tuple[int, ...]:
    # If some rows are not close together, neither are all of them.
    largest = np.maximum(np.abs(bounds.low), np.abs(bounds.high))
    spread = bounds.high - bounds.low
    is_large = (largest >= _LARGEST_WHOLE) & (spread < _NARROW * largest)
    narrow = _NARROW if n_rows >= ENOUGH_ROWS else _VERY_NARROW
    # A constant needs no remainders: without its mean, it is 0.
    is_narrow = (spread > 0) & (spread < narrow * largest) & have_remainders
    return tuple(np.flatnonzero(is_large | is_narrow).tolist())


def ends_of_piece(views: Mapping[str, NDArray[Any]], fine: Sequence[int]) -> tuple[Ends, ...]:
    """Return the ends of the ``fine`` features, given the arrays of a piece."""
    if not fine:
        return ()
    if "X" in views:
        return ends_of_columns(np.add(views["X"][:, fine], views["remainders"], dtype=np.float64))
    values = np.add(views["values"], views["remainders"], dtype=np.float64)
    return ends_of_pairs(views["indices"], values, fine, len(views["y"]))


def ends_of_columns(X: Floats64) -> tuple[Ends, ...]:
    """Return the ends of each column; NaN counts as no value."""
    return _ends(Bounds.of(X))


def ends_of(values: Floats64) -> Ends:
    """Return the ends of ``values``; NaN counts as no value."""
    return ends_of_columns(values[:, None])[0] if len(values) else None


def ends_of_pairs(
    indices: NDArray[Any], values: Floats64, fine: Sequence[int], n_rows: int
) -> tuple[Ends, ...]:
    """Return the ends of the ``fine`` features of sparse rows; absent values are 0."""
    places, found = places_among(np.array(fine, np.int64), indices)
    places, values = places[found], values[found]
    low, high = np.full((2, len(fine)), np.nan)
    np.fmin.at(low, places, values)
    np.fmax.at(high, places, values)
    absent = np.bincount(places, minlength=len(fine)) < n_rows
    low[absent], high[absent] = np.fmin(low[absent], 0), np.fmax(high[absent], 0)
    return _ends(Bounds(low, high))


def _ends(bounds: Bounds) -> tuple[Ends, ...]:
    pairs = zip(bounds.low.tolist(), bounds.high.tolist(), strict=True)
    return tuple(None if np.isnan(low) else (low, high) for low, high in pairs)


def places_among(
    fine: NDArray[np.int64], indices: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the place of each index in ``fine``, and whether it is there.

    ``fine`` is ascending and not empty. The place of an index that is not there means nothing.
    """
    places = np.searchsorted(fine, indices)
    return places, fine.take(places, mode="clip") == indices


def merged_ends(parts: Iterable[Ends]) -> Ends:
    """Return the ends of all parts, in any order."""
    known = [each for each in parts if each is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def are_narrow(ends: tuple[float, float]) -> bool:
    """Return whether values are not all the same, but close together and far from 0."""
    low, high = ends
    return 0 < high - low < _NARROW * max(abs(low), abs(high))


def are_constant(
    n: NDArray[np.int64], mean: Floats64, m2: Floats64, fine: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether each feature is constant, by the fields of its `Moments`."""
    rows = np.maximum(n, 1).astype(np.float64)
    variance = m2 / rows
    # Because of rounding, the computed variance of a constant may be slightly above 0.
    eps = np.finfo(np.float64).eps
    rounding = rows * eps * variance + (rows * mean * eps) ** 2
    rounding[fine] = 0
    constant: NDArray[np.bool_] = variance <= rounding
    return constant


def are_coarse(mean: Floats64, deviation: Floats64) -> NDArray[np.bool_]:
    """Return whether values beyond float32's whole numbers are close together, but not the same.

    ``mean`` and ``deviation`` are those of the values as float32, (n_features,). A deviation that
    comes from rounding alone counts as 0.
    """
    size = np.abs(mean)
    is_close = (deviation > _ROUNDING * size) & (deviation < _NARROW / 2 * size)
    return is_close & (size >= _LARGEST_WHOLE)


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
