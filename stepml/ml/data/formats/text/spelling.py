"""The spelling of a dialect: how it writes missing values and numbers."""

from __future__ import annotations

import math

import numpy as np

from stepml.ml.data.dialect import PLAIN, Dialect
from stepml.ml.data.formats.text.numbers import (
    Floats64,
    is_missing,
    number_of,
    number_problem,
    spans_of,
    usually_missing,
)
from stepml.ml.data.formats.text.words import Flags, Positions, Text

# Text is missing if it is one of these to the letter: a level or a label may be spelt "Na". Of
# numbers, any case will do. They are what pandas, R, spreadsheets and databases write.
_USUAL = (
    *("", "NaN", "nan", "-NaN", "-nan", "NA", "<NA>", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA"),
    *("NULL", "null", "None", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "?", "\\N"),
)
# Thousands are separated by a blank of any width, and by an apostrophe of any shape.
_ALIKE = {" ": (" ", "\u00a0", "\u202f"), "'": ("'", "\u2019")}
_SWAPPED = bytes.maketrans(b".,", b",.")


def missing_words(dialect: Dialect) -> tuple[str, ...]:
    """Return the words for missing values in columns of text."""
    return (*_USUAL, *dialect.missing_words)


def with_points(text: bytes, dialect: Dialect) -> bytes:
    """Return ``text`` with its numbers as others write them: 1234.5. Words change as well."""
    for separator in _ALIKE.get(dialect.thousands, (dialect.thousands,)):
        text = text.replace(separator.encode(), b"") if separator else text
    # A number with a point is none if the comma is the decimal separator.
    return text.translate(_SWAPPED) if dialect.decimal == "," else text


def plain_words(dialect: Dialect) -> tuple[str, ...]:
    """Return the job's own words for missing values; numbers as others write them."""
    plain = [with_points(word.strip().encode(), dialect) for word in dialect.missing_words]
    return tuple(
        word.strip() if math.isnan(number_of(each)) else each.decode()
        for word, each in zip(dialect.missing_words, plain, strict=True)
    )


class Spelling:
    """Tells missing values and numbers, as a dialect spells them."""

    def __init__(self, dialect: Dialect = PLAIN) -> None:
        self._dialect = dialect
        self._own = frozenset(word.strip().encode() for word in dialect.missing_words)
        self._texts = self._own | {word.encode() for word in _USUAL}
        numbers = [number_of(with_points(word, dialect)) for word in self._own]
        self._numbers = np.array([each for each in numbers if math.isfinite(each)])

    def is_missing(self, token: bytes) -> bool:
        """Return whether a cell is missing, as common tools or the job write it."""
        if is_missing(token) or token.strip() in self._own:
            return True
        if not len(self._numbers):
            return False
        return bool(np.isin(number_of(with_points(token, self._dialect)), self._numbers))

    def is_missing_text(self, token: bytes) -> bool:
        """Return whether a label or a level is missing; "Na" is none that is."""
        return token.strip() in self._texts

    def number_problem(self, token: bytes) -> str | None:
        """Return the reason why a cell is no number, or None."""
        problem = number_problem(with_points(token, self._dialect), token)
        otherwise = token if self._dialect.decimal == "," else token.translate(_SWAPPED)
        if problem is None or math.isnan(number_of(otherwise)):
            return problem
        expected = f"not a number with data.decimal {self._dialect.decimal!r}"
        return problem.replace("not a number", expected)

    def plain_cell(self, cell: str) -> str:
        """Return a cell as others write it: a number with a point, nothing for a missing value."""
        token = cell.encode()
        if self.is_missing_text(token) or (len(self._numbers) and self.is_missing(token)):
            return ""
        plain = with_points(token, self._dialect)
        return cell if math.isnan(number_of(plain)) else plain.decode()

    def missing(self, text: Text, starts: Positions, ends: Positions) -> Flags:
        """Flag tokens that are missing values."""
        missing = usually_missing(text, starts, ends)
        others = np.flatnonzero(~missing)
        missing[others] = [
            self.is_missing(text.token(*span)) for span in spans_of(starts, ends, others)
        ]
        return missing

    def missing_numbers(self, values: Floats64) -> Positions:
        """Return the ascending indices of numbers that stand for missing values."""
        return np.flatnonzero(np.isin(values, self._numbers)) if len(self._numbers) else _NONE

    def without_missing(self, values: Floats64) -> Floats64:
        """Return numbers, with NaN for those that stand for missing values."""
        if not len(self._numbers):
            return values
        known: Floats64 = np.where(np.isin(values, self._numbers), np.nan, values)
        return known

    @property
    def has_numbers(self) -> bool:
        """Whether some numbers stand for missing values."""
        return len(self._numbers) > 0


_NONE: Positions = np.empty(0, np.intp)
