"""The rules by which text is split into lines, or into records with line ends in quoted fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.dialect import PLAIN, Dialect

Positions = NDArray[np.intp]

NEWLINE = ord("\n")
_QUOTE = ord('"')
_BLANKS = b" \t\v\f"
_WITHOUT_TAB = b" \v\f"
# Latin-1 has control characters where Windows has others; five bytes have no character in either.
_WINDOWS = {code: bytes([code]).decode("cp1252", "ignore") or code for code in range(0x80, 0xA0)}


@dataclass(frozen=True, slots=True)
class LineRules:
    """The conventions by which text is split into lines, and lines are made plain."""

    dialect: Dialect = PLAIN
    delimiter: bytes = b""  # between columns; a blank stands for several; empty: there are none

    @property
    def comment(self) -> bytes:
        """The start of lines that are left out, or nothing."""
        return self.dialect.comment.encode()

    def ends(self, text: bytes) -> Positions:
        """Return the positions of the newlines that end lines, or records of several lines."""
        if self.dialect.quoted_newlines:
            return record_ends(text, self.delimiter, self.comment)
        return np.flatnonzero(np.frombuffer(text, np.uint8) == NEWLINE)

    def decoded(self, text: bytes) -> bytes:
        """Return ``text`` in UTF-8."""
        if self.dialect.encoding != "latin-1" or text.isascii():
            return text
        return text.decode("latin-1").translate(_WINDOWS).encode()

    def are_left_out(self, line: bytes) -> bool:
        """Return whether a line is blank or a comment."""
        rest = line.strip(_WITHOUT_TAB if self.delimiter == b"\t" else _BLANKS)
        return not rest or bool(self.comment and rest.startswith(self.comment))


PLAIN_RULES = LineRules()


def record_ends(text: bytes, delimiter: bytes, comment: bytes = b"") -> Positions:
    """Return the positions of the newlines that end records: those outside of quoted fields.

    Parameters
    ----------
    text : bytes
        Begins with a record. A field that begins with a quote ends behind the next one that is not
        doubled (RFC 4180); quotes within other fields are characters.
    delimiter : bytes
        Between fields; a blank stands for several.
    comment : bytes
        Lines that begin with it have no fields.
    """
    characters = np.frombuffer(text, np.uint8)
    newlines = np.flatnonzero(characters == NEWLINE)
    if b'"' not in text:
        return newlines
    quotes = np.flatnonzero(characters == _QUOTE)
    if comment or not _all_open_fields(characters, quotes[0::2], delimiter):
        return _ends_one_by_one(text, delimiter, comment)
    outside: Positions = newlines[np.searchsorted(quotes, newlines) % 2 == 0]
    return outside


def _all_open_fields(characters: NDArray[np.uint8], openings: Positions, delimiter: bytes) -> bool:
    """Return whether each of the quotes is at the start of a field, or doubles the one before."""
    before = characters[openings[int(openings[0] == 0) :] - 1]
    allowed = np.frombuffer(delimiter + b'\n\r"' + b"\t" * (delimiter == b" "), np.uint8)
    return bool(np.isin(before, allowed).all())


def _ends_one_by_one(text: bytes, delimiter: bytes, comment: bytes) -> Positions:
    found = _pattern(delimiter, comment).finditer(text)
    return np.array([each.end() - 1 for each in found if not each[0].startswith(b'"')], np.intp)


@cache
def _pattern(delimiter: bytes, comment: bytes) -> re.Pattern[bytes]:
    """Return the pattern of comments, quoted fields and ends of records."""
    before = re.escape(delimiter) + rb"\r\n" + rb"\t" * (delimiter == b" ")
    fields = rb'(?<![^%b])"(?:[^"]|"")*+(?:"|\Z)|\n' % before
    if not comment:
        return re.compile(fields)
    return re.compile(rb"(?<![^\n])[ \t]*%b[^\n]*\n|%b" % (re.escape(comment), fields))
