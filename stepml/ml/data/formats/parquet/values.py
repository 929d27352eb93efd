"""Columns of pyarrow → numbers, levels and labels, by the type of the column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.dialect import PLAIN
from stepml.ml.data.formats.row_checks import Flaw
from stepml.ml.data.formats.text.cells import CellReader
from stepml.ml.data.levels import level_of_text, level_of_value
from stepml.ml.data.table import MISSING_LEVEL, TableColumn
from stepml.ml.data.table_plan import ColumnFacts

Floats64 = NDArray[np.float64]
Places = NDArray[np.intp]

_UNITS_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_S = 86_400
_CELLS = CellReader(PLAIN)


def facts_of(types: Any, kind: Any) -> ColumnFacts | None:
    """Return the facts about a column of the type ``kind``; None: it cannot be a feature.

    ``types`` is the module `pyarrow.types`.
    """
    if types.is_dictionary(kind):
        inner = facts_of(types, kind.value_type)
        return inner and ColumnFacts("category", are_numbers=inner.kind == "number")
    if types.is_boolean(kind):
        return ColumnFacts("boolean")
    if types.is_timestamp(kind) or types.is_date(kind):
        return ColumnFacts("time")
    if _is_number(types, kind):
        return ColumnFacts("number", are_numbers=True)
    return ColumnFacts("category") if _is_text(types, kind) else None


def label_kind_of(types: Any, kind: Any) -> str | None:
    """Return the kind of labels of the type ``kind``; None: it cannot be the label."""
    if types.is_dictionary(kind):
        return label_kind_of(types, kind.value_type)
    if types.is_boolean(kind):
        return "boolean"
    if _is_number(types, kind) or types.is_timestamp(kind) or types.is_date(kind):
        return "number"
    return "text" if _is_text(types, kind) else None


def numbers_of(column: Any) -> NDArray[Any]:
    """Return a column as numbers, NaN where they are missing; times as seconds since 1970."""
    kind = str(column.type)
    if kind.startswith("dictionary"):
        return numbers_of(column.dictionary_decode())
    if kind.startswith("decimal") or kind == "null":
        column = column.cast("float64")
    elif kind.startswith(("timestamp", "date", "time", "duration")):
        return _seconds(column, kind)
    # Nulls become NaN: integers as float64; booleans as objects, whose None is NaN.
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values.astype(np.float32) if values.dtype.hasobject else values


def numbers_in(column: Any, of: TableColumn) -> tuple[NDArray[Any], list[Flaw]]:
    """Return a column as numbers, and the flaws of its rows; text is read as in a CSV file.

    Parameters
    ----------
    column : array of pyarrow
    of : TableColumn
        What it is.
    """
    if not _is_of_text(str(column.type)):
        return numbers_of(column), []
    values, places = distinct(column)
    texts = ["" if each is None else each.strip() for each in values]
    convert = _CELLS.conversion(of.kind)
    found = np.array([convert(each) for each in texts], np.float64)[places]  # None becomes NaN
    problems = ((place, _CELLS.problem(of, text)) for place, text in enumerate(texts))
    flaws = [
        Flaw(f"{of.title} {problem}", places == place) for place, problem in problems if problem
    ]
    return found, [each for each in flaws if each.rows.any()]


def _is_of_text(kind: str) -> bool:
    return "string" in kind and not kind.startswith(("list", "struct", "map"))


def levels_of(column: Any, of: TableColumn) -> tuple[list[str], Places]:
    """Return the different levels of a column, and the place of each cell among them.

    ``of`` says what the column is; see `numbers_in`.
    """
    values, places = distinct(column)
    return [_level(each, of) for each in values], places


def distinct(column: Any) -> tuple[list[Any], Places]:
    """Return the different values of a column, None if missing, and the place of each cell."""
    encoded = column if hasattr(column, "dictionary") else column.dictionary_encode()
    values = [*encoded.dictionary.to_pylist(), None]
    places = encoded.indices.fill_null(len(values) - 1)
    return values, places.to_numpy(zero_copy_only=False).astype(np.intp)


def _level(value: Any, of: TableColumn) -> str:
    if value is None:
        return MISSING_LEVEL
    if isinstance(value, str):
        return level_of_text(value.strip(), of.are_numbers)
    return level_of_value(value)


def _is_number(types: Any, kind: Any) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (
            *(types.is_integer, types.is_floating, types.is_decimal, types.is_null),
            *(types.is_time, types.is_duration),
        )
    )


def _is_text(types: Any, kind: Any) -> bool:
    views = (getattr(types, "is_string_view", None),)  # of newer versions
    kinds = (types.is_string, types.is_large_string, *filter(None, views))
    return any(is_kind(kind) for is_kind in kinds)


def _seconds(column: Any, kind: str) -> Floats64:
    missing = column.is_null().to_numpy(zero_copy_only=False)
    width = "int32" if kind.startswith(("date32", "time32")) else "int64"
    whole = column.cast(width).fill_null(0).to_numpy(zero_copy_only=False)
    if kind.startswith("date32"):
        seconds: Floats64 = whole.astype(np.float64) * _DAY_S
    else:
        unit = "ms" if kind.startswith("date64") else column.type.unit
        seconds = whole / _UNITS_A_SECOND[unit]
    seconds[missing] = np.nan
    return seconds
