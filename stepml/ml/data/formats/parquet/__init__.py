"""Parquet: row groups of columns, read with pyarrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.base import DataFormat, layout_without_columns
from stepml.ml.data.formats.columns import other_columns
from stepml.ml.data.formats.parquet.rows import ParquetRows, places_in
from stepml.ml.data.formats.parquet.table import MAGIC, Table
from stepml.ml.data.formats.parquet.values import facts_of, label_kind_of
from stepml.ml.data.formats.samples import SAMPLED_OBJECTS
from stepml.ml.data.formats.text.types import column_facts
from stepml.ml.data.labels import kind_of_labels
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.path_columns import PathColumn, columns_of_paths, require_own_names
from stepml.ml.data.remainders import ENOUGH_ROWS, Bounds, fine_within
from stepml.ml.data.source_format import SourceFormat
from stepml.ml.data.table import PLAIN_SETTINGS
from stepml.ml.data.table_plan import ColumnFacts, asked_label_kind, plan_table


class Parquet(DataFormat):
    """Columns in row groups; only range tasks read the footer, which needs pyarrow."""

    name = "parquet"
    endings = (".parquet",)

    def sniff(
        self, reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
    ) -> Layout:
        start = reader.load_range(objects[0].key, 0, len(MAGIC))
        if start != MAGIC:
            raise InvalidDataError(
                f"s3 object {objects[0].key} is not parquet: it starts with "
                f"{start.hex(' ') or 'nothing'} instead of {MAGIC.hex(' ')} (PAR1)"
            )
        return replace(
            layout_without_columns(source, source.n_features),
            label=source.label,
            settings=source.settings,
            has_classes=source.has_classes,
            path_names=tuple(each.name for each in source.path),
        )

    def open_rows(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int,
    ) -> ParquetRows:
        return ParquetRows(reader, objects, layout, request_bytes)

    def complete(
        self, reader: ObjectReader, objects: Sequence[DataObject], layout: Layout
    ) -> Layout:
        return with_columns(reader, objects, layout)

    def fine_features(
        self, reader: ObjectReader, objects: Sequence[DataObject], layout: Layout
    ) -> tuple[int, ...]:
        # The footers have the bounds of columns; reading the first rows would take much more.
        columns = [layout.column_of(number) for number in range(layout.n_numbers)]
        bounds, n_rows = _first_bounds(reader, objects, layout)
        known = bounds.of_columns(columns)
        unknown = np.flatnonzero(np.isnan(known.low)).tolist()
        others = self._fine_among(unknown, reader, objects, layout) if unknown else ()
        times = () if layout.table is None else layout.table.times
        return tuple(sorted({*fine_within(known, n_rows), *others, *times}))


def _first_bounds(
    reader: ObjectReader, objects: Sequence[DataObject], layout: Layout
) -> tuple[Bounds, int]:
    """Return the bounds of the columns in the first objects with 100 rows, and the rows of these.

    Most often, this is one object.
    """
    bounds, n_rows = Bounds.of(np.empty((0, layout.n_columns))), 0
    for data in [each for each in objects if each.value_bytes][:SAMPLED_OBJECTS]:
        table = Table(reader, data)
        if table.n_rows:  # others may have other columns
            places = places_in(data, table, layout)
            found = table.bounds().with_unknown(len(layout.path_names))
            found = found if places is None else found.of_columns(places)
            bounds, n_rows = bounds.merged(found), n_rows + table.n_rows
        if n_rows >= ENOUGH_ROWS:
            break
    return bounds, n_rows


def with_columns(reader: ObjectReader, objects: Sequence[DataObject], layout: Layout) -> Layout:
    """Return ``layout`` with the columns of the first object's footer.

    Raises
    ------
    InvalidDataError
        There are no columns, the label is not one of them, or it is the only one.
    """
    first = next(each for each in objects if each.value_bytes)
    table = Table(reader, first)
    if not table.column_names:
        raise InvalidDataError(f"s3 object {first.key} has no columns")
    require_own_names(first, table.column_names, layout.path_names)
    names = (*table.column_names, *layout.path_names)
    roles = other_columns(first, names, len(names), layout)
    n_features = len(names) - roles.count
    if not n_features:
        raise InvalidDataError(f"s3 object {first.key} has a label and no features")
    if layout.n_features not in (None, n_features):
        raise InvalidDataError(
            f"data.n_features is {layout.n_features}, but s3 object {first.key} has {n_features} "
            "columns of features"
        )
    layout = replace(
        layout,
        n_columns=len(names),
        label_column=roles.label,
        validation_column=roles.validation,
        weight_column=roles.weight,
        column_names=names,
        n_features=n_features,
    )
    training = objects if layout.first_validation < 0 else objects[: layout.first_validation]
    path = {each.name: each for each in columns_of_paths(training, layout.path_names)}
    table.column_types = _known_types(reader, training, table)
    layout = _with_types(first, table, layout, path)
    _require_no_index(first, table, layout)
    return layout


def _known_types(
    reader: ObjectReader, objects: Sequence[DataObject], table: Table
) -> dict[str, Any]:
    """Return the types of columns; of one without any value, that in the next objects."""
    found = dict(table.column_types)
    for data in [each for each in objects if each.value_bytes][1:SAMPLED_OBJECTS]:
        unknown = [name for name, kind in found.items() if table.types.is_null(kind)]
        if not unknown:
            break
        others = Table(reader, data).column_types
        found |= {name: others[name] for name in unknown if name in others}
    return found


def _require_no_index(data: DataObject, table: Table, layout: Layout) -> None:
    """Refuse the index of a frame, which pandas stores as columns, unless it is left out."""
    used = [layout.column_names[column] for column in layout.kept_columns]
    for name in table.index_names:
        if name in used:
            raise InvalidDataError(
                f"s3 object {data.key}: column {name[:40]!r} is the index of a pandas "
                "frame, no feature: leave it out with data.columns.drop, write the frame with "
                "index=False, or make it a column with reset_index()"
            )


def _with_types(
    data: DataObject, table: Table, layout: Layout, path: Mapping[str, PathColumn]
) -> Layout:
    """Return ``layout`` with the kinds of its columns, as the footer and the paths have them."""

    def facts(column: int, is_typed: bool) -> ColumnFacts:
        name, title = layout.column_names[column], layout.column_title(column)
        if name in path:
            return column_facts(data, title, name, path[name].telling_values, is_typed=is_typed)
        found = facts_of(table.types, table.column_types[name])
        if found is None:
            raise _unsupported(data, title, table.column_types[name])
        return found

    _require_number_weights(data, table, layout)
    others = layout.other_columns
    own = {column: name for column, name in enumerate(layout.column_names) if column not in others}
    label = layout.column_names[layout.label_column] if layout.has_label else ""
    planned = plan_table(data, own, layout.settings or PLAIN_SETTINGS, facts, label)
    if planned is not None:
        layout = replace(layout, table=planned, n_features=None)
    return replace(layout, label_kind=_label_kind(data, table, layout, path))


def _require_number_weights(data: DataObject, table: Table, layout: Layout) -> None:
    column = layout.weight_column
    kind = table.column_types.get(layout.column_names[column]) if column >= 0 else None
    if kind is None:  # it is a column of the path
        return
    found = facts_of(table.types, kind)
    if found is None or not (found.kind in ("number", "boolean") or found.are_numbers):
        raise InvalidDataError(
            f"data.weight: {layout.column_title(column)} of s3 object {data.key} is of type "
            f"{kind}; expected numbers"
        )


def _label_kind(
    data: DataObject, table: Table, layout: Layout, path: Mapping[str, PathColumn]
) -> str:
    if not layout.has_label:
        return "number"
    name = layout.column_names[layout.label_column]
    asked = asked_label_kind(name, layout.settings or PLAIN_SETTINGS)
    if name in path:
        values = [each for each in path[name].telling_values if each]
        return asked or kind_of_labels(values, are_classes=layout.has_classes)
    kind = table.column_types[name]
    found = label_kind_of(table.types, kind)
    if found is None:
        raise _unsupported(data, f"the label, {layout.column_title(layout.label_column)},", kind)
    if asked is not None:
        return asked
    if found == "number" and layout.has_classes and table.types.is_integer(kind):
        low, high = (each[layout.label_column] for each in astuple(table.bounds()))
        return kind_of_labels([f"{end:.0f}" for end in (low, high) if end == end], are_classes=True)
    return found


def _unsupported(data: DataObject, title: str, kind: object) -> InvalidDataError:
    return InvalidDataError(
        f"s3 object {data.key}: {title} is of type {kind}; numbers, booleans, text, dates and "
        "times are possible: leave it out with data.columns.drop, or make several columns of it"
    )
