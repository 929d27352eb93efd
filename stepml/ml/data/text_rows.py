"""Rows of lines of text: csv, tsv and libsvm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stepml.job.errors import BadRowError
from stepml.ml.data.formats import parser_for
from stepml.ml.data.formats.rows import DenseRows, MalformedRowError, SparseRows
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange
from stepml.ml.data.reading import Block, line_blocks, line_number
from stepml.ml.data.sniff import require_same_header


class TextRows:
    """Parses the lines of byte ranges, block by block."""

    def __init__(
        self,
        source: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int,
    ) -> None:
        self._source = source
        self._objects = objects
        self._layout = layout
        self._request_bytes = request_bytes
        self._parser = parser_for(layout)

    def read(self, part: ByteRange) -> Iterator[DenseRows | SparseRows]:
        data, header = self._objects[part.object_index], self._layout.header
        if header and part.start == 0:
            require_same_header(self._source, data, self._layout)
        for block in line_blocks(
            self._source, data, part, header=header, request_bytes=self._request_bytes
        ):
            rows = self._parse(data, block)
            if len(rows.y):
                yield rows

    def _parse(self, data: DataObject, block: Block) -> DenseRows | SparseRows:
        try:
            return self._parser.parse(block.text, block.offset)
        except MalformedRowError as exc:
            number = line_number(self._source, data, exc.offset)
            raise BadRowError(f"s3 object {data.key}, line {number}: {exc.problem}") from exc
