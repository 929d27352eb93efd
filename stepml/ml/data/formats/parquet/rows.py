"""Rows of parquet objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stepml.ml.data.formats.base import RowSource
from stepml.ml.data.formats.columns import require_same_names
from stepml.ml.data.formats.parquet.table import Table
from stepml.ml.data.formats.row_checks import BLOCK_BYTES, RowChecks, rows_per_block
from stepml.ml.data.formats.rows import DenseRows, Skipped, without_columns
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import REQUEST_BYTES, DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange


class ParquetRows(RowSource):
    """Reads the row groups that begin in a byte range."""

    def __init__(
        self,
        source: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int = REQUEST_BYTES,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self._request_bytes = request_bytes
        self._block_bytes = block_bytes
        self._source = source
        self._objects = objects
        self._layout = layout  # complete
        self._checks = RowChecks(layout, layout.feature_title)

    @property
    def skipped(self) -> Skipped:
        return self._checks.skipped

    @property
    def label_names(self) -> tuple[str, ...]:
        return self._checks.label_names

    def read(self, part: ByteRange) -> Iterator[DenseRows]:
        data = self._objects[part.object_index]
        table = Table(self._source, data, self._request_bytes)
        require_same_columns(data, table, self._layout)
        label, validates = self._layout.label_column, self._layout.validation_column
        n_rows = rows_per_block(self._layout.n_columns, block_bytes=self._block_bytes)
        for batch in table.batches(part, n_rows):
            table_rows = batch.columns
            y = table_rows[:, label] if label >= 0 else np.zeros(len(table_rows), np.float32)
            X = without_columns(table_rows, self._layout.other_columns)
            said = table_rows[:, validates].astype(np.float64) if validates >= 0 else None
            rows = self._checks.dense(data.key, batch.first, y, X, said)
            if len(rows.y):
                yield rows


def require_same_columns(data: DataObject, table: Table, layout: Layout) -> None:
    """Raise `InvalidDataError` if a table has other columns than the first one."""
    require_same_names(data, table.column_names, layout.column_names, "its columns are not those")
