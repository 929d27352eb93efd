"""Finds out how the text of a table is written, from the start of an object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stepml.ml.data.dialect import Dialect
from stepml.ml.data.formats.text.delimiters import find_delimiter
from stepml.ml.data.formats.text.first_lines import SNIFF_BYTES, FirstLines, first_lines, start_of
from stepml.ml.data.formats.text.foreign import refuse_binary
from stepml.ml.data.formats.text.plain_text import PlainText, compression_of, is_utf_16
from stepml.ml.data.formats.text.records import NEWLINE, record_ends
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.source_format import SourceFormat

# Quotes and letters that are not ASCII may come late.
SEARCHED_BYTES = 8 * 2**20
# Numbers, separators, and letters of words such as NaN, null and inf.
_OF_NUMBERS = b"0123456789.,;:|+-eE \t\r\nnNaAuUlLiIfFtTyY?<>/#"


class _Starts:
    """Reads objects; the first bytes of the last one but once."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self._key = ""
        self._start = b""
        self._asked = 0

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        if start > 0:
            return self._reader.load_range(key, start, stop)
        if key != self._key or stop > self._asked:
            self._start = self._reader.load_range(key, 0, stop)
            self._key, self._asked = key, stop
        return self._start[:stop]


def sniffed_lines(
    reader: ObjectReader, data: DataObject, source: SourceFormat, own_delimiter: str
) -> FirstLines:
    """Return the first lines of ``data``, with the dialect and the delimiter that they show.

    Parameters
    ----------
    reader : ObjectReader
    data : DataObject
    source : SourceFormat
        The job's description.
    own_delimiter : str
        Of the format; without one, lines have no columns.

    Raises
    ------
    InvalidDataError
        The content is binary, damaged or no table.
    """
    reader = _Starts(reader)
    dialect = _without_quotes(reader, data, source)
    text, is_all = start_of(PlainText(reader, data, dialect))
    delimiter = own_delimiter and find_delimiter(text, is_all, own_delimiter, source)
    dialect = _searched(PlainText(reader, data, dialect), text, delimiter, source)
    return first_lines(reader, data, dialect, delimiter)


def dialect_notes(layout: Layout, source: SourceFormat, own_delimiter: str) -> list[str]:
    """Return notes on what `sniffed_lines` inferred."""
    notes, dialect = [], layout.dialect
    if layout.delimiter != own_delimiter and source.delimiter is None:
        shown = {" ": "blanks", "\t": "tabs"}.get(layout.delimiter, repr(layout.delimiter))
        notes.append(f"columns are separated by {shown}; data.delimiter says otherwise")
    if dialect.encoding == "latin-1" and source.encoding is None:
        notes.append("the text is not UTF-8: it is read as Windows-1252; see data.encoding")
    if reasons := list(_reasons_for_one_function(dialect)):
        notes.append(f"{', '.join(reasons)}: one function reads an object")
    if dialect.quoted_newlines and source.quoted_newlines is None:
        notes.append("data.quoted_newlines false refuses line ends in quoted fields")
    return notes


def _reasons_for_one_function(dialect: Dialect) -> Iterator[str]:
    if dialect.compression:
        yield f"the text is compressed ({dialect.compression})"
    if dialect.encoding == "utf-16":
        yield "the text is UTF-16"
    if dialect.line_end == "\r":
        yield "lines end with CR alone"
    if dialect.quoted_newlines:
        yield "quoted fields have line ends"


def _without_quotes(reader: ObjectReader, data: DataObject, source: SourceFormat) -> Dialect:
    """Return all of a dialect but its quotes and letters."""
    start = reader.load_range(data.key, 0, SNIFF_BYTES)
    refuse_binary(data, start)
    compression = compression_of(start)
    dialect = Dialect(
        compression=compression,
        comment=source.comment or "",
        decimal=source.decimal,
        thousands=source.thousands or "",
        missing_words=source.missing_words,
    )
    if compression:
        start, _ = PlainText(reader, data, dialect).start(SNIFF_BYTES)
    is_wide = source.encoding is None and is_utf_16(start)
    dialect = replace(dialect, encoding="utf-16" if is_wide else source.encoding or "utf-8")
    text, _ = PlainText(reader, data, dialect).start(SNIFF_BYTES)
    return replace(dialect, line_end="\r" if b"\r" in text and b"\n" not in text else "\n")


def _searched(plain: PlainText, start: bytes, delimiter: str, source: SourceFormat) -> Dialect:
    """Return the dialect with what a search of the first megabytes shows."""
    dialect, (text, is_all) = plain.dialect, (start, True)
    if not _is_of_numbers(start):
        text, is_all = plain.start(SEARCHED_BYTES)
    if source.encoding is None and dialect.encoding == "utf-8" and not _is_utf_8(text):
        dialect = replace(dialect, encoding="latin-1")
    found = bool(source.quoted_newlines)
    if source.quoted_newlines is None and delimiter and b'"' in text:
        whole = text if is_all else text[: text.rfind(b"\n") + 1]
        found = _has_quoted_newlines(whole, dialect, delimiter)
    # The first rows may have none; a header's quotes do not count.
    is_said = source.quoted_newlines is not None
    has_quotes = bool(delimiter) and (is_said or b'"' in text[text.find(b"\n") + 1 :])
    return replace(dialect, has_quotes=has_quotes, quoted_newlines=found)


def _is_of_numbers(text: bytes) -> bool:
    """Return whether there are only numbers behind the first line, which may have names."""
    return not text[text.find(b"\n") + 1 :].translate(None, _OF_NUMBERS)


def _is_utf_8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError as exc:
        return exc.end == len(text) and exc.reason == "unexpected end of data"
    return True


def _has_quoted_newlines(text: bytes, dialect: Dialect, delimiter: str) -> bool:
    ends = record_ends(text, delimiter.encode(), dialect.comment.encode())
    return len(ends) < int(np.count_nonzero(np.frombuffer(text, np.uint8) == NEWLINE))
