"""Rows of parquet objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepml.job.columns import value_for
from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.base import RowSource
from stepml.ml.data.formats.columns import places_of_columns
from stepml.ml.data.formats.parquet.path_arrays import path_arrays
from stepml.ml.data.formats.parquet.table import Batch, Table
from stepml.ml.data.formats.parquet.values import (
    distinct,
    facts_of,
    levels_of,
    numbers_in,
    numbers_of,
)
from stepml.ml.data.formats.row_checks import BLOCK_BYTES, Flaw, RowChecks, rows_per_block
from stepml.ml.data.formats.rows import DenseRows, Skipped
from stepml.ml.data.layout import Layout
from stepml.ml.data.levels import LevelCollector
from stepml.ml.data.objects import REQUEST_BYTES, DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange
from stepml.ml.data.table import PLAIN_SETTINGS

Columns = Mapping[str, Any]  # of pyarrow, by name

# The kinds that a column of the first object may have in others.
_ALIKE = {
    "number": ("number", "boolean", "time"),
    "boolean": ("boolean", "number"),
    "time": ("time", "number"),
}


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
        self._numbers = [each for each in layout.raw_columns if not each.is_category]
        self._categories = [each for each in layout.raw_columns if each.is_category]
        self._collector = LevelCollector(self._categories, is_bounded=not layout.unlabelled)

    @property
    def skipped(self) -> Skipped:
        return self._checks.skipped

    @property
    def label_names(self) -> tuple[str, ...]:
        return self._checks.label_names

    @property
    def levels(self) -> Sequence[Sequence[str]]:
        return self._collector.lists()

    def read(self, part: ByteRange) -> Iterator[DenseRows]:
        data, layout = self._objects[part.object_index], self._layout
        table = Table(self._source, data, self._request_bytes)
        places_in(data, table, layout)
        _require_like_types(data, table, layout)
        own = [each for each in layout.kept_columns if each < layout.n_own_columns] or [0]
        names = [layout.column_names[column] for column in own]
        n_rows = rows_per_block(len(names), block_bytes=self._block_bytes)
        for batch in table.batches(part, n_rows, names):
            with table.damages_named():
                rows = self._rows(data, batch)
            if len(rows.y):
                yield rows

    def _rows(self, data: DataObject, batch: Batch) -> DenseRows:
        n_rows = len(next(iter(batch.columns.values())))
        columns = {**batch.columns, **path_arrays(data, self._layout, n_rows)}
        numbers = [numbers_in(columns[each.name], each) for each in self._numbers]
        X = _matrix([values for values, _ in numbers], n_rows)
        said = None
        if self._layout.validation_column >= 0:
            said = numbers_of(self._column(columns, self._layout.validation_column))
            said = said.astype(np.float64)
        y = self._labels(columns, n_rows)
        found = [levels_of(columns[each.name], each) for each in self._categories]
        flaws = [flaw for _, flaws in numbers for flaw in flaws]
        flaws += [
            Flaw(
                f"{column.title} is empty, a missing value",
                np.array([not each for each in texts])[places],
            )
            for column, (texts, places) in zip(self._categories, found, strict=True)
            if column.missing == "fail"
        ]
        weights = None
        if self._layout.weight_column >= 0:
            weights = numbers_of(self._column(columns, self._layout.weight_column))
        rows = self._checks.dense(data.key, batch.first, y, X, said, flaws, weights)
        if self._layout.table is None:
            return rows
        return replace(rows, levels=self._hashes(found, rows.offsets - batch.first))

    def _labels(self, columns: Columns, n_rows: int) -> NDArray[Any]:
        if not self._layout.has_label:
            return np.zeros(n_rows, np.float32)
        column = self._column(columns, self._layout.label_column)
        if self._layout.label_kind == "number":
            return numbers_of(column)
        return self._checks.labels_at(*distinct(column))

    def _column(self, columns: Columns, column: int) -> Any:
        return columns[self._layout.column_names[column]]

    def _hashes(
        self, found: Sequence[tuple[list[str], NDArray[np.intp]]], good: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        hashes = np.zeros((len(good), len(found)), np.uint64)
        for place, (texts, places) in enumerate(found):
            hashes[:, place] = self._collector.hashes_at(place, texts, places[good])
        return hashes


def _matrix(arrays: Sequence[NDArray[Any]], n_rows: int) -> NDArray[Any]:
    # float32 would not distinguish values that are too large from infinite ones, and lacks digits.
    is_wide = not all(np.can_cast(each.dtype, np.float32) for each in arrays)
    # Column by column in memory, like the source.
    columns = np.empty((len(arrays), n_rows), np.float64 if is_wide else np.float32)
    for place, column in zip(columns, arrays, strict=True):
        place[:] = column
    return columns.T


def places_in(data: DataObject, table: Table, layout: Layout) -> list[int] | None:
    """Return the places of the layout's columns in a table; None: they are in order.

    Raises
    ------
    InvalidDataError
        The table has other columns than the first one.
    """
    names = (*table.column_names, *layout.path_names)
    return places_of_columns(data, names, layout.column_names, "its columns are not those")


def _require_like_types(data: DataObject, table: Table, layout: Layout) -> None:
    """Refuse columns that are numbers or times in the first object, and something else here."""
    kinds = {each.name: each.kind for each in layout.raw_columns if not each.is_category}
    if layout.has_label and layout.label_kind == "number":
        kinds[layout.column_names[layout.label_column]] = "number"
    if layout.weight_column >= 0:
        kinds[layout.column_names[layout.weight_column]] = "number"
    given = dict((layout.settings or PLAIN_SETTINGS).types)  # text may have numbers
    for name, kind in kinds.items():
        found = table.column_types.get(name)
        if found is None or table.types.is_null(found) or value_for(name, given, ""):
            continue
        facts = facts_of(table.types, found)
        if facts is None or not (facts.kind in _ALIKE[kind] or facts.are_numbers):
            raise InvalidDataError(
                f"s3 object {data.key}: column {name[:40]!r} is of type {found}, but in the first "
                f"object it is a {kind}"
            )
