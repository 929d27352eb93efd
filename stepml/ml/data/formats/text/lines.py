"""Splits blocks of text into plain lines, each with its place in the object.

Plain lines are UTF-8 and end with LF; none is blank or a comment. With quoted line ends, a line is
a record of several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, pairwise
from typing import Never, TypeVar

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.formats.rows import MalformedRowError
from stepml.ml.data.formats.text.records import PLAIN_RULES, LineRules, Positions

Rows = TypeVar("Rows")
Flags = NDArray[np.bool_]
ProblemOf = Callable[[bytes], str | None]
Places = Sequence[int] | None

_COMMENT = re.compile(rb"#[^\n]*")
_BLANKS = re.compile(rb"[ \t]+")
_QUOTED_OR_BLANKS = re.compile(rb'("(?:[^"]|"")*+")|[ \t]+')
_LARGEST_BLANK = 32
_SEVERAL_CR = re.compile(rb"(?<!\r)\r+\n")  # from the first CR only: otherwise quadratic


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that are neither blank nor comments."""

    text: bytes  # every line ends with a newline
    offsets: NDArray[np.int64]  # of each line in its object
    rules: LineRules = PLAIN_RULES
    places: Places = None  # of the layout's columns in each line; None: in order

    @classmethod
    def of(cls, text: bytes, offset: int, rules: LineRules = PLAIN_RULES) -> Lines:
        """Return the lines of ``text``, which ends with a newline and starts at ``offset``."""
        ends = rules.ends(text)
        offsets = np.empty(len(ends), np.int64)
        offsets[:1] = offset
        np.add(ends[:-1], offset + 1, out=offsets[1:])
        firsts = np.frombuffer(text, np.uint8)[offsets - offset]
        doubtful = firsts <= _LARGEST_BLANK
        if rules.comment:
            doubtful |= firsts == rules.comment[0]
        if b"\r" in text:
            text = _without_cr(text)
        lines = cls(rules.decoded(text), offsets, rules)
        if doubtful.any():
            lines = lines._without_blank_ones(np.flatnonzero(doubtful))
        return lines.with_single_blanks() if rules.delimiter == b" " else lines

    def split(self) -> list[bytes]:
        """Return the lines, without their ends."""
        if not self.rules.dialect.quoted_newlines:
            return self.text.split(b"\n")[:-1]
        ends = self.rules.ends(self.text).tolist()
        return [self.text[start + 1 : end] for start, end in pairwise([-1, *ends])]

    def _without_blank_ones(self, doubtful: Positions) -> Lines:
        """Leave out blank lines and comments, which are among the ``doubtful`` ones."""
        ends = self.rules.ends(self.text)
        starts = np.concatenate([[0], ends[:-1] + 1])
        spans = zip(starts[doubtful].tolist(), ends[doubtful].tolist(), strict=True)
        is_left = [self.rules.are_left_out(self.text[start:end]) for start, end in spans]
        left_out = doubtful[is_left]
        if not len(left_out):
            return self
        pieces = zip([0, *(ends[left_out] + 1)], [*starts[left_out], None], strict=True)
        text = b"".join(self.text[start:stop] for start, stop in pieces)
        return replace(self, text=text, offsets=np.delete(self.offsets, left_out))

    def with_single_blanks(self) -> Lines:
        """Return the lines with one space for each run of blanks, and none at their ends."""
        text = self.text
        if b"\t" in text or b"  " in text or b"\n " in text or text.startswith(b" "):
            text = _single_blanks(text).replace(b"\n ", b"\n").removeprefix(b" ")
        return replace(self, text=text.replace(b" \n", b"\n"))

    def with_ending(self, ending: bytes) -> Lines:
        """Return the lines with ``ending`` behind each."""
        if self.rules.dialect.quoted_newlines:
            text = b"".join(line + ending + b"\n" for line in self.split())
        else:
            text = self.text.replace(b"\n", ending + b"\n")
        return replace(self, text=text)

    def without_ends_in_comments(self) -> Lines:
        """Return the lines without what follows ``#`` in them."""
        if b"#" not in self.text:
            return self
        lines = replace(self, text=_COMMENT.sub(b"", self.text))
        return lines._without_blank_ones(np.arange(len(self.offsets)))

    def without(self, flagged: Flags) -> tuple[Lines, list[tuple[int, bytes]]]:
        """Return the lines that are not ``flagged``, and offset and content of those that are."""
        lines = self.split()
        text = b"".join(line + b"\n" for line in compress(lines, (~flagged).tolist()))
        offsets = self.offsets[flagged].tolist()
        taken = list(zip(offsets, compress(lines, flagged.tolist()), strict=True))
        return replace(self, text=text, offsets=self.offsets[~flagged]), taken

    def refuse_first(self, problem_of: ProblemOf) -> Never:
        """Raise `MalformedRowError` for the first line with a problem; there must be one."""
        for line, offset in zip(self.split(), self.offsets.tolist(), strict=True):
            problem = problem_of(line)
            if problem is not None:
                raise MalformedRowError(offset, problem, line)
        raise AssertionError("a block did not parse although each of its lines does")


@dataclass(frozen=True, slots=True)
class BadLines:
    """Lines that do not parse, ordered by offset; their problems are determined on demand."""

    lines: list[tuple[int, bytes]]  # offset and content
    problem_of: ProblemOf

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.lines)

    def __iter__(self) -> Iterator[MalformedRowError]:
        """Yield the error of each line."""
        for offset, line in self.lines:
            problem = self.problem_of(line)
            if problem is None:
                raise AssertionError("a line that parses was taken for a bad one")
            yield MalformedRowError(offset, problem, line)


def place_of(column: int, places: Places) -> int:
    """Return the place of a column of the layout in the lines of an object."""
    return column if places is None or column < 0 else places[column]


def parse_good(
    lines: Lines, attempt: Callable[[Lines], Rows | Flags], problem_of: ProblemOf
) -> tuple[Rows, BadLines]:
    """Parse the good ``lines``.

    Parameters
    ----------
    lines : Lines
    attempt : callable
        Returns the rows of all lines, or flags at least one bad line and no good one.
    problem_of : callable
        Returns the problem of a bad line.
    """
    bad: list[tuple[int, bytes]] = []
    while isinstance(found := attempt(lines), np.ndarray):
        if not found.any():
            raise AssertionError("lines did not parse although none of them is bad")
        lines, flagged = lines.without(found)
        bad += flagged
    return found, BadLines(sorted(bad), problem_of)


def _without_cr(text: bytes) -> bytes:
    """Return ``text`` without the CRs at the ends of its lines."""
    text = text.replace(b"\r\n", b"\n")
    return _SEVERAL_CR.sub(b"\n", text) if b"\r\n" in text else text


def _single_blanks(text: bytes) -> bytes:
    if b'"' not in text:
        return _BLANKS.sub(b" ", text)
    return _QUOTED_OR_BLANKS.sub(lambda found: found[1] or b" ", text)
