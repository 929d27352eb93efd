"""Rows of parquet objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.parquet import Table, require_same_columns
from stepml.ml.data.formats.rows import DenseRows, Skipped
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange
from stepml.ml.data.row_checks import RowChecks, rows_per_block
from stepml.ml.data.sniff import label_column


class ParquetRows:
    """Reads the row groups of byte ranges; one belongs to the range in which it begins."""

    def __init__(self, source: ObjectReader, objects: Sequence[DataObject], layout: Layout) -> None:
        self._source = source
        self._objects = objects
        self._layout = layout  # with columns, see `with_columns`
        self._checks = RowChecks(layout, self._feature_title)

    @property
    def skipped(self) -> Skipped:
        """The rows that were left out so far."""
        return self._checks.skipped

    def read(self, part: ByteRange) -> Iterator[DenseRows]:
        data = self._objects[part.object_index]
        table = Table(self._source, data)
        require_same_columns(data, table.column_names, self._layout.column_names)
        label = self._layout.label_column
        for batch in table.batches(part, rows_per_block(self._layout.n_columns)):
            y, X = np.zeros(len(batch.columns), np.float32), batch.columns
            if self._layout.has_label:
                y, X = X[:, label], np.delete(X, label, axis=1)
            rows = self._checks.dense(data.key, batch.first, y, X)
            if len(rows.y):
                yield rows

    def _feature_title(self, feature: int) -> str:
        is_behind = self._layout.has_label and feature >= self._layout.label_column
        return self._layout.column_title(feature + int(is_behind))


def with_columns(source: ObjectReader, objects: Sequence[DataObject], layout: Layout) -> Layout:
    """Return ``layout`` with the columns of the data set's first object, which its footer names.

    Raises
    ------
    InvalidDataError
        If there are no columns, the label is none of them, or nothing is beside it.
    """
    first = next(each for each in objects if each.value_bytes)
    names = Table(source, first).column_names
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
