"""The types of a table's columns, judged by the cells of its first rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stepml.ml.data.formats.text.lookalikes import refuse_lookalikes
from stepml.ml.data.formats.text.numbers import is_text
from stepml.ml.data.labels import LEAST_SHARE_OF_WORDS, LEAST_WORDS, kind_of_labels
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject
from stepml.ml.data.source_format import SourceFormat
from stepml.ml.data.table_plan import ColumnFacts, asked_label_kind, plan_table
from stepml.ml.data.times import seconds_of

_BOOLEANS = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})


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
        All cells look like numbers or dates, in another way of writing; see `refuse_lookalikes`.
    """
    rows = Counter(filter(None, cells))  # of each distinct cell
    known = list(rows)
    words = [each for each in known if is_text(each.encode())]
    if not words:
        return ColumnFacts("number", are_numbers=True)
    if all(each in _BOOLEANS for each in known):
        return ColumnFacts("boolean")
    if all(not math.isnan(seconds_of(each)) for each in known):
        return ColumnFacts("time")
    if not is_typed:
        refuse_lookalikes(data, title, name, known)
    n_words, n_known = sum(rows[each] for each in words), rows.total()
    is_mixed = n_words < n_known
    if is_mixed and (n_words < LEAST_WORDS or n_words < LEAST_SHARE_OF_WORDS * n_known):
        return ColumnFacts("number")
    return ColumnFacts("category")


@dataclass(frozen=True, slots=True)
class FirstCells:
    """The cells of a table's first rows, and the values of columns that only paths have."""

    rows: Sequence[Sequence[str]]
    path: Sequence[Sequence[str]] = ()  # of the last columns

    def of_column(self, column: int, layout: Layout) -> list[str]:
        """Return the cells of one column; empty ones are missing."""
        if column >= layout.n_own_columns:
            return list(self.path[column - layout.n_own_columns])
        return [row[column] for row in self.rows]


def with_types(data: DataObject, layout: Layout, first: FirstCells, source: SourceFormat) -> Layout:
    """Return the layout with the table of its columns, given the first cells.

    Raises
    ------
    InvalidDataError
        A type is not clear, or the job names columns that there are not.
    """
    names = layout.column_names or ("",) * layout.n_columns

    def facts_of(column: int, is_typed: bool) -> ColumnFacts:
        cells = first.of_column(column, layout)
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


def with_label_kind(layout: Layout, first: FirstCells, source: SourceFormat) -> Layout:
    """Return the layout with the kind of the labels: as the job says, or as the first rows show."""
    if not layout.has_label:
        return layout
    column, names = layout.label_column, layout.column_names
    kind = asked_label_kind(names[column] if names else "", source.settings)
    if kind is None:
        cells = [cell for cell in first.of_column(column, layout) if cell]
        kind = kind_of_labels(cells, are_classes=source.has_classes)
    return replace(layout, label_kind=kind)
