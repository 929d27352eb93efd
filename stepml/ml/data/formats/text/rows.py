"""Rows in lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Protocol

from stepml.job.errors import BadRowError
from stepml.ml.data.formats.base import RowSource
from stepml.ml.data.formats.rows import (
    DenseRows,
    MalformedRowError,
    Skipped,
    SparseRows,
    shortened,
)
from stepml.ml.data.formats.text.lines import BadLines, Lines
from stepml.ml.data.formats.text.plain_text import PlainText
from stepml.ml.data.formats.text.reading import LineCounter, ReadLimits, line_number
from stepml.ml.data.formats.text.text_lines import TextLines
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange

# Of a sample, which is stored in documents that are read often.
_SAMPLE_CHARACTERS = 200
_KEY_CHARACTERS = 80


class Parser(Protocol):
    """Parses plain lines.

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

    def parse(self, lines: Lines) -> DenseRows | SparseRows:
        """Return the rows of ``lines``, at least one.

        Raises
        ------
        MalformedRowError
            For the first row that does not parse.
        """
        ...

    def parse_good(self, lines: Lines) -> tuple[DenseRows | SparseRows, BadLines]:
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
        self._lines = TextLines(source, objects, layout, request_bytes, limits)
        self._objects = objects
        self._skips = layout.on_bad_row == "skip"
        self._parser = parser
        self._counter = LineCounter(limits.max_counted_bytes)

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
        text = self._lines.text_of(self._objects[part.object_index])
        parse = self._parse_good if self._skips else self._parse
        for lines in self._lines.read(part, self._parser.block_bytes):
            rows = parse(text, lines)
            if len(rows.y):
                yield rows

    def _parse(self, text: PlainText, lines: Lines) -> DenseRows | SparseRows:
        with self._place_named(text):
            return self._parser.parse(lines)

    def _parse_good(self, text: PlainText, lines: Lines) -> DenseRows | SparseRows:
        with self._place_named(text):
            rows, bad = self._parser.parse_good(lines)
        self._skip(text, bad)
        return rows

    @contextmanager
    def _place_named(self, text: PlainText) -> Iterator[None]:
        try:
            yield
        except MalformedRowError as exc:
            number = line_number(text, exc.offset)
            raise BadRowError(f"s3 object {text.data.key}, line {number}: {exc.problem}") from exc

    def _skip(self, text: PlainText, bad: BadLines) -> None:
        self.skipped.count += len(bad)
        for error in islice(bad, self.skipped.wanted_samples):
            self.skipped.samples.append(self._sample(text, error))

    def _sample(self, text: PlainText, error: MalformedRowError) -> str:
        number = self._counter.number(text, error.offset)
        place = f"byte {error.offset}" if number is None else f"line {number}"
        message = f"s3 object {_tail(text.data.key)}, {place}: {error.problem}"
        return shortened(message.encode(), _SAMPLE_CHARACTERS)


def _tail(key: str) -> str:
    # The end of a long key is more specific than its start.
    return key if len(key) <= _KEY_CHARACTERS else f"…{key[1 - _KEY_CHARACTERS :]}"
