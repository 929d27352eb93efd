"""Raw rows of a table → features: one-hot levels, codes, hashes, parts of times, indicators.

A row of features has, column by column in the order of the data:

=============================  ====================================================================
number, boolean, time          its value, NaN if it is missing
time with parts                one number for each part
category, one_hot              one feature a level, 1 at the row's level; all NaN if it is missing
category, ordinal              the level's place among all levels, −1 if it is not one of them
category, hash                 ``width`` features, 1 at the level's hash modulo ``width``
with an indicator              one feature more, 1 if the value is missing
=============================  ====================================================================

NaN is filled in later (`stepml.ml.data.scaling.Scale`), once all training rows are known.
Partitioning and predictions both use this module.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.levels import MISSING, Hashes, level_hashes
from stepml.ml.data.table import MISSING_LEVEL, Table, TableColumn
from stepml.ml.data.times import part_of

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]
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


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a table."""

    name: str  # as in ``color=red``; empty if the data have no names
    column: TableColumn
    role: str  # value, part, level, hash or indicator

    @property
    def is_scaled(self) -> bool:
        """Whether scaling applies to it; not to features that are 0 or 1."""
        is_number = self.role in ("value", "part")
        return is_number and self.column.kind != "boolean"


class Encoder:
    """Turns raw rows into features.

    Parameters
    ----------
    table : Table
    levels : sequence of sequence of str
        The levels of each category, ascending; empty where they are hashed.
    fine : sequence of int
        The places among `Table.numbers` of the numbers with remainders.
    """

    def __init__(self, table: Table, levels: Levels, fine: Sequence[int] = ()) -> None:
        self.table = table
        self._columns: list[_Column] = []
        numbers, categories = iter(range(len(table.numbers))), iter(range(len(table.categories)))
        at = 0
        for column in table.columns:
            place = next(categories if column.is_category else numbers)
            own = _encoded(column, place, at, levels, tuple(fine))
            self._columns.append(own)
            at += own.n_features
        self.n_features = at
        self.n_pairs = sum(each.n_pairs for each in self._columns)
        self._fine = [
            (each.at, fine.index(each.place))
            for each in self._columns
            if isinstance(each, _Value) and each.place in fine
        ]

    @property
    def levels(self) -> list[Sequence[str]]:
        """The levels of each category that have features or codes; empty where they are hashed."""
        categories = (each for each in self._columns if each.column.is_category)
        return [each.levels if isinstance(each, _OfLevels) else () for each in categories]

    @property
    def widths(self) -> list[int]:
        """The number of features of each column."""
        return [each.n_features for each in self._columns]

    @property
    def fine(self) -> tuple[int, ...]:
        """The features with remainders."""
        return tuple(feature for feature, _ in self._fine)

    def features(self) -> Iterator[Feature]:
        """Yield the features in order."""
        for each in self._columns:
            names = each.names()
            roles = [each.role] * (len(names) - each.column.indicator)
            roles += ["indicator"] * each.column.indicator
            for name, role in zip(names, roles, strict=True):
                yield Feature(name, each.column, role)

    def spans(self) -> Iterator[tuple[TableColumn, range]]:
        """Yield each column with the places of its features; the last may be its indicator."""
        for each in self._columns:
            yield each.column, range(each.at, each.at + each.n_features)

    def are_scaled(self) -> Flags:
        """Return whether scaling applies to each feature."""
        return np.array([each.is_scaled for each in self.features()], np.bool_)

    def dense(self, rows: RawRows) -> Floats32:
        """Return the features, an array of shape (n_rows, n_features)."""
        found = np.zeros((len(rows), self.n_features), np.float32)
        for each in self._columns:
            each.write(rows, found)
        return found

    def pairs(self, rows: RawRows) -> tuple[NDArray[np.int32], Floats32]:
        """Return the features that are stored in a sparse row, and their values.

        Both arrays have shape (n_rows, n_pairs); indices ascend. Numbers are stored even if they
        are 0, so they can be centred.
        """
        indices = np.zeros((len(rows), self.n_pairs), np.int32)
        values = np.zeros((len(rows), self.n_pairs), np.float32)
        first = 0
        for each in self._columns:
            own = slice(first, first + each.n_pairs)
            each.write_pairs(rows, indices[:, own], values[:, own])
            first += each.n_pairs
        return indices, values

    def remainders(self, rows: RawRows) -> Floats32 | None:
        """Return the remainders of the features `fine`, or None without any."""
        if rows.remainders is None or not self._fine:
            return None
        return rows.remainders[:, [place for _, place in self._fine]]

    def unknown(self, levels: Hashes) -> Flags:
        """Return which levels, of shape (n_rows, n_categories), training did not have."""
        found = np.zeros(levels.shape, np.bool_)
        for each in self._columns:
            if isinstance(each, _OfLevels) and each.levels:
                own = levels[:, each.place]
                found[:, each.place] = (each.codes(own) < 0) & (own != MISSING)
        return found


class _Column(ABC):
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


class _Value(_Column):
    """A number as it is."""

    n_own = 1

    def own_names(self) -> list[str]:
        return [self.column.label]

    def write_own(self, rows: RawRows, found: Floats32) -> None:
        found[:, 0] = rows.X[:, self.place]

    def are_missing(self, rows: RawRows) -> Flags:
        return np.isnan(rows.X[:, self.place])


class _Parts(_Column):
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


class _OfLevels(_Column):
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


class _OneHot(_OfLevels):
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


class _Ordinal(_OfLevels):
    n_own = 1

    def own_names(self) -> list[str]:
        return [self.column.label]

    def write_own(self, rows: RawRows, found: Floats32) -> None:
        hashes = rows.levels[:, self.place]
        codes = self.codes(hashes)
        found[:, 0] = codes
        found[self._lacks(codes, hashes), 0] = np.nan


class _Hashed(_Column):
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


def _encoded(
    column: TableColumn, place: int, at: int, levels: Levels, fine: tuple[int, ...]
) -> _Column:
    if not column.is_category:
        return _Parts(column, place, at, fine) if column.parts else _Value(column, place, at)
    if column.encode == "hash":
        return _Hashed(column, place, at)
    kind = _OneHot if column.encode == "one_hot" else _Ordinal
    known = [each for each in levels[place] if each != MISSING_LEVEL or column.missing == "level"]
    return kind(column, place, at, known)
