"""Splits blocks of text into lines that are not empty, each with its place in the object."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Never, TypeVar

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.formats.rows import MalformedRowError

NEWLINE = ord("\n")

Rows = TypeVar("Rows")
Flags = NDArray[np.bool_]
ProblemOf = Callable[[bytes], str | None]

_COMMENT = re.compile(rb"#[^\n]*")
_BLANKS = re.compile(rb"[ \t]+")
_SEVERAL_CR = re.compile(rb"(?<!\r)\r+\n")  # from the first CR only: otherwise quadratic


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that are not empty."""

    text: bytes  # every line ends with a newline
    offsets: NDArray[np.int64]  # of each line in its object

    @classmethod
    def of(cls, text: bytes, offset: int) -> Lines:
        """Return the lines of ``text``, which ends with a newline and starts at ``offset``."""
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == NEWLINE)
        offsets = np.empty(len(ends), np.int64)
        offsets[:1] = offset
        np.add(ends[:-1], offset + 1, out=offsets[1:])
        has_empty_ones = bool(ends[0] == 0) or bool((np.diff(ends) == 1).any())
        if b"\r" in text:
            text = _without_cr(text)
            has_empty_ones = True  # perhaps
        lines = cls(text, offsets)
        return lines._without_empty_ones() if has_empty_ones else lines

    def with_single_blanks(self) -> Lines:
        """Return the lines without comments, and with one space for each run of blanks."""
        text = self.text
        if b"#" in text:
            text = _COMMENT.sub(b"", text)
        if b"\t" in text or b"  " in text or b"\n " in text or text.startswith(b" "):
            text = _BLANKS.sub(b" ", text).replace(b"\n ", b"\n").removeprefix(b" ")
        return Lines(text.replace(b" \n", b"\n"), self.offsets)._without_empty_ones()

    def _without_empty_ones(self) -> Lines:
        if b"\n\n" not in self.text and not self.text.startswith(b"\n"):
            return self
        lines = self.text.split(b"\n")[:-1]
        kept = np.array([bool(line) for line in lines], dtype=np.bool_)
        text = b"".join(line + b"\n" for line in lines if line)
        return Lines(text, self.offsets[kept])

    def each(self) -> Iterator[bytes]:
        """Yield the lines without their ends."""
        return iter(self.text.split(b"\n")[:-1])

    def without(self, flagged: Flags) -> tuple[Lines, list[tuple[int, bytes]]]:
        """Return the lines that are not ``flagged``, and offset and content of those that are."""
        lines = self.text.split(b"\n")[:-1]
        others = [line + b"\n" for line in compress(lines, (~flagged).tolist())]
        offsets = self.offsets[flagged].tolist()
        taken = list(zip(offsets, compress(lines, flagged.tolist()), strict=True))
        return Lines(b"".join(others), self.offsets[~flagged]), taken

    def refuse_first(self, problem_of: ProblemOf) -> Never:
        """Raise `MalformedRowError` for the first line with a problem; there must be one."""
        lines = self.text.split(b"\n")[:-1]
        for line, offset in zip(lines, self.offsets.tolist(), strict=True):
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
