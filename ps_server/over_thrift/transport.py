"""How Thrift's plain binary protocol travels here: gathered on its way out, received in place.

The stock transports copy a vector four to five times: they join what is written, slice what is
sent, and collect what is read. Here a vector is sent from where it lies (`sendmsg`) and received
where it is to lie (`recv_into`); only the small fields around it go through a buffer. The bytes on
the wire are the same, so clients in any language can use the transports that they have.

Everything is bounded before memory is taken for it: whoever is at the other end may be anybody.
"""

from __future__ import annotations

import errno
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TType

_SMALL = 4096  # bytes; what is larger is sent from where it lies
_BUFFER_BYTES = 2**14
_SOCKET_BYTES = 2**19  # what is on its way: more falls out of the cache, fewer wakes too often
_MOST_PARTS = 1000  # of one sendmsg: Linux takes 1,024
_TIMEVAL = struct.Struct("ll")
_TICK_S = 5.0  # how often a wait looks at the clock: to set another time for each costs two calls
_ENCRYPTED_BYTES = 2**18  # sent at once, so that a wait for a slow receiver sees that it goes on
_STRING_BYTES = 4096  # the longest is the JSON of a server_update
_MOST_ITEMS = 2**16  # of a list
_BYTE, _I16, _I32 = struct.Struct("!b"), struct.Struct("!h"), struct.Struct("!i")
_I64, _DOUBLE, _FIELD = struct.Struct("!q"), struct.Struct("!d"), struct.Struct("!bh")

Destination = Callable[[int], object]  # takes the length of a binary, and reads it


def set_buffers(connection: socket.socket) -> None:
    """Let vectors pass through a connection, of somebody who may send them."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)


class SocketTransport:
    """A connected socket, as a Thrift protocol reads and writes it.

    Parameters
    ----------
    connection : socket or SSL socket
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._is_encrypted = isinstance(connection, ssl.SSLSocket)
        self._patience_s = self._tick_s = -1.0
        self._deadline: float | None = None
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._start = self._stop = 0  # of what has been received and not been read
        self._parts: list[memoryview | bytearray] = []
        self._small = bytearray()

    def set_timeout(self, seconds: float, deadline: float | None = None) -> None:
        """Let each wait end after ``seconds``, and all of them at ``deadline`` (monotonic)."""
        self._patience_s, self._deadline = seconds, deadline
        self._wake_after(min(seconds, _TICK_S))

    def has_buffered(self) -> bool:
        """Return whether something has been received that was not read yet."""
        return self._start < self._stop

    def buffered(self) -> memoryview:
        """Return what has been received and was not read yet; `consume` says that it was."""
        return self._buffer[self._start : self._stop]

    def consume(self, size: int) -> None:
        """Take ``size`` bytes of what is `buffered` as read."""
        self._start += size

    def wait_for_input(self) -> bool:
        """Wait until something can be read; return False at the end of the stream."""
        return self.has_buffered() or self._fill() > 0

    def readAll(self, size: int) -> bytes:  # noqa: N802 — Thrift's name
        """Return the next ``size`` bytes, which are few."""
        return self._buffer[(start := self._take(size)) : start + size].tobytes()

    read = readAll

    def number(self, kind: struct.Struct) -> Any:
        """Return the next number."""
        return kind.unpack_from(self._buffer, self._take(kind.size))[0]

    def read_into(self, target: memoryview) -> None:
        """Receive all bytes of ``target``."""
        buffered = min(len(target), self._stop - self._start)
        if buffered:
            target[:buffered] = self._buffer[self._start : self._start + buffered]
            self._start += buffered
        target = target[buffered:]
        # One call for all of it: every return to Python would have to wait for its lock.
        flags = 0 if self._is_encrypted else socket.MSG_WAITALL
        while len(target):
            received = self._patiently(self._socket.recv_into, target, 0, flags)
            if not received:
                raise EOFError("the connection ends in the middle")
            target = target[received:]

    def drop(self, size: int) -> None:
        """Receive ``size`` bytes that nobody needs."""
        scratch = memoryview(bytearray(min(size, 2**16)))
        while size:
            part = scratch[:size]
            self.read_into(part)
            size -= len(part)

    def write(self, data: bytes | memoryview) -> None:
        """Take note of what is to be sent; large parts must not change until `flush`."""
        if len(data) < _SMALL:
            self._small += data
            return
        self._end_small()
        self._parts.append(memoryview(data).cast("B"))

    def write_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        """Take note of several parts, in order."""
        for part in parts:
            self.write(part)

    def flush(self) -> None:
        """Send all that was written."""
        self._end_small()
        parts, self._parts = self._parts, []
        if self._is_encrypted:  # an SSL socket cannot gather
            for part in parts:
                rest = memoryview(part)
                while len(rest):
                    rest = rest[self._patiently(self._socket.send, rest[:_ENCRYPTED_BYTES]) :]
            return
        while parts:
            sent = self._patiently(self._socket.sendmsg, parts[:_MOST_PARTS])
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if sent:
                parts[0] = memoryview(parts[0])[sent:]

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _end_small(self) -> None:
        if self._small:
            self._parts.append(self._small)
            self._small = bytearray()

    def _take(self, size: int) -> int:
        """Return where the next ``size`` bytes begin in the buffer; they count as read."""
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
        """Receive what there is, behind what has not been read; return how much."""
        if self._start == self._stop:
            self._start = self._stop = 0
        received = self._patiently(self._socket.recv_into, self._buffer[self._stop :])
        self._stop += received
        return received

    def _patiently(self, call: Callable[..., int], *arguments: Any) -> int:
        """Return what a call of the socket returns, however often it is woken without that."""
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
        """Raise `TimeoutError` if a wait that ``began`` then, or all together, took too long."""
        remaining_s = began + self._patience_s - now
        if self._deadline is not None:
            remaining_s = min(remaining_s, self._deadline - now)
        if remaining_s <= 0:
            raise TimeoutError("the other end is silent, or too slow")
        self._wake_after(min(remaining_s, _TICK_S))

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
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)


