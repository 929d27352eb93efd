"""Reads the lines of a byte range, in blocks and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stepml.job.errors import BadRowError, DamagedValueError
from stepml.ml.data.objects import REQUEST_BYTES, DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Longer lines are refused: any reader of a range may need the memory of one.
MAX_LINE_BYTES = 16 * 2**20
# The arrays of one block fit into the processor's cache.
BLOCK_BYTES = 128 * 1024
# Counting lines reads the object from its start, and should take a few seconds at most.
MAX_COUNTED_BYTES = 256 * 2**20
# The last line of a range usually ends at most so far behind it.
_BEHIND_BYTES = 64 * 1024


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
    reader: ObjectReader,
    data: DataObject,
    part: ByteRange,
    *,
    header: bool,
    request_bytes: int = REQUEST_BYTES,
    block_bytes: int = BLOCK_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[Block]:
    """Yield the lines that start in ``part``, without the object's first line if ``header``.

    The memory needed is that of two requests and of the longest line.

    Raises
    ------
    BadRowError
        A line is longer than 16 MB, even if bad rows are skipped.
    DamagedValueError
        The object ends before ``data.value_bytes``.
    """
    for chunk in _whole_lines(reader, data, part, header, request_bytes, max_line_bytes):
        start = 0
        while start < len(chunk.text):
            stop = chunk.text.rfind(b"\n", start, start + block_bytes) + 1
            if stop == 0:  # one line longer than a block
                stop = chunk.text.index(b"\n", start) + 1
            yield _without_byte_order_mark(Block(chunk.text[start:stop], chunk.offset + start))
            start = stop


def line_number(
    reader: ObjectReader, data: DataObject, offset: int, request_bytes: int = REQUEST_BYTES
) -> int:
    """Return the number, from 1, of the line that starts at ``offset``, by counting newlines."""
    return 1 + _newlines(reader, data, 0, offset, request_bytes)


class LineCounter:
    """Numbers the lines of objects; within one object it continues from the last line."""

    def __init__(
        self,
        reader: ObjectReader,
        request_bytes: int = REQUEST_BYTES,
        max_counted_bytes: int = MAX_COUNTED_BYTES,
    ) -> None:
        self._reader = reader
        self._request_bytes = request_bytes
        self._max_counted_bytes = max_counted_bytes
        self._key = ""
        self._offset = 0
        self._number = 1

    def number(self, data: DataObject, offset: int) -> int | None:
        """Return the line's number, from 1, or None if counting would read too many bytes."""
        if data.key != self._key or offset < self._offset:
            self._key, self._offset, self._number = data.key, 0, 1
        if offset - self._offset > self._max_counted_bytes:
            return None
        self._number += _newlines(self._reader, data, self._offset, offset, self._request_bytes)
        self._offset = offset
        return self._number


def _newlines(
    reader: ObjectReader, data: DataObject, start: int, stop: int, request_bytes: int
) -> int:
    return sum(
        reader.load_range(data.key, at, min(at + request_bytes, stop)).count(b"\n")
        for at in range(start, stop, request_bytes)
    )


def _whole_lines(
    reader: ObjectReader,
    data: DataObject,
    part: ByteRange,
    header: bool,
    request_bytes: int,
    max_line_bytes: int,
) -> Iterator[Block]:
    # Reading begins one byte before the range, because a line starts at part.start if that byte is
    # a newline. The text up to the first newline belongs to the range before, or is the header.
    position = max(part.start - 1, 0)
    in_foreign_line = part.start > 0 or header
    pending = b""
    while position < data.value_bytes:
        # Not far beyond the range: the next range reads those bytes, too.
        ahead = max(part.stop - position, len(pending), 0) + _BEHIND_BYTES
        size = min(ahead, request_bytes)
        chunk = _load(reader, data, position, min(position + size, data.value_bytes))
        position += len(chunk)
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
            raise _too_long(reader, data, position - len(pending), max_line_bytes)
    if pending:
        yield Block(pending + b"\n", position - len(pending))


def _load(reader: ObjectReader, data: DataObject, start: int, stop: int) -> bytes:
    chunk = reader.load_range(data.key, start, stop)
    if len(chunk) != stop - start:
        raise DamagedValueError(
            f"s3 object {data.key} ends at byte {start + len(chunk)} instead of "
            f"{data.value_bytes}: it was changed while it was read"
        )
    return chunk


def _too_long(
    reader: ObjectReader, data: DataObject, offset: int, max_line_bytes: int
) -> BadRowError:
    return BadRowError(
        f"s3 object {data.key}, line {line_number(reader, data, offset)}: "
        f"longer than {max_line_bytes / 2**20:g} MB"
    )


def _without_byte_order_mark(block: Block) -> Block:
    if block.offset == 0 and block.text.startswith(BYTE_ORDER_MARK):
        # Replaced by spaces, so that the offsets of lines stay.
        blanks = b" " * len(BYTE_ORDER_MARK)
        return Block(blanks + block.text[len(BYTE_ORDER_MARK) :], 0)
    return block
