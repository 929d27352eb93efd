"""Parquet: row groups of columns, read with pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.base import DataFormat, layout_without_columns
from stepml.ml.data.formats.columns import label_column
from stepml.ml.data.formats.parquet.rows import ParquetRows
from stepml.ml.data.formats.parquet.table import MAGIC, Table
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.remainders import Bounds, fine_within
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
        return ParquetRows(reader, objects, layout)

    def complete(
        self, reader: ObjectReader, objects: Sequence[DataObject], layout: Layout
    ) -> Layout:
        return with_columns(reader, objects, layout)

    def fine_features(
        self, reader: ObjectReader, objects: Sequence[DataObject], layout: Layout
    ) -> tuple[int, ...]:
        # The footer has the bounds of each column; reading the first rows would take much more.
        bounds = Table(reader, objects[0]).bounds()
        columns = [layout.column_of(feature) for feature in range(layout.n_features or 0)]
        return fine_within(Bounds(bounds.low[columns], bounds.high[columns]))


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
    column = label_column(first, names, len(names), layout.label) if layout.has_label else -1
    n_features = len(names) - int(layout.has_label)
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
        label_column=column,
        column_names=names,
        n_features=n_features,
    )
