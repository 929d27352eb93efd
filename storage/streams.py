"""Sends bytes to a server, and receives them, without copying large values.

The clients of Redis and Memcached copy a request into one buffer and assemble an answer from small
pieces, which takes most of the time for values of megabytes. Here, the system gathers a request
from its parts, and a large value is received into its final memory.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator

import numpy as np

from storage.base import Buffer

_SMALL = 8192  # bytes; copying fewer is cheaper than another element of sendmsg's vector
_MOST_PARTS = 512  # of one sendmsg; Linux takes 1,024
_BUFFERED = 65536  # bytes received at once, unless they go directly into a value


class Request:
    """One or more commands, sent together; small parts are joined, large ones are not copied."""

    def __init__(self) -> None:
        self._parts: list[Buffer] = []
        self._tail = bytearray()

    def add(self, data: Buffer) -> None:
        """Append ``data``; if large, it must not change before it is sent."""
        if len(data) <= _SMALL:
            self._tail += data
            return
        if self._tail:
            self._parts.append(self._tail)
            self._tail = bytearray()
        self._parts.append(data)

    def parts(self) -> Iterator[Buffer]:
        """Yield the parts to send, in order."""
        yield from self._parts
        if self._tail:
            yield self._tail


class Stream:
    """A connected socket, which reads lines and values of a known size.

    Raises
    ------
    ConnectionError
        The server has closed the connection.
    TimeoutError
        The server did not answer within the socket's time-out.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = bytearray(_BUFFERED)
        self._view = memoryview(self._buffer)
        self._start = self._stop = 0  # the part of the buffer that is received but not read

    def send(self, request: Request) -> None:
        """Send a whole request."""
        if isinstance(self.socket, ssl.SSLSocket):  # has no sendmsg
            for part in request.parts():
                self.socket.sendall(part)
            return
        parts = [memoryview(part) for part in request.parts()]
        while parts:
            sent = self.socket.sendmsg(parts[:_MOST_PARTS])
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if sent:
                parts[0] = parts[0][sent:]

    def is_quiet(self) -> bool:
        """Return whether nothing can be read; anything between requests ends the connection."""
        if self._start != self._stop:
            return False
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return not poll.poll(0)

    def read_line(self) -> bytes:
        """Return the next line without its ``\\r\\n`` or ``\\n``."""
        searched = self._start
        while (end := self._buffer.find(b"\n", searched, self._stop)) < 0:
            seen = self._stop - self._start
            self._receive_more()
            searched = self._start + seen
        line = bytes(self._view[self._start : end])
        self._start = end + 1
        return line.removesuffix(b"\r")

    def read_value(self, size: int, target: memoryview | None = None) -> Buffer:
        """Return the next ``size`` bytes and skip the ``\\r\\n`` after them.

        Parameters
        ----------
        size : int
        target : memoryview of ``size`` bytes, optional
            Receives the bytes; the default is new memory.
        """
        if target is None:
            # np.empty: a bytearray would be filled with zeros first.
            target = memoryview(np.empty(size, np.uint8).data)
        buffered = min(size, self._stop - self._start)
        target[:buffered] = self._view[self._start : self._start + buffered]
        self._start += buffered
        while buffered < size:
            received = self.socket.recv_into(target[buffered:])
            if not received:
                raise ConnectionError("the server has closed the connection")
            buffered += received
        self._skip_line_end()
        return target

    def _skip_line_end(self) -> None:
        while self._stop - self._start < 2:
            self._receive_more()
        self._start += 2

    def _receive_more(self) -> None:
        if self._start:  # move unread bytes to the front, to make room after them
            left = self._stop - self._start
            self._buffer[:left] = self._buffer[self._start : self._stop]
            self._start, self._stop = 0, left
        if self._stop == len(self._buffer):
            raise ConnectionError(f"the server sent a line of more than {_BUFFERED} bytes")
        received = self.socket.recv_into(self._view[self._stop :])
        if not received:
            raise ConnectionError("the server has closed the connection")
        self._stop += received
