"""Facts about a table that are inferred from its first lines: notes on them, or refusals."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Sequence

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.columns import require_different_names
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.formats.text.first_lines import REPLACEMENT, FirstLines
from stepml.ml.data.formats.text.headers import Cells, Header, find_header
from stepml.ml.data.formats.text.lookalikes import NUMBERS, seeming
from stepml.ml.data.formats.text.numbers import is_text
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject
from stepml.ml.data.source_format import SourceFormat

_DECIMAL_COMMA = re.compile(r"^\s*([-+]?\d+),(\d+)\s*$")
_COMMENTS = ("#", "/", "%")
_ENOUGH_ROWS = 5  # to see that a column counts the rows
# The name that pandas gives to a column without one.
_UNNAMED = re.compile(r"(Unnamed: \d+(_level_\d+)?)?")


def header_of(table: Sequence[Cells], source: SourceFormat) -> Header:
    """Return whether the first line of ``table`` is a header: as the job says, or as it seems."""
    if source.header is not None:
        return Header.YES if source.header else Header.NO
    if {source.validates, source.weight} & set(table[0]):
        return Header.YES
    # A decimal comma is no name, although the job does not say that it is one.
    first, *rows = ([_DECIMAL_COMMA.sub(r"\1.\2", cell) for cell in row] for row in table)
    return find_header(first, rows, source.label if source.has_label else None)


def comment_hint(first: FirstLines) -> str:
    """Return a hint at a first line that is no row and no header, or ""."""
    mark = first.lines[0].lstrip()[:1].decode("latin-1")
    if len(first.lines) < 2 or mark not in _COMMENTS:
        return ""
    return f"; it seems to be a comment: set data.comment to {mark!r}"


def review_table(first: FirstLines, layout: Layout, source: SourceFormat) -> list[str]:
    """Return notes on the table with the first lines ``first``.

    Raises
    ------
    InvalidDataError
        The first line may be a header or a row, or names are missing or not unique.
    """
    data, table = first.data, first.values()
    found, line = header_of(table, source), shortened(",".join(table[0]).encode(), 40)
    if found is Header.UNCLEAR:
        raise InvalidDataError(
            f"s3 object {data.key}: line 1, {line!r}, may be a row, or a header whose names are "
            "numbers; set data.header to true or false"
        )
    if layout.header:
        _require_names(data, layout.column_names, _used(layout))
        _require_no_row_names(data, table)
    notes = []
    if found is Header.BY_EVIDENCE:
        notes.append(f"line 1, {line!r}, is a header; data.header false makes it a row")
    rows = table[1:] if layout.header else table
    is_feature = any(each.column == 0 for each in layout.raw_columns)
    if is_feature and layout.n_columns > 1 and _counts(rows):
        notes.append(f"{layout.column_title(0)} counts the rows; an index is no feature")
    return [*notes, *_notes_on_labels(rows, layout)]


def _notes_on_labels(rows: Sequence[Cells], layout: Layout) -> list[str]:
    """Return a note if labels are texts that look like numbers, such as 1,5."""
    column = layout.label_column if layout.has_label else sys.maxsize
    labels = [row[column].strip() for row in rows if len(row) > column]
    words = [each for each in labels if is_text(each.encode())]
    found = seeming(labels) if words else None
    if found is None or found[0] != NUMBERS:
        return []
    return [f"labels such as {words[0]!r} are taken for texts; if they are numbers, {found[1]}"]


def _require_no_row_names(data: DataObject, table: Sequence[Cells]) -> None:
    names, *rows = table
    if len(rows) > 1 and all(len(row) == len(names) + 1 for row in rows):
        raise InvalidDataError(
            f"s3 object {data.key}: rows have one column more than the header, like the row names "
            "that R writes: write the data without them (row.names=FALSE)"
        )


def _used(layout: Layout) -> set[int]:
    """Return the columns that are features, or have a role of their own."""
    return layout.named_columns.union(each.column for each in layout.raw_columns)


def _require_names(data: DataObject, names: Sequence[str], used: Collection[int]) -> None:
    unnamed = [
        str(column + 1)
        for column, name in enumerate(names)
        if _UNNAMED.fullmatch(name) and column in used
    ]
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
            "write the data without it (index=False, row.names=FALSE), name the column, or leave "
            f"it out with data.columns {_leaving_out(names[int(unnamed[0]) - 1])}" + beside
        )
    unreadable = next((name for name in names if REPLACEMENT in name), None)
    if unreadable is not None:
        raise InvalidDataError(
            f"s3 object {data.key}: the header is not UTF-8: {unreadable[:40]!r}; save it as UTF-8"
        )
    require_different_names(data, names)


def _leaving_out(name: str) -> str:
    return f'{{"drop": ["{name}"]}}' if name else '{"use": ["?*"]}'


def _counts(rows: Sequence[Cells]) -> bool:
    """Return whether the first cells are 0, 1, 2, … or 1, 2, 3, …"""
    cells = [row[0] for row in rows]
    numbers = list(range(len(cells) + 1))
    counted = [[str(number) for number in part] for part in (numbers[:-1], numbers[1:])]
    return len(cells) >= _ENOUGH_ROWS and cells in counted
