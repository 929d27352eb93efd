"""Columns of the path as fields at the end of each line, so that parsers need not know of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject
from stepml.ml.data.path_columns import PathColumn, path_values

_MISSING = "NA"  # between blanks, nothing would be no field
_DECIMAL = re.compile(r"[-+]?\d*\.\d+")


def path_fields(data: DataObject, layout: Layout) -> bytes:
    """Return the fields of the columns of an object's path, which each of its lines lacks.

    Raises
    ------
    InvalidDataError
        The path lacks a column.
    """
    values = path_values(data, layout.path_names)
    return "".join(layout.delimiter + _field(each, layout) for each in values).encode()


def have_quotes(columns: Sequence[PathColumn], delimiter: str) -> bool:
    """Return whether a field of these columns has to be quoted."""
    return any(_needs_quotes(value, delimiter) for each in columns for value in each.values)


def _field(value: str, layout: Layout) -> str:
    if not value:
        return _MISSING
    if layout.dialect.decimal != "." and _DECIMAL.fullmatch(value):
        value = value.replace(".", layout.dialect.decimal)
    if not _needs_quotes(value, layout.delimiter):
        return value
    doubled = value.replace('"', '""')
    return f'"{doubled}"'


def _needs_quotes(value: str, delimiter: str) -> bool:
    return any(each in value for each in (delimiter, '"', "\n", "\r"))
