"""Finds the character between the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from stepml.ml.data.formats.text.fields import BLANK, rows_of
from stepml.ml.data.formats.text.numbers import is_text
from stepml.ml.data.formats.text.reading import preamble_bytes
from stepml.ml.data.source_format import SourceFormat

DELIMITERS = (",", ";", "\t", "|", BLANK)
_MOST_ROWS = 100
_AGREEING = 0.9  # of the rows have as many fields as the first line

Rows = list[list[str]]


def find_delimiter(text: bytes, is_all: bool, own: str, source: SourceFormat) -> str:
    """Return the delimiter: as the job says, else the one that gives the first lines columns.

    Parameters
    ----------
    text : bytes
        The start of an object.
    is_all : bool
        Whether that is all of it.
    own : str
        The format's own delimiter, which is taken in doubt.
    source : SourceFormat
    """
    if source.delimiter is not None:
        return source.delimiter
    lines = _lines_of(text, is_all, source.comment)
    choices = [own, *(each for each in DELIMITERS if each != own)]
    found = [_Choice(each, _rows(lines, each)) for each in choices]
    fitting = [each for each in found if each.fits]
    if not fitting:
        return own
    return max(fitting, key=lambda each: each.share_of_numbers).delimiter


@dataclass(frozen=True, slots=True)
class _Choice:
    """The first rows, separated by a delimiter."""

    delimiter: str
    rows: Rows

    @property
    def fits(self) -> bool:
        """Whether there are columns: nearly all rows have as many fields as the first."""
        first, *others = self.rows or [[]]
        # R's header lacks the name of the row names.
        agreeing = sum(len(row) - len(first) in (0, 1) for row in others)
        return len(first) > 1 and agreeing >= _AGREEING * len(others)

    @property
    def share_of_numbers(self) -> float:
        """The share of cells below the first row that are no text, rounded."""
        # Whether a comma is a decimal one is the job's business; the delimiter is none.
        cells = [cell.replace(",", ".") for row in self.rows[1:] for cell in row]
        numbers = sum(not is_text(cell.encode()) for cell in cells)
        return round(numbers / len(cells), 1) if cells else 0.0


def _lines_of(text: bytes, is_all: bool, comment: str | None) -> Sequence[str]:
    whole = text if is_all or b"\n" not in text else text[: text.rfind(b"\n") + 1]
    lines = whole[preamble_bytes(whole) :].decode("utf-8", "replace").replace("\r", "").split("\n")
    return [
        line
        for line in lines
        if line.strip() and not (comment and line.lstrip().startswith(comment))
    ]


def _rows(lines: Sequence[str], delimiter: str) -> Rows:
    return list(islice(rows_of((line + "\n" for line in lines), delimiter), _MOST_ROWS))
