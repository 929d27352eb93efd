"""Single cells of text → numbers, by the type of their column."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np

from stepml.ml.data.dialect import Dialect
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.formats.text.numbers import Floats64, number_of, to_singles
from stepml.ml.data.formats.text.spelling import Spelling, with_points
from stepml.ml.data.table import TableColumn
from stepml.ml.data.times import seconds_of

_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})

Conversion = Callable[[str], float | None]
"""Returns the number of a cell, without blanks around it: NaN if it is missing, None if bad."""


class CellReader:
    """Converts the cells of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.spelling = Spelling(dialect)
        self._by_kind: dict[str, Conversion] = {
            "number": self._number,
            "boolean": self._boolean,
            "time": self._time,
        }

    def conversion(self, kind: str) -> Conversion:
        """Return the conversion of cells of a kind, which is no category."""
        return self._by_kind[kind]

    def is_missing(self, text: str) -> bool:
        """Return whether a cell of numbers is a word for a missing value."""
        return self.spelling.is_missing(text.encode())

    def is_missing_text(self, text: str) -> bool:
        """Return whether a level or a label is a word for a missing value."""
        return self.spelling.is_missing_text(text.encode())

    def plain(self, text: str) -> str:
        """Return a number with a decimal point, and without separators of thousands."""
        return with_points(text.encode(), self._dialect).decode()

    def lack(self, values: Floats64) -> Floats64:
        """Return ``values`` with NaN for numbers that stand for missing values."""
        missing = self.spelling.missing_numbers(values)
        if not len(missing):
            return values
        values = values.copy()
        values[missing] = np.nan
        return values

    def problem(self, column: TableColumn, text: str) -> str | None:
        """Return the reason why a cell is bad for its column, or None."""
        if self.is_missing_text(text) if column.is_category else self.is_missing(text):
            if column.missing != "fail":
                return None
            return f"is {text!r}, a missing value" if text else "is empty, a missing value"
        if column.is_category:
            return None
        value = self.conversion(column.kind)(text)
        if value is not None and np.isfinite(to_singles(np.array([value])))[0]:
            return None
        if column.kind == "number":
            problem = self.spelling.number_problem(text.encode()) or "is not a number"
            return f"{problem}{_as_category(column) if problem.endswith('not a number') else ''}"
        expected = {
            "boolean": "true or false",
            "time": "a date or time such as 2020-01-31 or 2020-01-31T12:30:00Z",
        }[column.kind]
        return f"is {shortened(text.encode(), 40)!r}, expected {expected}{_as_category(column)}"

    def _number(self, text: str) -> float | None:
        if self.is_missing(text):
            return math.nan
        value = number_of(self.plain(text).encode())
        return None if math.isnan(value) else value

    def _boolean(self, text: str) -> float | None:
        word = text.lower()
        if word in _TRUE:
            return 1.0
        if word in _FALSE:
            return 0.0
        return math.nan if self.is_missing(text) else None

    def _time(self, text: str) -> float | None:
        if self.is_missing(text):
            return math.nan
        seconds = seconds_of(text)
        return self._number(text) if math.isnan(seconds) else seconds


def _as_category(column: TableColumn) -> str:
    setting = json.dumps({column.name or "*": "category"})
    return f"; data.columns.types {setting} makes its values levels"
