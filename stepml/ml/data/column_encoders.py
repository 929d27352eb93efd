"""The features of one column of a table, by the column's type and encoding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.levels import MISSING, Hashes, level_hashes
from stepml.ml.data.table import MISSING_LEVEL, TableColumn
from stepml.ml.data.times import part_of

Floats32 = NDArray[np.float32]
Codes = NDArray[np.intp]
Flags = NDArray[np.bool_]
Levels = Sequence[Sequence[str]]

_MISSING_TITLE = "(missing)"


@dataclass(frozen=True, slots=True)
class RawRows:
    """Rows of a table before they are features."""

    X: Floats32  # (n_rows, n_numbers) of `Table.numbers`; missing values are NaN
    levels: Hashes  # (n_rows, n_categories) of `Table.categories`; 0 is a missing value
    remainders: Floats32 | None = None  # (n_rows, n_fine)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.X)

    def __getitem__(self, rows: slice | Flags) -> RawRows:
        """Return some rows."""
        rest = self.remainders
        return RawRows(self.X[rows], self.levels[rows], None if rest is None else rest[rows])


class ColumnEncoder(ABC):
    """The features of one column; the last one is the indicator, if it has one."""

    role = "value"

    def __init__(self, column: TableColumn, place: int, at: int) -> None:
        self.column = column
        self.place = place  # among the numbers, or the categories
        self.at = at  # of its first feature

    @property
    @abstractmethod
    def n_own(self) -> int:
        """The number of features without the indicator."""

    @abstractmethod
    def own_names(self) -> list[str]:
        """Return the names of these."""

    @abstractmethod
    def write_own(self, rows: RawRows, found: Floats32) -> None:
        """Write them into ``found``, (n_rows, n_own), which is 0."""

    @abstractmethod
    def are_missing(self, rows: RawRows) -> Flags:
        """Return the rows without a value."""

    @property
    def n_features(self) -> int:
        return self.n_own + self.column.indicator

    @property
    def n_pairs(self) -> int:
        """The pairs of a sparse row."""
        return self.n_features

    def names(self) -> list[str]:
        indicator = [f"{self.column.label}={_MISSING_TITLE}"] if self.column.indicator else []
        return self.own_names() + indicator

    def write(self, rows: RawRows, found: Floats32) -> None:
        behind = self.at + self.n_own
        self.write_own(rows, found[:, self.at : behind])
        if self.column.indicator:
            found[:, behind] = self.are_missing(rows)

    def write_pairs(self, rows: RawRows, indices: NDArray[np.int32], values: Floats32) -> None:
        behind = values.shape[1] - self.column.indicator
        self.write_own_pairs(rows, indices[:, :behind], values[:, :behind])
        if self.column.indicator:
            indices[:, behind] = self.at + self.n_own
            values[:, behind] = self.are_missing(rows)

    def write_own_pairs(self, rows: RawRows, indices: NDArray[np.int32], values: Floats32) -> None:
        indices[:] = np.arange(self.at, self.at + self.n_own)
        self.write_own(rows, values)


class Value(ColumnEncoder):
    """A number as it is."""

    n_own = 1

    def own_names(self) -> list[str]:
        return [self.column.label]

    def write_own(self, rows: RawRows, found: Floats32) -> None:
        found[:, 0] = rows.X[:, self.place]

    def are_missing(self, rows: RawRows) -> Flags:
        return np.isnan(rows.X[:, self.place])


class Parts(ColumnEncoder):
    """The parts of a time."""

    role = "part"

    def __init__(self, column: TableColumn, place: int, at: int, fine: tuple[int, ...]) -> None:
        super().__init__(column, place, at)
        self._remainder = fine.index(place) if place in fine else None

    @property
    def n_own(self) -> int:
        return len(self.column.parts)

    def own_names(self) -> list[str]:
        return [f"{self.column.label}.{part}" for part in self.column.parts]

    def write_own(self, rows: RawRows, found: Floats32) -> None:
        seconds = rows.X[:, self.place].astype(np.float64)
        if rows.remainders is not None and self._remainder is not None:
            seconds += rows.remainders[:, self._remainder]
        for number, part in enumerate(self.column.parts):
            found[:, number] = part_of(seconds, part)

    def are_missing(self, rows: RawRows) -> Flags:
        return np.isnan(rows.X[:, self.place])


class OfLevels(ColumnEncoder):
    """Features by the list of levels."""

    def __init__(self, column: TableColumn, place: int, at: int, levels: Sequence[str]) -> None:
        super().__init__(column, place, at)
        self.levels = levels
        hashes = level_hashes(levels)
        self._order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[self._order]

    def codes(self, hashes: Hashes) -> Codes:
        """Return the place of each level among all levels; −1 if it is not one of them."""
        if not len(self._sorted):
            return np.full(len(hashes), -1, np.intp)
        places = np.minimum(np.searchsorted(self._sorted, hashes), len(self._sorted) - 1)
        codes: Codes = np.where(self._sorted[places] == hashes, self._order[places], -1)
        return codes

    def are_missing(self, rows: RawRows) -> Flags:
        missing: Flags = rows.levels[:, self.place] == MISSING
        return missing

    def _lacks(self, codes: Codes, hashes: Hashes) -> Flags:
        """Return the rows without a value, unless that is a level of its own."""
        lacking: Flags = (codes < 0) & (hashes == MISSING)
        return lacking


class OneHot(OfLevels):
    """One feature for each level."""

    role = "level"

    @property
    def n_own(self) -> int:
        return len(self.levels)

    @property
    def n_pairs(self) -> int:
        return min(1, self.n_own) + self.column.indicator

    def own_names(self) -> list[str]:
        return [f"{self.column.label}={each or _MISSING_TITLE}" for each in self.levels]

    def write_own(self, rows: RawRows, found: Floats32) -> None:
        hashes = rows.levels[:, self.place]
        codes = self.codes(hashes)
        known = np.flatnonzero(codes >= 0)
        found[known, codes[known]] = 1
        found[self._lacks(codes, hashes)] = np.nan

    def write_own_pairs(self, rows: RawRows, indices: NDArray[np.int32], values: Floats32) -> None:
        if not self.n_own:
            return
        hashes = rows.levels[:, self.place]
        codes = self.codes(hashes)
        # One pair a row keeps all rows equally long: a 0 where no level is set.
        indices[:, 0] = self.at + np.maximum(codes, 0)
        values[:, 0] = codes >= 0
        values[self._lacks(codes, hashes), 0] = np.nan


class Ordinal(OfLevels):
    """The place of the level."""

    n_own = 1

    def own_names(self) -> list[str]:
        return [self.column.label]

    def write_own(self, rows: RawRows, found: Floats32) -> None:
        hashes = rows.levels[:, self.place]
        codes = self.codes(hashes)
        found[:, 0] = codes
        found[self._lacks(codes, hashes), 0] = np.nan


class Hashed(ColumnEncoder):
    """Features by the hash of the level."""

    role = "hash"

    @property
    def n_own(self) -> int:
        return self.column.width

    @property
    def n_pairs(self) -> int:
        return 1 + self.column.indicator

    def own_names(self) -> list[str]:
        return [f"{self.column.label}#{number}" for number in range(self.n_own)]

    def write_own(self, rows: RawRows, found: Floats32) -> None:
        places, are_set = self._places(rows)
        found[np.arange(len(rows)), places] = are_set

    def write_own_pairs(self, rows: RawRows, indices: NDArray[np.int32], values: Floats32) -> None:
        places, are_set = self._places(rows)
        indices[:, 0] = self.at + places
        values[:, 0] = are_set

    def are_missing(self, rows: RawRows) -> Flags:
        missing: Flags = rows.levels[:, self.place] == MISSING
        return missing

    def _places(self, rows: RawRows) -> tuple[Codes, Flags]:
        """Return the feature of each row, and whether it is set: a missing value may set none."""
        hashes = rows.levels[:, self.place]
        are_set = (hashes != MISSING) | (self.column.missing == "level")
        return (hashes % np.uint64(self.n_own)).astype(np.intp), are_set


def encoder_of(
    column: TableColumn, place: int, at: int, levels: Levels, fine: tuple[int, ...]
) -> ColumnEncoder:
    """Return the encoder of a column.

    Parameters
    ----------
    column : TableColumn
    place : int
        Of the column among the numbers, or among the categories.
    at : int
        Its first feature.
    levels : sequence of sequence of str
        Of all categories.
    fine : tuple of int
        The numbers with remainders.
    """
    if not column.is_category:
        return Parts(column, place, at, fine) if column.parts else Value(column, place, at)
    if column.encode == "hash":
        return Hashed(column, place, at)
    kind = OneHot if column.encode == "one_hot" else Ordinal
    known = [each for each in levels[place] if each != MISSING_LEVEL or column.missing == "level"]
    return kind(column, place, at, known)
