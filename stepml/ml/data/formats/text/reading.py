"""Reads the lines of a byte range, in blocks and in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stepml.job.errors import BadRowError
from stepml.ml.data.formats.text.plain_text import BYTE_ORDER_MARK, PlainText
from stepml.ml.data.formats.text.records import PLAIN_RULES, LineRules
from stepml.ml.data.ranges import ByteRange

# Longer lines are refused: any reader of a range may need the memory of one.
MAX_LINE_BYTES = 16 * 2**20
# The arrays of one block fit into the processor's cache.
BLOCK_BYTES = 128 * 1024
# Counting lines reads the object from its start, and should take a few seconds at most.
MAX_COUNTED_BYTES = 256 * 2**20
# The last line of a range usually ends at most so far behind it.
_BEHIND_BYTES = 64 * 1024
_PREAMBLE = re.compile(rb'(%b)?("?sep=.?"?\r?\n)?' % BYTE_ORDER_MARK, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """The limits of reading lines."""

    max_line_bytes: int = MAX_LINE_BYTES  # a longer line is an error
    max_counted_bytes: int = MAX_COUNTED_BYTES  # samples further behind have no line number


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of an object."""

    text: bytes  # ends with a newline
    offset: int  # of the first byte in the object


def line_blocks(
    text: PlainText,
    part: ByteRange,
    *,
    first_row: int = 0,
    rules: LineRules = PLAIN_RULES,
    block_bytes: int = BLOCK_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[Block]:
    """Yield the lines that start in ``part``, from offset ``first_row`` on.

    Parameters
    ----------
    text : PlainText
    part : ByteRange
        If the object is not cut, all of it.
    first_row : int
        The offset behind the header.
    rules : LineRules
        A line may be a record, whose quoted fields have line ends.
    block_bytes : int
        The bytes of a block, unless one line is longer.
    max_line_bytes : int

    Notes
    -----
    The memory needed is that of two requests and of the longest line.

    Raises
    ------
    BadRowError
        A line is longer than 16 MB, even if bad rows are skipped, or a quote is not closed.
    InvalidDataError, DamagedValueError
        See `PlainText.chunks`.
    """
    if text.dialect.is_cut:
        chunks = _whole_lines(text, part, first_row, max_line_bytes)
    else:
        chunks = _streamed_lines(text, first_row, rules, max_line_bytes)
    for chunk in chunks:
        yield from _blocks_of(chunk, rules, block_bytes)


def preamble_bytes(text: bytes) -> int:
    """Return the length of what stands before the first line: a mark, and a line for Excel."""
    found = _PREAMBLE.match(text)
    return found.end() if found else 0


def _blocks_of(chunk: Block, rules: LineRules, block_bytes: int) -> Iterator[Block]:
    text, start = chunk.text, 0
    ends = rules.ends(text) if rules.dialect.quoted_newlines else None
    while start < len(text):
        if ends is None:
            stop = text.rfind(b"\n", start, start + block_bytes) + 1
            if stop == 0:  # one line longer than a block
                stop = text.index(b"\n", start) + 1
        else:
            # The last end within the block, or the next one.
            next_end, behind = np.searchsorted(ends, [start, start + block_bytes]).tolist()
            stop = int(ends[max(next_end, behind - 1)]) + 1
        yield Block(text[start:stop], chunk.offset + start)
        start = stop


def line_number(text: PlainText, offset: int) -> int:
    """Return the number, from 1, of the line that starts at ``offset``, by counting newlines."""
    return 1 + _newlines(text, 0, offset)


class LineCounter:
    """Numbers the lines of objects; within one object it continues from the last line."""

    def __init__(self, max_counted_bytes: int = MAX_COUNTED_BYTES) -> None:
        self._max_counted_bytes = max_counted_bytes
        self._key = ""
        self._offset = 0
        self._number = 1

    def number(self, text: PlainText, offset: int) -> int | None:
        """Return the line's number, from 1, or None if counting would read too many bytes."""
        if text.data.key != self._key or offset < self._offset:
            self._key, self._offset, self._number = text.data.key, 0, 1
        # An object that is not cut is read from its start.
        if offset - self._offset * text.dialect.is_cut > self._max_counted_bytes:
            return None
        self._number += _newlines(text, self._offset, offset)
        self._offset = offset
        return self._number


def _newlines(text: PlainText, start: int, stop: int) -> int:
    if text.dialect.is_cut:
        step = text.request_bytes
        return sum(
            text.reader.load_range(text.data.key, at, min(at + step, stop)).count(b"\n")
            for at in range(start, stop, step)
        )
    at = found = 0
    for chunk in text.chunks():
        found += chunk[max(start - at, 0) : max(stop - at, 0)].count(b"\n")
        at += len(chunk)
        if at >= stop:
            break
    return found


def _whole_lines(
    text: PlainText, part: ByteRange, first_row: int, max_line_bytes: int
) -> Iterator[Block]:
    # Reading begins one byte before the lines, because a line starts there if that byte is a
    # newline. The text up to the first newline belongs to the range before, or is the header.
    position = max(part.start - 1, first_row - 1, 0)
    in_foreign_line = part.start > 0 or first_row > 0
    pending = b""
    if first_row >= part.stop:
        return
    size = text.data.value_bytes
    while position < size:
        # Not far beyond the range: the next range reads those bytes, too.
        ahead = max(part.stop - position, len(pending), 0) + _BEHIND_BYTES
        chunk = text.load(position, min(position + min(ahead, text.request_bytes), size))
        position += len(chunk)
        if position == len(chunk):
            chunk = chunk[preamble_bytes(chunk) :]
        if in_foreign_line:
            cut = chunk.find(b"\n") + 1
            if cut == 0 and position < part.stop:
                continue
            if cut == 0 or position - len(chunk) + cut >= part.stop:
                return
            chunk = chunk[cut:]
            in_foreign_line = False
        pending += chunk
        start = position - len(pending)
        owned = pending.find(b"\n", max(part.stop - 1 - start, 0)) + 1
        whole = owned or pending.rfind(b"\n") + 1
        if whole:
            yield Block(pending[:whole], start)
            pending = pending[whole:]
        if owned or position - len(pending) >= part.stop:
            return
        if len(pending) > max_line_bytes:
            raise _too_long(text, position - len(pending), max_line_bytes)
    if pending:
        yield Block(pending + b"\n", position - len(pending))


def _streamed_lines(
    text: PlainText, first_row: int, rules: LineRules, max_line_bytes: int
) -> Iterator[Block]:
    pending, offset = b"", 0
    for chunk in text.chunks():
        pending += chunk
        if offset < max(first_row, 1):
            cut = min(max(first_row - offset, 0), len(pending)) or preamble_bytes(pending)
            pending, offset = pending[cut:], offset + cut
        ends = rules.ends(pending)
        if len(ends):
            whole = int(ends[-1]) + 1
            yield Block(pending[:whole], offset)
            pending, offset = pending[whole:], offset + whole
        if len(pending) > max_line_bytes:
            raise _too_long(text, offset, max_line_bytes)
    if pending:
        if not len(rules.ends(pending + b"\n")):
            number = line_number(text, offset)
            raise BadRowError(f"s3 object {text.data.key}, line {number}: a quote is not closed")
        yield Block(pending + b"\n", offset)


def _too_long(text: PlainText, offset: int, max_line_bytes: int) -> BadRowError:
    return BadRowError(
        f"s3 object {text.data.key}, line {line_number(text, offset)}: "
        f"longer than {max_line_bytes / 2**20:g} MB"
    )
