"""Rows in lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Protocol

from stepml.job.errors import BadRowError
from stepml.ml.data.formats.base import RowSource
from stepml.ml.data.formats.columns import require_same_names
from stepml.ml.data.formats.rows import (
    DenseRows,
    MalformedRowError,
    Skipped,
    SparseRows,
    shortened,
)
from stepml.ml.data.formats.text.first_lines import fields_of, first_lines
from stepml.ml.data.formats.text.lines import BadLines
from stepml.ml.data.formats.text.reading import (
    Block,
    LineCounter,
    ReadLimits,
    line_blocks,
    line_number,
)
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange

# Of a sample, which is stored in documents that are read often.
_SAMPLE_CHARACTERS = 200
_KEY_CHARACTERS = 80


class Parser(Protocol):
    """Parses blocks of whole lines.

    Attributes
    ----------
    label_names, levels
        As of `RowSource`.
    """

    block_bytes: int  # that it reads at once

    @property
    def label_names(self) -> tuple[str, ...]: ...
    @property
    def levels(self) -> Sequence[Sequence[str]]: ...

    def parse(self, text: bytes, offset: int) -> DenseRows | SparseRows:
        """Return the rows of ``text``, which ends with a newline and starts at ``offset``.

        Raises
        ------
        MalformedRowError
            For the first row that does not parse.
        """
        ...

    def parse_good(self, text: bytes, offset: int) -> tuple[DenseRows | SparseRows, BadLines]:
        """Return the rows that parse, and the bad lines.

        A line is bad if `parse` would refuse it: it has a wrong number of columns, quotes, indices
        that do not ascend, or a malformed value. Without bad lines, this is as fast as `parse`.

        Raises
        ------
        MalformedRowError
            For a row that shows that all others would be misread.
        """
        ...


class TextRows(RowSource):
    """Parses the lines of byte ranges, block by block.

    Lines that do not parse are skipped if the layout allows it. A line of more than 16 MB always
    fails the job, because several ranges would read it.
    """

    def __init__(
        self,
        source: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        parser: Parser,
        request_bytes: int,
        limits: ReadLimits,
    ) -> None:
        self._skipped = Skipped()
        self._source = source
        self._objects = objects
        self._layout = layout
        self._request_bytes = request_bytes
        self._limits = limits
        self._parser = parser
        self._counter = LineCounter(source, max_counted_bytes=limits.max_counted_bytes)

    @property
    def skipped(self) -> Skipped:
        return self._skipped

    @property
    def label_names(self) -> tuple[str, ...]:
        return self._parser.label_names

    @property
    def levels(self) -> Sequence[Sequence[str]]:
        return self._parser.levels

    def read(self, part: ByteRange) -> Iterator[DenseRows | SparseRows]:
        data, header = self._objects[part.object_index], self._layout.header
        if header and part.start == 0:
            self._require_same_header(data)
        parse = self._parse_good if self._layout.on_bad_row == "skip" else self._parse
        for block in line_blocks(
            self._source,
            data,
            part,
            header=header,
            request_bytes=self._request_bytes,
            block_bytes=self._parser.block_bytes,
            max_line_bytes=self._limits.max_line_bytes,
        ):
            rows = parse(data, block)
            if len(rows.y):
                yield rows

    def _require_same_header(self, data: DataObject) -> None:
        lines = first_lines(self._source, data).lines
        names = fields_of(lines[0], self._layout.delimiter) if lines else ()
        require_same_names(data, names, self._layout.column_names, "its header is not that")

    def _parse(self, data: DataObject, block: Block) -> DenseRows | SparseRows:
        with self._place_named(data):
            return self._parser.parse(block.text, block.offset)

    def _parse_good(self, data: DataObject, block: Block) -> DenseRows | SparseRows:
        with self._place_named(data):
            rows, bad = self._parser.parse_good(block.text, block.offset)
        self._skip(data, bad)
        return rows

    @contextmanager
    def _place_named(self, data: DataObject) -> Iterator[None]:
        try:
            yield
        except MalformedRowError as exc:
            number = line_number(self._source, data, exc.offset)
            raise BadRowError(f"s3 object {data.key}, line {number}: {exc.problem}") from exc

    def _skip(self, data: DataObject, bad: BadLines) -> None:
        self.skipped.count += len(bad)
        for error in islice(bad, self.skipped.wanted_samples):
            self.skipped.samples.append(self._sample(data, error))

    def _sample(self, data: DataObject, error: MalformedRowError) -> str:
        number = self._counter.number(data, error.offset)
        place = f"byte {error.offset}" if number is None else f"line {number}"
        message = f"s3 object {_tail(data.key)}, {place}: {error.problem}"
        return shortened(message.encode(), _SAMPLE_CHARACTERS)


def _tail(key: str) -> str:
    # The end of a long key is more specific than its start.
    return key if len(key) <= _KEY_CHARACTERS else f"…{key[1 - _KEY_CHARACTERS :]}"
