"""Columns of the path as arrays of pyarrow: one value for all rows of an object."""

from __future__ import annotations

import math
from typing import Any

from stepml.job.errors import InvalidDataError
from stepml.ml.data.layout import Layout
from stepml.ml.data.levels import level_of_text
from stepml.ml.data.objects import DataObject
from stepml.ml.data.path_columns import path_values
from stepml.ml.data.table import TableColumn
from stepml.ml.data.times import seconds_of


def path_arrays(data: DataObject, layout: Layout, n_rows: int) -> dict[str, Any]:
    """Return the columns of an object's path that are used, by name.

    Raises
    ------
    InvalidDataError
        The path lacks a column, or one is not of the type that other paths show.
    """
    texts = dict(zip(layout.path_names, path_values(data, layout.path_names), strict=True))
    columns = {each.name: each for each in layout.raw_columns}
    used = [layout.column_names[each] for each in layout.kept_columns]
    return {
        name: _repeated(_value(data, name, texts[name], columns.get(name), layout), n_rows)
        for name in used
        if name in texts
    }


def _value(
    data: DataObject, name: str, text: str, column: TableColumn | None, layout: Layout
) -> float | str | None:
    """Return a number, or the text of a level or a label; None if it is missing."""
    if column is None:  # the label, or it says which rows validate
        is_label = name == layout.column_names[layout.label_column]
        kind = "text" if is_label and layout.label_kind != "number" else "number"
    else:
        kind = column.kind
    if not text:
        return None if kind in ("text", "category") else math.nan
    if column is not None and column.is_category:
        return level_of_text(text, column.are_numbers)
    return text if kind == "text" else _number(data, name, text, kind)


def _number(data: DataObject, name: str, text: str, kind: str) -> float:
    booleans = {"true": 1.0, "false": 0.0}
    try:
        if kind == "boolean":
            return booleans[text.lower()]
        value = seconds_of(text) if kind == "time" else float(text)
    except (ValueError, KeyError):
        value = math.nan
    if math.isnan(value):
        raise InvalidDataError(
            f"s3 object {data.key}: column {name!r} of its path is {text[:40]!r}, no {kind}"
        )
    return value


def _repeated(value: float | str | None, n_rows: int) -> Any:
    import pyarrow

    arrow: Any = pyarrow
    kind = arrow.float64() if isinstance(value, float) else arrow.string()
    return arrow.repeat(arrow.scalar(value, kind), n_rows)