class BoundedProtocol(TBinaryProtocol):  # type: ignore[misc]  # Thrift has no types
    """The binary protocol, which refuses what is too long before it takes memory for it.

    Parameters
    ----------
    transport : SocketTransport
    most_fields : int
        Of one message, known or not.

    Attributes
    ----------
    receive_binary : callable
        Called with the length of a `binary` field; reads it, and returns its value.
    last_i64 : int
        The number read last.
    """

    def __init__(self, transport: SocketTransport, most_fields: int = 64) -> None:
        super().__init__(transport, strictRead=True, strictWrite=True)
        self._most_fields = most_fields
        self.transport = transport
        self._number = transport.number
        self.receive_binary: Destination = self._refuse_binary
        self.last_i64 = 0
        self._fields = 0

    def readMessageBegin(self) -> Any:  # noqa: N802 — Thrift's names
        self._fields = 0
        return super().readMessageBegin()

    def readFieldBegin(self) -> Any:  # noqa: N802
        self._fields += 1
        if self._fields > self._most_fields:
            raise TProtocolException(TProtocolException.SIZE_LIMIT, "too many fields")
        kind = self._number(_BYTE)
        return None, kind, 0 if kind == TType.STOP else self._number(_I16)

    def readByte(self) -> int:  # noqa: N802
        return int(self._number(_BYTE))

    def readI16(self) -> int:  # noqa: N802
        return int(self._number(_I16))

    def readI32(self) -> int:  # noqa: N802
        return int(self._number(_I32))

    def readI64(self) -> int:  # noqa: N802
        self.last_i64 = int(self._number(_I64))
        return self.last_i64

    def readDouble(self) -> float:  # noqa: N802
        return float(self._number(_DOUBLE))

    def readString(self) -> str:  # noqa: N802
        size = self.readI32()
        if not 0 <= size <= _STRING_BYTES:
            raise TProtocolException(TProtocolException.SIZE_LIMIT, f"a string of {size} bytes")
        try:
            return self.transport.readAll(size).decode()
        except UnicodeDecodeError:
            raise TProtocolException(TProtocolException.INVALID_DATA, "not UTF-8") from None

    def readBinary(self) -> object:  # noqa: N802
        return self.receive_binary(self.readI32())

    def readListBegin(self) -> Any:  # noqa: N802
        kind, size = self._number(_BYTE), self.readI32()
        if not 0 <= size <= _MOST_ITEMS:
            raise TProtocolException(TProtocolException.SIZE_LIMIT, f"a list of {size}")
        return kind, size

    def writeFieldBegin(self, name: str, kind: int, number: int) -> None:  # noqa: N802
        self.transport.write(_FIELD.pack(kind, number))

    def writeBinary(self, parts: Any) -> None:  # noqa: N802
        """Write a `binary`: bytes, or a sequence of memoryviews."""
        if isinstance(parts, bytes | bytearray | memoryview):
            parts = [memoryview(parts)]
        self.writeI32(sum(map(len, parts)))
        self.transport.write_parts(parts)

    def writeString(self, text: str) -> None:  # noqa: N802
        data = text.encode()
        self.writeI32(len(data))
        self.transport.write(data)

    def skip(self, ttype: int) -> None:
        """Read a field that is not known; only numbers and short strings may be so."""
        readers = {
            TType.BOOL: self.readBool,
            TType.BYTE: self.readByte,
            TType.I16: self.readI16,
            TType.I32: self.readI32,
            TType.I64: partial(self._number, _I64),
            TType.DOUBLE: self.readDouble,
            TType.STRING: self.readString,
        }
        reader = readers.get(ttype)
        if reader is None:
            raise TProtocolException(
                TProtocolException.INVALID_DATA, f"an unknown field of type {ttype}"
            )
        reader()

    def _refuse_binary(self, size: int) -> object:
        raise TProtocolException(TProtocolException.INVALID_DATA, "a vector where none belongs")
