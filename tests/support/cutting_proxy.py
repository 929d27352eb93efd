"""A proxy that cuts connections in the middle of a message."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class CuttingProxy:
    """Forwards bytes; the first connections end after a number of bytes.

    Parameters
    ----------
    url : str
        Address of the server.
    cuts : list of (int, int)
        For each connection, the bytes to the server and from it after which it ends; later
        connections are not cut.
    """

    def __init__(self, url: str, cuts: list[tuple[int, int]]) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._cuts = cuts
        self.n_connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.url = f"{parts.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._run(self._accept)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            _end(each)
        for thread in self._threads:
            thread.join()

    def _run(self, act: object, *arguments: object) -> None:
        thread = threading.Thread(target=act, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)  # type: ignore[arg-type]
            except OSError:
                _end(client)
                continue
            self._open += [client, server]
            number, self.n_connections = self.n_connections, self.n_connections + 1
            forth, back = self._cuts[number] if number < len(self._cuts) else (2**60, 2**60)
            self._run(_pass_on, client, server, forth)
            self._run(_pass_on, server, client, back)


def _pass_on(source: socket.socket, target: socket.socket, most_bytes: int) -> None:
    with suppress(OSError):
        while most_bytes and (data := source.recv(min(2**16, most_bytes))):
            target.sendall(data)
            most_bytes -= len(data)
    _end(source)
    _end(target)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def cutting_proxy(url: str, cuts: list[tuple[int, int]]) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(url, cuts)
    yield proxy
    proxy.close()
