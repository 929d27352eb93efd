"""The levels of categories: their hashes in raw rows, and the list that training has.

A level is text. Raw rows have the 64 bits of its XXH3 hash, so that ranges which are read apart
agree on a level without knowing each other; 0 stands for a missing value. The list of levels, in
the order of their characters, is known once all ranges are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from stepml.job.errors import InvalidDataError
from stepml.ml.data.table import MISSING_LEVEL, TableColumn

# Each function that gathers rows reads the lists of all columns.
MAX_LEVELS = 100_000
MAX_LEVEL_BYTES = 8 * 2**20  # of the text of all columns' levels

Hashes = NDArray[np.uint64]

MISSING = 0
"""The hash of a missing value."""


def level_hash(level: str) -> int:
    """Return the hash of a level; that of a missing value if it is `MISSING_LEVEL`."""
    return MISSING if level == MISSING_LEVEL else xxhash.xxh3_64_intdigest(level.encode()) or 1


def level_hashes(levels: Iterable[str]) -> Hashes:
    """Return the hash of each level."""
    return np.fromiter(map(level_hash, levels), np.uint64)


def level_of_number(value: Any) -> str:
    """Return the level of a number: 1 and 1.0 are one level, NaN is missing."""
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        return str(value)
    if number != number:
        return MISSING_LEVEL
    # Integers beyond float64's are told apart as such.
    whole = int(value) if number.is_integer() and abs(number) < 2**63 else None
    return repr(number) if whole is None else str(whole)


def level_of_value(value: Any) -> str:
    """Return the level of a number, a boolean, a date or a time."""
    if isinstance(value, bool):
        return str(value)
    try:
        return level_of_number(value)
    except (TypeError, ValueError):
        return str(value)


def level_of_text(text: str, are_numbers: bool) -> str:
    """Return the level of a cell of text in a column whose levels may be numbers."""
    if not are_numbers:
        return text
    try:
        return level_of_number(int(text))
    except ValueError:
        pass
    try:
        return level_of_number(float(text))
    except ValueError:
        return text


@dataclass(slots=True)
class LevelCollector:
    """The levels of the columns that a range task has read so far, in bounded memory."""

    columns: Sequence[TableColumn]  # the categories of a table
    is_bounded: bool = True  # False: rows to predict may have any number of unknown levels
    max_bytes: int = MAX_LEVEL_BYTES
    found: list[dict[int, str]] = field(default_factory=list)  # of each column, by hash
    n_bytes: list[int] = field(default_factory=list)  # of the text of each column's levels …
    total_bytes: int = 0  # … and of all

    def __post_init__(self) -> None:
        self.found = [{} for _ in self.columns]
        self.n_bytes = [0 for _ in self.columns]

    def hashes(self, column: int, levels: Sequence[str]) -> Hashes:
        """Return the hashes of different ``levels`` of a category, and remember them.

        Parameters
        ----------
        column : int
            Its place among the categories.
        levels : sequence of str

        Raises
        ------
        InvalidDataError
            The column has more than 100,000 levels, the levels of all columns together have more
            than 8 MB of text, or two levels have one hash.
        """
        hashes = level_hashes(levels)
        if not self.columns[column].has_levels:
            return hashes
        known = self.found[column]
        for key, level in zip(hashes.tolist(), levels, strict=True):
            if key not in known:
                known[key] = level
                n_bytes = len(level.encode())
                self.n_bytes[column] += n_bytes
                self.total_bytes += n_bytes
            elif known[key] != level:
                raise _same_hash(self.columns[column], level, known[key])
        if self.is_bounded:
            self._require_room(column)
        return hashes

    def _require_room(self, column: int) -> None:
        if len(self.found[column]) > MAX_LEVELS:
            raise _too_large(self.columns[column], f"more than {MAX_LEVELS:,} levels")
        if self.total_bytes > self.max_bytes:
            largest = max(range(len(self.n_bytes)), key=self.n_bytes.__getitem__)
            most = f"{self.max_bytes / 2**20:g} MB"
            raise _too_large(
                self.columns[largest],
                f"levels of {self.n_bytes[largest] / 2**20:.1f} MB of text, and those of all "
                f"columns have more than {most}",
            )

    def hashes_at(self, column: int, levels: Sequence[str], places: NDArray[np.intp]) -> Hashes:
        """Return the hash of each cell, which is at one of the ``places`` among ``levels``.

        Levels without a cell are not remembered; errors as of `hashes`.
        """
        used = np.flatnonzero(np.bincount(places, minlength=len(levels)))
        hashes = np.zeros(len(levels), np.uint64)
        hashes[used] = self.hashes(column, [levels[each] for each in used.tolist()])
        found: Hashes = hashes[places]
        return found

    def lists(self) -> list[list[str]]:
        """Return the levels of each column, in order."""
        return [sorted(each.values()) for each in self.found]


def merge_levels(
    columns: Sequence[TableColumn], parts: Iterable[Sequence[Sequence[str]]]
) -> tuple[tuple[str, ...], ...]:
    """Return the levels of each column in all ranges, in the order of their characters.

    Raises
    ------
    InvalidDataError
        As `LevelCollector.hashes`.
    """
    collector = LevelCollector(columns)
    for lists in parts:
        for column, levels in enumerate(lists):
            collector.hashes(column, levels)
    return tuple(map(tuple, collector.lists()))


def _too_large(column: TableColumn, what: str) -> InvalidDataError:
    setting = json.dumps({column.name or "*": "hash"}, ensure_ascii=False)
    return InvalidDataError(
        f"{column.title} has {what}; set data.encode to {setting}, which needs no list of them, or "
        "leave the column out with data.columns.drop"
    )


def _same_hash(column: TableColumn, level: str, other: str) -> InvalidDataError:
    return InvalidDataError(
        f"{column.title}: the levels {level[:40]!r} and {other[:40]!r} have one hash; rename one "
        "of them"
    )
