"""The first lines of an object of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from stepml.job.errors import EmptyDataError
from stepml.ml.data.dialect import Dialect
from stepml.ml.data.formats.text.fields import fields_of
from stepml.ml.data.formats.text.foreign import refuse_others
from stepml.ml.data.formats.text.lines import Lines
from stepml.ml.data.formats.text.plain_text import PlainText
from stepml.ml.data.formats.text.reading import MAX_LINE_BYTES, preamble_bytes
from stepml.ml.data.formats.text.records import LineRules
from stepml.ml.data.formats.text.spelling import Spelling
from stepml.ml.data.objects import DataObject, ObjectReader

SNIFF_BYTES = 2**20
_MOST_LINES = 100  # that tell whether there is a header
REPLACEMENT = "\ufffd"  # for bytes that are not UTF-8


@dataclass(frozen=True, slots=True)
class FirstLines:
    """The first lines of one object."""

    data: DataObject
    lines: Sequence[bytes]  # without their ends, blank lines and comments
    is_all: bool  # the object has no more
    header_end: int  # the offset behind the first line
    dialect: Dialect
    delimiter: str  # between columns; empty: there are none

    def table(self, most: int | None = _MOST_LINES) -> list[tuple[str, ...]]:
        """Return the fields of the first whole lines, at most a hundred, or ``most``."""
        whole = self.lines if self.is_all else self.lines[:-1] or self.lines
        return [fields_of(line, self.delimiter) for line in whole[:most]]

    def values(self, most: int | None = _MOST_LINES) -> list[tuple[str, ...]]:
        """Return `table` with plain numbers, and nothing for missing values."""
        plain = cache(Spelling(self.dialect).plain_cell)  # many cells are alike
        return [tuple(map(plain, row)) for row in self.table(most)]

    def require_rows(self, first: int = 0) -> None:
        """Raise `EmptyDataError` if there is certainly no row from line ``first`` on."""
        # If the first bytes of a longer object are empty lines, the parser decides.
        if self.is_all and not self.lines[first:]:
            raise EmptyDataError(f"s3 object {self.data.key} has no data rows")


def first_lines(
    reader: ObjectReader, data: DataObject, dialect: Dialect, delimiter: str
) -> FirstLines:
    """Return the first lines of ``data``, which may be of any length.

    Raises
    ------
    InvalidDataError
        The content is binary or no table, or has another compression or encoding.
    """
    text, is_all = start_of(PlainText(reader, data, dialect))
    start = preamble_bytes(text)
    rules = LineRules(dialect, delimiter.encode())
    text = _closed(text[start:].removesuffix(b"\n") + b"\n", rules)
    lines = Lines.of(text, start, rules)
    if not len(lines.offsets):
        return FirstLines(data, [], is_all, start, dialect, delimiter)
    ends = rules.ends(text) + start + 1
    header_end = int(ends[np.searchsorted(ends, lines.offsets[0], side="right")])
    return FirstLines(data, lines.split(), is_all, header_end, dialect, delimiter)


def start_of(text: PlainText) -> tuple[bytes, bool]:
    """Return the start of a text, with at least one line of any length, and whether it is all.

    Raises
    ------
    InvalidDataError
        The content is no table in lines of text.
    """
    start, is_all = text.start(SNIFF_BYTES)
    refuse_others(text.data, start)
    # A first line of thousands of columns may be longer.
    while b"\n" not in start and not is_all and len(start) < MAX_LINE_BYTES:
        start, is_all = text.start(2 * len(start))
    return start, is_all


def _closed(text: bytes, rules: LineRules) -> bytes:
    """Leave out a last record that is not whole, unless it is the only one."""
    if not rules.dialect.quoted_newlines:
        return text
    ends = rules.ends(text)
    return text[: int(ends[-1]) + 1] if len(ends) else text.replace(b"\n", b" ") + b"\n"
