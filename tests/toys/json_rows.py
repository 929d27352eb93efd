"""A toy format: each object is a JSON array of rows, which begin with their label."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stepml.ml.data.formats.base import DataFormat, RowSource, layout_without_columns
from stepml.ml.data.formats.rows import DenseRows, Skipped
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange, Cut
from stepml.ml.data.source_format import SourceFormat


@dataclass
class JsonRowSource(RowSource):
    """Reads whole objects."""

    reader: ObjectReader
    objects: Sequence[DataObject]

    @property
    def skipped(self) -> Skipped:
        return Skipped()

    def read(self, part: ByteRange) -> Iterator[DenseRows]:
        table = _table(self.reader, self.objects[part.object_index])
        yield DenseRows(np.arange(len(table)), table[:, 0], table[:, 1:])


class JsonRows(DataFormat):
    """Rows of numbers; a label comes first."""

    name = "json_rows"
    endings = (".json",)

    def sniff(
        self, reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
    ) -> Layout:
        return layout_without_columns(source, _table(reader, objects[0]).shape[1] - 1)

    def open_rows(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int,
    ) -> JsonRowSource:
        return JsonRowSource(reader, objects)

    def cut_of(self, data: DataObject) -> Cut:
        return Cut.NOWHERE


def _table(reader: ObjectReader, data: DataObject) -> np.ndarray:
    return np.array(json.loads(reader.load_range(data.key, 0, data.value_bytes)), np.float32)
