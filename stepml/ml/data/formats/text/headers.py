"""Decides whether the first line of a table names its columns.

Numbers may be names as well: pandas numbers the columns of a frame that has no names, tables of
spectra have wavelengths, time series years. So a first line of numbers is compared with the lines
below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from stepml.ml.data.formats.text.numbers import is_missing

_DIGITS = re.compile(r"[0-9]+")
_MANY = 8  # columns: so many numbers do not ascend by chance
_SURELY = 10  # columns: so many numbers are not 0, 1, 2, … by chance
_ENOUGH_ROWS = 3  # to say that a column has no whole numbers …
_MANY_ROWS = 20  # … and to know the range of its numbers

Cells = Sequence[str]


class Header(Enum):
    """Whether the first line is a header."""

    NO = "no"
    YES = "yes"
    BY_EVIDENCE = "by evidence"  # it is, although some of its names are numbers
    UNCLEAR = "unclear"  # it may be a header or a row


def find_header(first: Cells, rows: Sequence[Cells], label: str | int | None) -> Header:
    """Return whether ``first``, the cells of a table's first line, names the columns.

    Parameters
    ----------
    first : sequence of str
    rows : sequence of sequence of str
        The next lines.
    label : str, int or None
        The label's column; its name makes the line a header.
    """
    names = [column for column, cell in enumerate(first) if _is_name(cell)]
    if isinstance(label, str) and label in first:
        return Header.YES
    columns = [column for column, cell in enumerate(first) if _number(cell) is not None]
    below = [row for row in rows if len(row) == len(first)]
    # Cells without content, such as the name of an index, are neither names nor numbers.
    if 2 * len(names) > sum(map(bool, first)):
        return Header.YES if _are_names(first, names, below) else Header.NO
    if not columns or not below:
        return Header.NO
    found = _Numbers.of(first, below, columns).header()
    if names and found is not Header.NO:
        return Header.BY_EVIDENCE if _hold_numbers(below, names) else Header.NO
    return found


def _are_names(first: Cells, words: Sequence[int], rows: Sequence[Cells]) -> bool:
    """Return whether ``first``, most of whose cells are words, names the columns.

    Parameters
    ----------
    words : sequence of int
        The columns with a word in ``first``.
    rows : sequence of sequence of str
        The lines below.
    """
    cells = {column: [row[column] for row in rows if row[column]] for column in range(len(first))}
    if not rows or any(_hold_some_numbers(cells[column]) for column in words):
        return True
    others = [column for column in range(len(first)) if column not in words]
    if any(_number(first[column]) is not None and cells[column] for column in others):
        return False  # text and numbers are where they are in the rows
    # All columns are text. A level is in several rows, a name in none.
    return not any(
        first[column] in cells[column] or _are_alike(first[column], cells[column])
        for column in words
    )


def _hold_some_numbers(cells: Cells) -> bool:
    known = [cell for cell in cells if not is_missing(cell.encode())]
    return bool(known) and all(_number(cell) is not None for cell in known)


def _are_alike(word: str, cells: Cells) -> bool:
    """Return whether a word and the cells below it have digits, written in the same way."""
    forms = {_DIGITS.sub("0", each) for each in (word, *cells)}
    return _DIGITS.search(word) is not None and len(forms) == 1


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The numbers of a first line, and the cells below them."""

    values: list[float]
    rows: list[list[float | None]]  # the same columns of the rows below
    n_columns: int
    n_unlike: int  # columns where the first line has a whole number, and no row below has one

    @classmethod
    def of(cls, first: Cells, below: Sequence[Cells], columns: Sequence[int]) -> _Numbers:
        unlike = [_is_unlike(first[column], [row[column] for row in below]) for column in columns]
        return cls(
            [float(first[column]) for column in columns],
            [[_number(row[column]) for column in columns] for row in below],
            len(first),
            sum(unlike),
        )

    def header(self) -> Header:
        if self.values == list(range(len(self.values))):
            return self._numbered()
        are_names = (
            self._are_in_order()
            or (self._are_even() and (self._has_unlike_column() or self._lie_outside()))
            or (self._may_be_names() and self._is_unlike_rows())
        )
        return Header.UNCLEAR if are_names else Header.NO

    def _numbered(self) -> Header:
        """Return whether 0, 1, 2, … are names."""
        n = len(self.values)
        if n == 1 and self.n_columns > 1:
            return Header.UNCLEAR if self.n_columns == 2 else Header.NO
        sure = self.n_unlike >= max(n - 1, 2) or (
            n >= _SURELY and not any(map(_is_even, self.rows))
        )
        return Header.BY_EVIDENCE if sure else Header.UNCLEAR

    def _are_in_order(self) -> bool:
        """Return whether the numbers are in an order in which those of no row are."""
        n, is_enough = len(self.values), self._has_enough_rows()
        return (
            (n >= _MANY and self._stand_out(_ascends))
            or (n >= 4 and is_enough and self._stand_out(_is_even))
            or (n >= 3 and is_enough and self._stand_out(_is_numbering))
        )

    def _stand_out(self, is_so: Callable[[Sequence[float | None]], bool]) -> bool:
        return is_so(self.values) and not any(map(is_so, self.rows))

    def _are_even(self) -> bool:
        """Return whether the numbers have equal steps, of two numbers 1."""
        return _is_even(self.values) and (len(self.values) > 2 or _step(self.values) == 1)

    def _has_unlike_column(self) -> bool:
        return self.n_unlike > 0 and self._has_enough_rows()

    def _lie_outside(self) -> bool:
        """Return whether nearly all numbers are out of the range of many rows below."""
        below = [
            [each for each in column if each is not None] for column in zip(*self.rows, strict=True)
        ]
        outside = [
            len(column) >= _MANY_ROWS and not min(column) <= value <= max(column)
            for value, column in zip(self.values, below, strict=True)
        ]
        return sum(outside) >= max(len(outside) - 1, 2)

    def _may_be_names(self) -> bool:
        """Return whether they are whole, and all different or several times 0, 1, 2, …"""
        if len(self.values) < 2 or not all(value.is_integer() for value in self.values):
            return False
        follows = [
            value == before + 1 or value == 0 < before for before, value in pairwise(self.values)
        ]
        return (self.values[0] == 0 and all(follows)) or len(set(self.values)) == len(self.values)

    def _is_unlike_rows(self) -> bool:
        return self.n_unlike >= max(len(self.values) - 1, 2) and self._has_enough_rows()

    def _has_enough_rows(self) -> bool:
        return len(self.rows) >= _ENOUGH_ROWS


