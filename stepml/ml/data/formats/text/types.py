"""The types of a table's columns, judged by the cells of its first rows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.formats.text.numbers import is_missing, is_text
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject
from stepml.ml.data.source_format import SourceFormat
from stepml.ml.data.table_plan import ColumnFacts, plan_table
from stepml.ml.data.times import seconds_of

TRUE_WORDS = frozenset({"true", "True", "TRUE"})
FALSE_WORDS = frozenset({"false", "False", "FALSE"})
_BOOLEANS = TRUE_WORDS | FALSE_WORDS
# A column of numbers may have a few words for missing values that are not the usual ones.
_FEW_WORDS = 3
_MOSTLY = 0.8


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
        Of the first rows, without blanks around them.
    is_typed : bool, default False
        The job gives the type.

    Raises
    ------
    InvalidDataError
        Most cells are numbers, and a few are words: they may be missing values, or levels.
    """
    known = [each for each in cells if not is_missing(each.encode())]
    words = [each for each in known if is_text(each.encode())]
    if not words:
        return ColumnFacts("number", are_numbers=True)
    if all(each in _BOOLEANS for each in known):
        return ColumnFacts("boolean")
    if all(not math.isnan(seconds_of(each)) for each in known):
        return ColumnFacts("time")
    if not is_typed:
        _require_clear(data, title, name, known, words)
    return ColumnFacts("category")


def _require_clear(
    data: DataObject, title: str, name: str, known: Sequence[str], words: Sequence[str]
) -> None:
    different = sorted(set(words))
    if len(different) > _FEW_WORDS or len(known) - len(words) < _MOSTLY * len(known):
        return
    shown = ", ".join(repr(shortened(each.encode(), 40)) for each in different)
    setting = json.dumps({name or "*": "category"})
    raise InvalidDataError(
        f"s3 object {data.key}: {title} has numbers, and {shown}; set "
        f"data.missing_words if that stands for a missing value, or data.columns.types {setting} "
        "if all are levels"
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
    own = {column: name for column, name in enumerate(names) if column not in others}
    table = plan_table(data, own, source.settings, facts_of)
    if table is None:
        return layout
    is_general = any(each.kind != "number" for each in table.columns)
    return replace(layout, table=table, n_features=None, is_general=is_general)
