"""Tables in memory → raw rows: numbers, hashes of levels, seconds of times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np

from stepml.ml.data.column_encoders import Levels
from stepml.ml.data.dialect import Dialect
from stepml.ml.data.encoding import RawRows
from stepml.ml.data.formats.text.cells import CellReader
from stepml.ml.data.levels import (
    MISSING,
    Hashes,
    level_hash,
    level_of_text,
    level_of_value,
)
from stepml.ml.data.remainders import remainders_of
from stepml.ml.data.table import MISSING_LEVEL, Table, TableColumn
from stepml.ml.matrices import Floats64
from stepml.trained.frames import Frame
from stepml.trained.numbers import NUMBERS, Array

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MISSING_TYPES = ("NAType", "NaTType")  # of pandas


class FrameRows:
    """The rows of a table in memory, as raw rows of a model's table.

    Parameters
    ----------
    frame : Frame
    places : sequence of int
        The column of the frame for each column of ``table``.
    table : Table
    levels : sequence of sequence of str
        The levels of each category in training; empty where they are hashed.
    fine : sequence of int
        The places among `Table.numbers` of the numbers with remainders.
    missing_words : sequence of str
        The job's own words for missing values.
    has_words : bool, default True
        Whether the usual words, such as "NA", are missing values where levels are expected.
    """

    def __init__(
        self,
        frame: Frame,
        places: Sequence[int],
        table: Table,
        levels: Levels,
        fine: Sequence[int] = (),
        missing_words: Sequence[str] = (),
        *,
        has_words: bool = True,
    ) -> None:
        self._frame = frame
        self._cells = CellReader(Dialect(missing_words=tuple(missing_words)))
        self._table = table
        self._fine = list(fine)
        pairs = list(zip(table.columns, places, strict=True))
        self._numbers = [pair for pair in pairs if not pair[0].is_category]
        self._categories = [
            (place, _LevelReader(column, known, self._cells if has_words else None))
            for (column, place), known in zip(
                (pair for pair in pairs if pair[0].is_category), levels, strict=True
            )
        ]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._frame)

    def read(self, rows: slice) -> RawRows:
        """Return some rows.

        Raises
        ------
        ValueError
            A value is not of its column's kind.
        """
        start = rows.start or 0
        columns = [
            _numbers(self._frame.array(place, rows), column, start, self._cells)
            for column, place in self._numbers
        ]
        n_rows = len(range(*rows.indices(len(self._frame))))
        values = np.stack(columns, axis=1) if columns else np.empty((n_rows, 0))
        levels = np.empty((n_rows, len(self._categories)), np.uint64)
        for number, (place, reader) in enumerate(self._categories):
            levels[:, number] = reader.hashes(self._frame.objects(place, rows))
        rest = remainders_of(values[:, self._fine]) if self._fine else None
        with np.errstate(over="ignore"):  # becomes infinite, which is refused with its place
            return RawRows(values.astype(np.float32), levels, rest)


class _LevelReader:
    """Turns the values of a category into hashes of levels, each different one once."""

    def __init__(self, column: TableColumn, known: Sequence[str], cells: CellReader | None) -> None:
        self._column = column
        self._cells = cells
        self._known = frozenset(known)
        self._hashes: dict[Any, int] = {}

    def hashes(self, values: Sequence[Any]) -> Hashes:
        known = self._hashes
        try:
            found = [known[each] if each in known else self._new(each) for each in values]
        except TypeError as exc:
            raise ValueError(
                f"column {self._column.name!r} has values that are no levels: {exc}"
            ) from exc
        return np.array(found, np.uint64)

    def _new(self, value: Any) -> int:
        if is_missing(value):  # NaN does not equal itself, so it would be remembered many times
            return MISSING
        self._hashes[value] = found = level_hash(self._level(value))
        return found

    def _level(self, value: Any) -> str:
        if isinstance(value, (bool, np.bool_)):
            return self._boolean(str(value))
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, (np.datetime64, np.timedelta64)):
            return str(value)
        if not isinstance(value, str):
            level = level_of_value(value)
            return MISSING_LEVEL if self._is_word(level) else level
        if value in self._known:
            return value
        text = value.strip()
        if text not in self._known and self._is_word(text):
            return MISSING_LEVEL
        return level_of_text(text, self._column.are_numbers)

    def _is_word(self, text: str) -> bool:
        """Return whether a text is a word for a missing value."""
        return not text or (self._cells is not None and self._cells.is_missing_text(text))

    def _boolean(self, word: str) -> str:
        """Return a boolean as the training data spell it."""
        spellings = (word, word.lower(), word.upper())
        return next((each for each in spellings if each in self._known), word)


def is_missing(value: Any) -> bool:
    """Return whether a Python object stands for a missing value."""
    if value is None or type(value).__name__ in _MISSING_TYPES:
        return True
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    return isinstance(value, (float, np.floating)) and math.isnan(value)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _numbers(values: Array, column: TableColumn, start: int, cells: CellReader) -> Floats64:
    """Return the numbers of cells; NaN where they are missing."""
    kind, without_missing = values.dtype.kind, cells.spelling.without_missing
    if kind in NUMBERS:
        return without_missing(values.astype(np.float64))
    if kind == "M" and column.kind == "time":
        return _seconds_of_times(values)
    if kind == "m" and column.kind == "number":
        return _seconds_of_spans(values)
    if kind in "mM":
        raise ValueError(f"expected numbers, got column {column.name!r} of type {values.dtype}")
    of_value, of_text = _CONVERSIONS[column.kind], cells.conversion(column.kind)
    found = np.empty(len(values))
    for row, value in enumerate(values.tolist()):
        if is_missing(value):
            number: float | None = math.nan
        else:
            number = of_text(value.strip()) if isinstance(value, str) else of_value(value)
        if number is None:
            raise ValueError(_problem(value, column, start + row))
        found[row] = number
    return without_missing(found) if column.kind == "number" else found


def _problem(value: Any, column: TableColumn, row: int) -> str:
    expected = {
        "number": "a number",
        "boolean": "true or false",
        "time": "a date or time",
    }[column.kind]
    return f"expected {expected} in column {column.name!r}, got {value!r:.60} in row {row}"


def _seconds_of_times(values: Array) -> Floats64:
    micros = values.astype("datetime64[us]")
    seconds: Floats64 = micros.astype(np.int64) / 1e6
    seconds[np.isnat(micros)] = np.nan
    return seconds


def _seconds_of_spans(values: Array) -> Floats64:
    seconds: Floats64 = values / np.timedelta64(1, "s")  # NaT becomes NaN
    return seconds


def _number_of(value: Any) -> float | None:
    if isinstance(value, np.datetime64):  # of nanoseconds, float() takes it
        return None
    if isinstance(value, time):
        return (datetime.combine(_EPOCH, value, UTC) - _EPOCH).total_seconds()
    if isinstance(value, (timedelta, np.timedelta64)):
        return float(_seconds_of_spans(np.array([value], "timedelta64"))[0])
    return float(value) if _is_number(value) and not isinstance(value, bytes) else None


def _time_of(value: Any) -> float | None:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (aware - _EPOCH) / _MICROSECOND / 1e6
    if isinstance(value, np.datetime64):
        return float(_seconds_of_times(np.array([value]))[0])
    if isinstance(value, date):
        return (value - _EPOCH.date()).total_seconds()
    return _number_of(value)


_CONVERSIONS: dict[str, Callable[[Any], float | None]] = {
    "number": _number_of,
    "boolean": _number_of,
    "time": _time_of,
}
