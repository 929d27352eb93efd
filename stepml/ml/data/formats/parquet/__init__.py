"""Parquet: row groups of columns, read with pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.base import DataFormat, layout_without_columns
from stepml.ml.data.formats.columns import other_columns
from stepml.ml.data.formats.parquet.rows import ParquetRows, require_same_columns
from stepml.ml.data.formats.parquet.table import MAGIC, Table
from stepml.ml.data.formats.samples import SAMPLED_OBJECTS
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.remainders import ENOUGH_ROWS, Bounds, fine_within
from stepml.ml.data.source_format import SourceFormat


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
        return replace(layout_without_columns(source, source.n_features), label=source.label)

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
        columns = [layout.column_of(feature) for feature in range(layout.n_features or 0)]
        bounds, n_rows = _first_bounds(reader, objects, layout)
        known = Bounds(bounds.low[columns], bounds.high[columns])
        unknown = np.flatnonzero(np.isnan(known.low)).tolist()
        others = self._fine_among(unknown, reader, objects, layout) if unknown else ()
        return tuple(sorted((*fine_within(known, n_rows), *others)))


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
            require_same_columns(data, table, layout)
            bounds, n_rows = bounds.merged(table.bounds()), n_rows + table.n_rows
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
    names = Table(reader, first).column_names
    if not names:
        raise InvalidDataError(f"s3 object {first.key} has no columns")
    label, validates = other_columns(first, names, len(names), layout)
    n_features = len(names) - int(label >= 0) - int(validates >= 0)
    if not n_features:
        raise InvalidDataError(f"s3 object {first.key} has a label and no features")
    if layout.n_features not in (None, n_features):
        raise InvalidDataError(
            f"data.n_features is {layout.n_features}, but s3 object {first.key} has {n_features} "
            f"columns{' beside the label' if layout.has_label else ''}"
        )
    return replace(
        layout,
        n_columns=len(names),
        label_column=label,
        validation_column=validates,
        column_names=names,
        n_features=n_features,
    )