def _is_name(cell: str) -> bool:
    # Missing values are not names.
    return not _is_number_or_nan(cell) and not is_missing(cell.encode())


def _is_number_or_nan(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: str) -> float | None:
    """Return the value of a cell, or None unless it is a finite number."""
    value = float(cell) if _is_number_or_nan(cell) else math.nan
    return value if math.isfinite(value) else None


def _hold_numbers(rows: Sequence[Cells], columns: Sequence[int]) -> bool:
    return not any(_is_name(row[column]) for row in rows for column in columns)


def _is_unlike(first: str, cells: Cells) -> bool:
    """Return whether ``first`` is a whole number, and none of the other ``cells`` is."""
    values = [(cell, value) for cell in cells if (value := _number(cell)) is not None]
    if not values:
        return False
    by_value = float(first).is_integer() and not any(value.is_integer() for _, value in values)
    return by_value or (_is_digits(first) and not any(_is_digits(cell) for cell, _ in values))


def _is_digits(cell: str) -> bool:
    return cell.strip().lstrip("+-").isdigit()


def _step(values: Sequence[float]) -> float:
    return values[1] - values[0]


def _is_even(values: Sequence[float | None]) -> bool:
    """Return whether the numbers have equal steps."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < max(2, len(values)) or (step := _step(numbers)) == 0:
        return False
    return all(math.isclose(b - a, step, rel_tol=1e-6) for a, b in pairwise(numbers))


def _is_numbering(values: Sequence[float | None]) -> bool:
    """Return whether the numbers are consecutive, in any order."""
    numbers = sorted(value for value in values if value is not None)
    return len(numbers) == len(values) and all(b - a == 1 for a, b in pairwise(numbers))


def _ascends(values: Sequence[float | None]) -> bool:
    return all(a is not None and b is not None and a < b for a, b in pairwise(values))
