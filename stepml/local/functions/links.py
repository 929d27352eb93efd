"""The network between a function and its services, slowed down to that of a cloud.

`stepml.local.functions.bootstrap` loads this file by its path into the processes of functions; it
imports no module of ours. A connection to an address that has a path becomes a `SlowSocket`: it
sends and receives the same bytes, later.
"""

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

PIECE_BYTES = 256 * 1024  # sent at once; a larger one would arrive as a whole, and too early
SHORTEST_SLEEP_S = 0.0002  # shorter debts wait for more bytes: a sleep takes longer anyway
Given = Mapping[str, Any]


class Link:
    """A line on which bytes leave one after another; all connections that share it take turns."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0
        self._lock = threading.Lock()

    def busy_until(self, n_bytes: int, start: float) -> float:
        """Take the line for ``n_bytes`` from ``start`` on, or when it is free; return the end."""
        with self._lock:
            self._free_at = max(self._free_at, start) + n_bytes / self._bytes_per_s
            return self._free_at

    def give_back(self, n_bytes: int) -> None:
        """Free the line earlier by ``n_bytes`` that were not sent."""
        with self._lock:
            self._free_at -= n_bytes / self._bytes_per_s


class Path:
    """The way between this function and one service.

    Parameters
    ----------
    latency_s : float
        From a request to its answer.
    out, back : sequence of Link
        The lines of each direction.
    """

    def __init__(self, latency_s: float, out: Sequence[Link], back: Sequence[Link]) -> None:
        self.one_way_s = latency_s / 2
        self.out = out
        self.back = back


class Conversation:
    """Requests and answers of one connection, in turn."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_asking = False  # a request has begun, and no byte of its answer has arrived

    def before_sending(self, n_bytes: int) -> None:
        """Wait until ``n_bytes`` would have left; the first of a request are on the way longer."""
        if not self._is_asking:
            self._is_asking = True
            time.sleep(self._path.one_way_s)
        _occupy(self._path.out, n_bytes, time.monotonic())

    def after_sending(self, n_unsent: int) -> None:
        for link in self._path.out:
            link.give_back(n_unsent)

    def after_receiving(self, n_bytes: int, began: float) -> None:
        """Wait until ``n_bytes`` would have arrived."""
        start = began
        if self._is_asking and n_bytes:
            self._is_asking = False
            time.sleep(self._path.one_way_s)
            start = time.monotonic()
        _occupy(self._path.back, n_bytes, start)


class SlowSocket(socket.socket):
    """A connected socket whose bytes travel on a path."""

    __slots__ = ()

    def send(self, data: Any, *flags: int) -> int:
        with memoryview(data).cast("B") as view:
            piece = view[:PIECE_BYTES]
            _conversations[self].before_sending(len(piece))
            sent = super().send(piece, *flags)
            _conversations[self].after_sending(len(piece) - sent)
            return sent

    def sendall(self, data: Any, *flags: int) -> None:
        with memoryview(data).cast("B") as view:
            sent = 0
            while sent < len(view):
                sent += self.send(view[sent:], *flags)

    def sendmsg(self, buffers: Any, *more: Any) -> int:
        pieces, n_bytes = _first_piece(buffers)
        _conversations[self].before_sending(n_bytes)
        sent = super().sendmsg(pieces, *more)
        _conversations[self].after_sending(n_bytes - sent)
        return sent

    def recv(self, size: int, flags: int = 0) -> bytes:
        began = time.monotonic()
        data = super().recv(size, flags)
        self._received(len(data), flags, began)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        began = time.monotonic()
        n_bytes = super().recv_into(buffer, nbytes, flags)
        self._received(n_bytes, flags, began)
        return n_bytes

    def _received(self, n_bytes: int, flags: int, began: float) -> None:
        if not flags & socket.MSG_PEEK:
            _conversations[self].after_receiving(n_bytes, began)


_conversations: WeakKeyDictionary[socket.socket, Conversation] = WeakKeyDictionary()


def slow_down(network: Given) -> None:
    """Put later connections of this process on the paths of ``network``.

    Parameters
    ----------
    network : mapping
        ``bytes_per_s`` of the function over all services, or None, and ``services``: for each
        ``host:port``, ``latency_s`` and ``bytes_per_s``, or None.
    """
    paths = _paths(network)
    connect = socket.socket.connect

    def connect_slowly(self: socket.socket, address: Any) -> None:
        connect(self, address)
        path = paths.get(f"{address[0]}:{address[1]}") if isinstance(address, tuple) else None
        if path is not None:
            self.__class__ = SlowSocket
            _conversations[self] = Conversation(path)

    socket.socket.connect = connect_slowly  # type: ignore[assignment, method-assign]


def _paths(network: Given) -> dict[str, Path]:
    own_out, own_back = _links(network["bytes_per_s"]), _links(network["bytes_per_s"])
    paths = {}
    for address, service in network["services"].items():
        out, back = _links(service["bytes_per_s"]), _links(service["bytes_per_s"])
        paths[address] = Path(service["latency_s"], own_out + out, own_back + back)
    return paths


def _links(bytes_per_s: float | None) -> list[Link]:
    return [] if bytes_per_s is None else [Link(bytes_per_s)]


def _occupy(links: Sequence[Link], n_bytes: int, start: float) -> None:
    """Wait until ``n_bytes`` have left the slowest of ``links``."""
    end = max((link.busy_until(n_bytes, start) for link in links), default=0.0)
    rest_s = end - time.monotonic()
    if rest_s >= SHORTEST_SLEEP_S:
        time.sleep(rest_s)


def _first_piece(buffers: Any) -> tuple[list[memoryview], int]:
    """Return the first bytes of ``buffers``, at most a piece, and their number."""
    pieces: list[memoryview] = []
    n_bytes = 0
    for buffer in buffers:
        view = memoryview(buffer).cast("B")[: PIECE_BYTES - n_bytes]
        pieces.append(view)
        n_bytes += len(view)
        if n_bytes == PIECE_BYTES:
            break
    return pieces, n_bytes
