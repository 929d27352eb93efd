"""Blocks of text → lines that are not empty, each with its place in the object."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Never

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.formats.rows import MalformedRowError

NEWLINE = ord("\n")

_COMMENT = re.compile(rb"#[^\n]*")
_BLANKS = re.compile(rb"[ \t]+")


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
            text = text.replace(b"\r\n", b"\n")
            has_empty_ones = True  # perhaps
        lines = cls(text, offsets)
        return lines._without_empty_ones() if has_empty_ones else lines

    def with_single_blanks(self) -> Lines:
        """Return the lines without comments, with one space wherever there were blanks."""
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

    def refuse_first(self, problem_of: Callable[[bytes], str | None]) -> Never:
        """Raise `MalformedRowError` for the first line that has a problem; one must have."""
        lines = self.text.split(b"\n")[:-1]
        for line, offset in zip(lines, self.offsets.tolist(), strict=True):
            problem = problem_of(line)
            if problem is not None:
                raise MalformedRowError(offset, problem, line)
        raise AssertionError("a block did not parse although each of its lines does")
