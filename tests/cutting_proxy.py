"""A proxy that cuts a connection in the middle of what a client sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.servers import HOST

_READ_BYTES = 2**16


@contextmanager
def cutting_proxy(port: int, most_bytes: int, n_cuts: int = 1) -> Iterator[int]:
    """Yield the port of a proxy for a server on ``port`` of this machine.

    Parameters
    ----------
    port : int
    most_bytes : int
        After so many bytes of the client a connection is cut.
    n_cuts : int
        Connections that are; later ones are not.
    """
    listener = socket.create_server((HOST, 0))
    cuts = iter(range(n_cuts))
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                ours, _ = listener.accept()
            except OSError:
                return
            is_cut = next(cuts, None) is not None
            threads.append(
                threading.Thread(target=_pass_on, args=(ours, port, most_bytes if is_cut else None))
            )
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        listener.close()
        for thread in threads:
            thread.join(10)


def _pass_on(ours: socket.socket, port: int, most_bytes: int | None) -> None:
    with ours, socket.create_connection((HOST, port)) as theirs:
        answers = threading.Thread(target=_copy, args=(theirs, ours, None))
        answers.start()
        _copy(ours, theirs, most_bytes)
        for each in (ours, theirs):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        answers.join()


def _copy(source: socket.socket, target: socket.socket, most_bytes: int | None) -> None:
    with suppress(OSError):
        while most_bytes is None or most_bytes > 0:
            data = source.recv(min(_READ_BYTES, most_bytes or _READ_BYTES))
            if not data:
                break
            target.sendall(data)
            if most_bytes is not None:
                most_bytes -= len(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
