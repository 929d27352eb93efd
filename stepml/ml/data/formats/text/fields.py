"""Splits few lines into fields, with quotes as RFC 4180 has them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from stepml.ml.data.formats.text.reading import MAX_LINE_BYTES

BLANK = " "  # as a delimiter, it stands for a run of blanks
# A line of many columns is one field to another delimiter.
csv.field_size_limit(MAX_LINE_BYTES)


def rows_of(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Yield the fields of ``lines``; without a delimiter, the words between blanks."""
    if delimiter in ("", BLANK):
        lines = (line.replace("\t", BLANK).strip() for line in lines)
        return csv.reader(lines, delimiter=BLANK, skipinitialspace=True)
    return csv.reader(lines, delimiter=delimiter)


def fields_of(line: bytes, delimiter: str) -> tuple[str, ...]:
    """Return the fields of a line, which may be quoted, without blanks around them.

    ``# `` at the start, as `numpy.savetxt` writes it before a header, is no part of a name.
    """
    text = line.decode("utf-8", "replace").removeprefix("# ").replace("\r", " ")
    return tuple(field.strip() for field in next(rows_of([text], delimiter), ()))
