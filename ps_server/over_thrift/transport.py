"""Sends vectors from their own memory and receives them into place.

Thrift's transports copy a vector four to five times. Here a vector is sent from its memory
(`sendmsg`) and received into its memory (`recv_into`); only the small fields around it go through a
buffer. The bytes are those of Thrift's plain binary protocol on a stream.
"""

from __future__ import annotations

import errno
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any

from thrift.protocol.TProtocol import TProtocolException

_SMALL = 4096  # bytes; what is larger is sent from where it lies
_BUFFER_BYTES = 2**14
_SOCKET_BYTES = 2**19  # what is on its way: more falls out of the cache, fewer wakes too often
_MOST_PARTS = 1000  # of one sendmsg: Linux takes 1,024
_TIMEVAL = struct.Struct("ll")
_ENCRYPTED_BYTES = 2**18  # sent at once, so that a wait for a slow receiver sees that it goes on
_TEXT_BYTES = 4096  # the longest is the JSON of a server_update


def set_buffers(connection: socket.socket) -> None:
    """Make the buffers of a connection large enough for vectors."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)


class SocketTransport:
    """A connected socket, as a Thrift protocol reads and writes it.

    A wait looks at the clock every ``longest_tick_s``: another time costs two system calls.
    """

    def __init__(self, connection: socket.socket, longest_tick_s: float = 5.0) -> None:
        self._socket = connection
        self._longest_tick_s = longest_tick_s
        self._is_encrypted = isinstance(connection, ssl.SSLSocket)
        self._patience_s = self._tick_s = -1.0
        self._deadline: float | None = None
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._start = self._stop = 0  # of what has been received and not been read
        self._parts: list[memoryview | bytearray] = []
        self._small = bytearray()

    def set_timeout(self, seconds: float, deadline: float | None = None) -> None:
        """End each wait after ``seconds``, and all waits at ``deadline`` (monotonic)."""
        self._patience_s, self._deadline = seconds, deadline

    @property
    def n_buffered(self) -> int:
        """Received bytes that are unread."""
        return self._stop - self._start

    def wait_for_input(self) -> bool:
        """Wait until something can be read; return False at the end of the stream."""
        return self.n_buffered > 0 or self._fill() > 0

    def readAll(self, size: int) -> bytes:  # noqa: N802 — Thrift's name
        start = self._take(size)
        return self._buffer[start : start + size].tobytes()

    read = readAll

    def peek(self, size: int) -> bytes:
        """Return the next ``size`` bytes without reading them."""
        start = self._take(size)
        self._start = start
        return self._buffer[start : start + size].tobytes()

    def numbers(self, kind: struct.Struct, first: bytes = b"") -> tuple[Any, ...]:
        """Return the next numbers; if they have not come yet, check the ``first`` bytes at once."""
        if first and self.n_buffered < kind.size and self.peek(len(first)) != first:
            raise TProtocolException(TProtocolException.INVALID_DATA, "unexpected fields")
        return kind.unpack_from(self._buffer, self._take(kind.size))

    def text(self, size: int) -> str:
        """Return the next ``size`` bytes as text, which is short."""
        if not 0 <= size <= _TEXT_BYTES:
            raise TProtocolException(TProtocolException.SIZE_LIMIT, f"a string of {size} bytes")
        try:
            return self.readAll(size).decode()
        except UnicodeDecodeError:
            raise TProtocolException(TProtocolException.INVALID_DATA, "not UTF-8") from None

    def read_into(self, target: memoryview) -> None:
        """Receive all bytes of ``target``."""
        buffered = min(len(target), self.n_buffered)
        start = self._take(buffered)
        target[:buffered] = self._buffer[start : start + buffered]
        target = target[buffered:]
        # One call for all of it: every return to Python would have to wait for its lock.
        flags = 0 if self._is_encrypted else socket.MSG_WAITALL
        while len(target):
            received = self._patiently(self._socket.recv_into, target, 0, flags)
            if not received:
                raise EOFError("the connection ends in the middle")
            target = target[received:]

    def drop(self, size: int) -> None:
        """Receive ``size`` bytes and discard them."""
        scratch = memoryview(bytearray(min(size, 2**16)))
        while size:
            part = scratch[:size]
            self.read_into(part)
            size -= len(part)

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes for `flush`; large ones must not change until then."""
        if len(data) < _SMALL:
            self._small += data
            return
        self._end_small()
        self._parts.append(memoryview(data).cast("B"))

    def flush(self) -> None:
        """Send all that was written."""
        self._end_small()
        parts, self._parts = self._parts, []
        while parts:
            if self._is_encrypted:  # an SSL socket cannot gather
                part = memoryview(parts[0])[:_ENCRYPTED_BYTES]
                sent = self._patiently(self._socket.send, part)
            else:
                sent = self._patiently(self._socket.sendmsg, parts[:_MOST_PARTS])
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if sent:
                parts[0] = memoryview(parts[0])[sent:]

    def close(self) -> None:
        self._socket.close()

    def _end_small(self) -> None:
        if self._small:
            self._parts.append(self._small)
            self._small = bytearray()

    def _take(self, size: int) -> int:
        """Read ``size`` bytes; return where they begin in the buffer."""
        if self._stop - self._start < size:
            self._collect(size)
        start = self._start
        self._start += size
        return start

    def _collect(self, size: int) -> None:
        if size > _BUFFER_BYTES:
            raise TProtocolException(TProtocolException.SIZE_LIMIT, f"{size} bytes are too many")
        rest = self._buffer[self._start : self._stop].tobytes()
        self._buffer[: len(rest)] = rest
        self._start, self._stop = 0, len(rest)
        while self._stop < size:
            if not self._fill():
                raise EOFError("the connection ends in the middle")

    def _fill(self) -> int:
        """Receive the bytes that are there into the buffer; return how many."""
        if self._start == self._stop:
            self._start = self._stop = 0
        received = self._patiently(self._socket.recv_into, self._buffer[self._stop :])
        self._stop += received
        return received

    def _patiently(self, call: Callable[..., int], *arguments: Any) -> int:
        """Repeat a call of the socket until it returns something, or the time is over."""
        began = time.monotonic()
        self._require_time(began, began)
        while True:
            try:
                return call(*arguments)
            except (BlockingIOError, TimeoutError) as error:  # the latter if it is encrypted
                if error.errno == errno.ETIMEDOUT:  # the other machine is gone
                    raise
                self._require_time(time.monotonic(), began)

    def _require_time(self, now: float, began: float) -> None:
        """Raise `TimeoutError` if the wait since ``began``, or all waits, took too long."""
        remaining_s = began + self._patience_s - now
        if self._deadline is not None:
            remaining_s = min(remaining_s, self._deadline - now)
        if remaining_s <= 0:
            raise TimeoutError("the other end is silent, or too slow")
        self._wake_after(min(remaining_s, self._longest_tick_s))

    def _wake_after(self, seconds: float) -> None:
        if seconds == self._tick_s:
            return
        self._tick_s = seconds
        if self._is_encrypted:
            self._socket.settimeout(seconds)
            return
        # Not by settimeout, which makes the socket one that never waits: then a vector would
        # arrive in as many calls as packets.
        whole = int(seconds)
        timeval = _TIMEVAL.pack(whole, max(1, int((seconds - whole) * 1e6)))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, timeval)
