"""Facts about a table that are inferred from its first lines: notes on them, or refusals."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.columns import require_different_names
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.formats.text.first_lines import REPLACEMENT
from stepml.ml.data.formats.text.headers import Cells, Header, find_header
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject
from stepml.ml.data.source_format import SourceFormat

_ENOUGH_ROWS = 5  # to see that a column counts the rows
# The name that pandas gives to a column without one.
_UNNAMED = re.compile(r"(Unnamed: \d+(_level_\d+)?)?")


def header_of(table: Sequence[Cells], source: SourceFormat) -> Header:
    """Return whether the first line of ``table`` is a header: as the job says, or as it seems."""
    if source.header is not None:
        return Header.YES if source.header else Header.NO
    if source.validates in table[0]:
        return Header.YES
    return find_header(table[0], table[1:], source.label if source.has_label else None)


def review_table(
    data: DataObject, table: Sequence[Cells], layout: Layout, source: SourceFormat
) -> list[str]:
    """Return notes on the table whose first lines are ``table``.

    Raises
    ------
    InvalidDataError
        The first line may be a header or a row, or names are missing or not unique.
    """
    found, line = header_of(table, source), shortened(",".join(table[0]).encode(), 40)
    if found is Header.UNCLEAR:
        raise InvalidDataError(
            f"s3 object {data.key}: line 1, {line!r}, may be a row, or a header whose names are "
            "numbers; set data.header to true or false"
        )
    if layout.header:
        _require_names(data, layout.column_names)
        _require_no_row_names(data, table)
    notes = []
    if found is Header.BY_EVIDENCE:
        notes.append(f"line 1, {line!r}, is a header; data.header false makes it a row")
    rows = table[1:] if layout.header else table
    if layout.label_column != 0 and layout.n_columns > 1 and _counts(rows):
        notes.append(f"{layout.column_title(0)} counts the rows; an index is no feature")
    return notes


def _require_no_row_names(data: DataObject, table: Sequence[Cells]) -> None:
    names, *rows = table
    if len(rows) > 1 and all(len(row) == len(names) + 1 for row in rows):
        raise InvalidDataError(
            f"s3 object {data.key}: rows have one column more than the header, like the row names "
            "that R writes: write the data without them (row.names=FALSE)"
        )


def _require_names(data: DataObject, names: Sequence[str]) -> None:
    unnamed = [str(number) for number, name in enumerate(names, 1) if _UNNAMED.fullmatch(name)]
    if unnamed:
        columns = (
            f"column {unnamed[0]} has"
            if len(unnamed) == 1
            else f"columns {', '.join(unnamed[:9])} have"
        )
        beside = (
            ""
            if unnamed[0] == "1"
            else "; line 1 has to be the header, without a title above it or empty columns"
        )
        raise InvalidDataError(
            f"s3 object {data.key}: {columns} no name, like the index that pandas or R writes: "
            "write the data without it (index=False, row.names=FALSE), or name the column" + beside
        )
    unreadable = next((name for name in names if REPLACEMENT in name), None)
    if unreadable is not None:
        raise InvalidDataError(
            f"s3 object {data.key}: the header is not UTF-8: {unreadable[:40]!r}; save it as UTF-8"
        )
    require_different_names(data, names)


def _counts(rows: Sequence[Cells]) -> bool:
    """Return whether the first cells are 0, 1, 2, … or 1, 2, 3, …"""
    cells = [row[0] for row in rows]
    numbers = list(range(len(cells) + 1))
    counted = [[str(number) for number in part] for part in (numbers[:-1], numbers[1:])]
    return len(cells) >= _ENOUGH_ROWS and cells in counted
