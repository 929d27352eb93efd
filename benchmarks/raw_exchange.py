"""The lower bound for a step with a parameter server: its bytes through raw sockets.

Each rank sends a vector to one process, which returns as many bytes from the memory that received
them. Nothing is added, checked or named, and no rank waits for another.
"""

from __future__ import annotations

import socket
import struct
import threading

_SIZE = struct.Struct("<Q")
_READY = b"r"


class RawServer:
    """Return all received bytes; one thread for each connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Serve until the process ends."""
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


class RawRank:
    """One rank's part of steps with vectors of ``value_bytes``."""

    def __init__(self, port: int, value_bytes: int) -> None:
        self._socket = _quick(socket.create_connection(("127.0.0.1", port), timeout=60))
        self._vector = memoryview(bytearray(value_bytes))
        self._answer = memoryview(bytearray(value_bytes))
        self._socket.sendall(_SIZE.pack(value_bytes))
        if self._socket.recv(1) != _READY:
            raise ConnectionError("the server is gone")

    def step(self) -> None:
        """Move the bytes of one step."""
        self._socket.sendall(self._vector)
        _receive(self._socket, self._answer)

    def close(self) -> None:
        self._socket.close()


def _serve(connection: socket.socket) -> None:
    with _quick(connection):
        head = memoryview(bytearray(_SIZE.size))
        if not _receive(connection, head):
            return
        memory = memoryview(bytearray(_SIZE.unpack(head)[0]))
        connection.sendall(_READY)
        while _receive(connection, memory):
            connection.sendall(memory)


def _receive(connection: socket.socket, target: memoryview) -> bool:
    while len(target):
        n = connection.recv_into(target)
        if not n:
            return False
        target = target[n:]
    return True


def _quick(connection: socket.socket) -> socket.socket:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
