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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.column_encoders import (
    ColumnEncoder,
    Flags,
    Floats32,
    Levels,
    OfLevels,
    RawRows,
    Value,
    encoder_of,
)
from stepml.ml.data.levels import MISSING, Hashes
from stepml.ml.data.table import Table, TableColumn

__all__ = ["Encoder", "Feature", "RawRows"]


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
        self._columns: list[ColumnEncoder] = []
        numbers, categories = iter(range(len(table.numbers))), iter(range(len(table.categories)))
        at = 0
        for column in table.columns:
            place = next(categories if column.is_category else numbers)
            own = encoder_of(column, place, at, levels, tuple(fine))
            self._columns.append(own)
            at += own.n_features
        self.n_features = at
        self.n_pairs = sum(each.n_pairs for each in self._columns)
        self._fine = [
            (each.at, fine.index(each.place))
            for each in self._columns
            if isinstance(each, Value) and each.place in fine
        ]

    @property
    def levels(self) -> list[Sequence[str]]:
        """The levels of each category that have features or codes; empty where they are hashed."""
        categories = (each for each in self._columns if each.column.is_category)
        return [each.levels if isinstance(each, OfLevels) else () for each in categories]

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
            if isinstance(each, OfLevels) and each.levels:
                own = levels[:, each.place]
                found[:, each.place] = (each.codes(own) < 0) & (own != MISSING)
        return found
