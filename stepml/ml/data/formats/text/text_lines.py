"""The plain lines of a data set's objects of text, whatever their dialect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.columns import places_of_columns
from stepml.ml.data.formats.text.fields import fields_of
from stepml.ml.data.formats.text.first_lines import SNIFF_BYTES, first_lines
from stepml.ml.data.formats.text.lines import Lines
from stepml.ml.data.formats.text.path_fields import path_fields
from stepml.ml.data.formats.text.plain_text import PlainText
from stepml.ml.data.formats.text.reading import BLOCK_BYTES, ReadLimits, line_blocks, line_number
from stepml.ml.data.formats.text.records import LineRules, record_ends
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import REQUEST_BYTES, DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange


class TextLines:
    """Reads lines of byte ranges, without headers, comments and blank lines.

    Columns of the same names may be in another order in each object. Those of the path are at the
    end of each line.

    Their text is UTF-8 and ends with LF. If quoted fields have line ends, a line is a record of
    several ones.
    """

    def __init__(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int = REQUEST_BYTES,
        limits: ReadLimits | None = None,
    ) -> None:
        self._reader = reader
        self._objects = objects
        self._layout = layout
        self._request_bytes = request_bytes
        self._limits = limits or ReadLimits()
        self._places: dict[str, Sequence[int] | None] = {}  # of columns, by key
        self._rules = LineRules(layout.dialect, layout.delimiter.encode())

    def text_of(self, data: DataObject) -> PlainText:
        """Return the plain text of an object, in which offsets of lines count."""
        return PlainText(self._reader, data, self._layout.dialect, self._request_bytes)

    def read(self, part: ByteRange, block_bytes: int = BLOCK_BYTES) -> Iterator[Lines]:
        """Yield the lines that start in ``part``, each with its offset in the plain text.

        Blocks have at most ``block_bytes`` bytes, unless a line is longer, and at least one line.

        Raises
        ------
        BadRowError
            A line is longer than 16 MB, or a quote is not closed.
        InvalidDataError
            The header has other names than that of the first object, the object has another
            dialect, or is damaged.
        DamagedValueError
            The object was changed while it was read.
        """
        text = self.text_of(self._objects[part.object_index])
        places, fields = self._places_of(text.data), path_fields(text.data, self._layout)
        blocks = line_blocks(
            text,
            part,
            first_row=self._first_row(text.data, part),
            rules=self._rules,
            block_bytes=block_bytes,
            max_line_bytes=self._limits.max_line_bytes,
        )
        for block in blocks:
            lines = Lines.of(block.text, block.offset, self._rules)
            if not len(lines.offsets):
                continue
            if self._layout.has_words:
                self._require_whole_words(text, lines)
            if fields:
                lines = lines.with_ending(fields)
            yield lines if places is None else replace(lines, places=places)

    def _first_row(self, data: DataObject, part: ByteRange) -> int:
        """Return the offset behind the header, if ``part`` may begin before it."""
        # Behind a longer header, a line begins in any case.
        if not self._layout.header or part.start >= SNIFF_BYTES:
            return 0
        dialect, delimiter = self._layout.dialect, self._layout.delimiter
        return first_lines(self._reader, data, dialect, delimiter).header_end

    def _places_of(self, data: DataObject) -> Sequence[int] | None:
        """Return the places of the columns in the lines of an object; None: they are in order."""
        if not self._layout.header or len(self._objects) == 1:  # the layout is that of its header
            return None
        if data.key not in self._places:
            self._places[data.key] = self._found_places(data)
        return self._places[data.key]

    def _found_places(self, data: DataObject) -> Sequence[int] | None:
        delimiter = self._layout.delimiter
        first = first_lines(self._reader, data, self._layout.dialect, delimiter)
        names = fields_of(first.lines[0], delimiter) if first.lines else ()
        names, expected = (*names, *self._layout.path_names), self._layout.column_names
        return places_of_columns(data, names, expected, "its header is not that")

    def _require_whole_words(self, text: PlainText, lines: Lines) -> None:
        """Refuse words that are not UTF-8, and line ends within them that are not expected."""
        where = f"s3 object {text.data.key}, "
        if not lines.text.isascii() and (problem := _undecodable(lines)) is not None:
            raise InvalidDataError(
                f"{where}line {line_number(text, problem)}: is not {self._layout.dialect.encoding}"
                "; set data.encoding to 'latin-1', if that is its encoding"
            )
        if self._layout.dialect.quoted_newlines or b'"' not in lines.text:
            return
        ends = record_ends(lines.text, self._rules.delimiter)
        if len(ends) < len(lines.offsets):
            newlines = np.flatnonzero(np.frombuffer(lines.text, np.uint8) == ord("\n"))
            line = int(np.setdiff1d(np.arange(len(newlines)), np.searchsorted(newlines, ends))[0])
            number = line_number(text, int(lines.offsets[line]))
            raise InvalidDataError(
                f"{where}line {number}: a quoted field has a line end, and the object was cut into "
                "ranges of bytes; set data.quoted_newlines to true"
            )


def _undecodable(lines: Lines) -> int | None:
    """Return the offset of the first line that is not UTF-8, if there is one."""
    try:
        lines.text.decode()
    except UnicodeDecodeError as exc:
        return int(lines.offsets[lines.text.count(b"\n", 0, exc.start)])
    return None
