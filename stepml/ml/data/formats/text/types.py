"""The types of a table's columns, judged by the cells of its first rows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.formats.text.numbers import is_text
from stepml.ml.data.labels import LEAST_SHARE_OF_WORDS, LEAST_WORDS, kind_of_labels
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject
from stepml.ml.data.source_format import SourceFormat
from stepml.ml.data.table_plan import ColumnFacts, asked_label_kind, plan_table
from stepml.ml.data.times import seconds_of

_BOOLEANS = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})
_DECORATED = re.compile(r"[-+(]?\s*[$€£¥]?\s*[-+]?\d[\d.,'\u2019 \u00a0\u202f]*\s*[%$€£¥)]*")
_UNITS = "write them without units"
_CURES = {
    "set data.thousands to ','": re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?"),
    "set data.decimal to ','": re.compile(r"[-+]?\d*,\d+"),
    "set data.decimal to ',' and data.thousands to '.'": re.compile(
        r"[-+]?\d{1,3}(\.\d{3})*(,\d+)?"
    ),
    "set data.thousands to ' '": re.compile(r"[-+]?\d{1,3}([ \u00a0\u202f]\d{3})+(\.\d*)?"),
    "set data.decimal to ',' and data.thousands to ' '": re.compile(
        r"[-+]?\d{1,3}([ \u00a0\u202f]\d{3})*(,\d+)?"
    ),
    'set data.thousands to "\'"': re.compile(r"[-+]?\d{1,3}(['\u2019]\d{3})*(\.\d*)?"),
}


def column_facts(
    data: DataObject, title: str, name: str, cells: Sequence[str], *, is_typed: bool = False
) -> ColumnFacts:
    """Return the facts about one column.

    Parameters
    ----------
    data : DataObject
        For messages.
    title, name : str
        Of the column.
    cells : sequence of str
        Of the first rows, without blanks around them; empty: missing.
    is_typed : bool, default False
        The job gives the type.

    Raises
    ------
    InvalidDataError
        All cells are numbers with separators of thousands, decimal commas, or units.
    """
    known = list(filter(None, cells))
    words = [each for each in known if is_text(each.encode())]
    if not words:
        return ColumnFacts("number", are_numbers=True)
    if all(each in _BOOLEANS for each in known):
        return ColumnFacts("boolean")
    if all(not math.isnan(seconds_of(each)) for each in known):
        return ColumnFacts("time")
    if not is_typed and all(_DECORATED.fullmatch(each) for each in known):
        raise _decorated(data, title, name, words)
    is_mixed = len(words) < len(known)
    if is_mixed and (len(words) < LEAST_WORDS or len(words) < LEAST_SHARE_OF_WORDS * len(known)):
        return ColumnFacts("number")
    return ColumnFacts("category")


def _decorated(data: DataObject, title: str, name: str, cells: Sequence[str]) -> InvalidDataError:
    cell = cells[0]
    cure = next((cure for cure, form in _CURES.items() if all(map(form.fullmatch, cells))), _UNITS)
    setting = json.dumps({name or "*": "category"})
    return InvalidDataError(
        f"s3 object {data.key}: {title} seems to have numbers, such as "
        f"{shortened(cell.encode(), 40)!r}: {cure}; data.columns.types {setting} makes them levels"
    )


def with_types(
    data: DataObject, layout: Layout, rows: Sequence[Sequence[str]], source: SourceFormat
) -> Layout:
    """Return the layout with the table of its columns, given the first rows.

    Raises
    ------
    InvalidDataError
        A type is not clear, or the job names columns that there are not.
    """
    names = layout.column_names or ("",) * layout.n_columns

    def facts_of(column: int, is_typed: bool) -> ColumnFacts:
        cells = [row[column] for row in rows]
        title = layout.column_title(column)
        return column_facts(data, title, names[column], cells, is_typed=is_typed)

    others = layout.other_columns
    label = names[layout.label_column] if layout.has_label else ""
    own = {column: name for column, name in enumerate(names) if column not in others}
    table = plan_table(data, own, source.settings, facts_of, label)
    if table is None:
        return layout
    is_general = any(each.kind != "number" for each in table.columns)
    return replace(layout, table=table, n_features=None, is_general=is_general)


def with_label_kind(layout: Layout, rows: Sequence[Sequence[str]], source: SourceFormat) -> Layout:
    """Return the layout with the kind of the labels: as the job says, or as the first rows show."""
    if not layout.has_label:
        return layout
    column, names = layout.label_column, layout.column_names
    kind = asked_label_kind(names[column] if names else "", source.settings)
    if kind is None:
        cells = [row[column] for row in rows if row[column]]
        kind = kind_of_labels(cells, are_classes=source.has_classes)
    return replace(layout, label_kind=kind)
