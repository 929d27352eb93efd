"""Connections of a function that feel the network of a cloud: the same bytes, later."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from stepml.local.functions.links import PIECE_BYTES, SlowSocket, slow_down
from stepml.local.network import NETWORK_VARIABLE, parse_network

LATENCY_MS = 30.0
BANDWIDTH_MB_S = 10.0
NEGLIGIBLE_S = 0.001  # debts below a sleep's precision
Connect = Callable[..., socket.socket]


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """A server that answers each 8 bytes, a number, with so many bytes; 0 ends its input."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        yield server.getsockname()


def _serve(server: socket.socket) -> None:
    with suppress(OSError):  # closed
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection, connection.makefile("rb") as requests:
        while header := requests.read(16):
            n_sent, n_wanted = (int.from_bytes(part) for part in (header[:8], header[8:]))
            digest = hashlib.sha256(requests.read(n_sent)).digest()
            connection.sendall(digest + bytes(n_wanted))


@pytest.fixture
def connect(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Returns connections to the server, over the network with the given tables."""
    with ExitStack() as opened:

        def make(**tables: dict[str, float]) -> socket.socket:
            if tables:
                monkeypatch.setattr(socket.socket, "connect", socket.socket.connect)
                host, port = address
                network = parse_network(tables).variables({"redis": f"{host}:{port}"})
                slow_down(json.loads(network[NETWORK_VARIABLE]))
            return opened.enter_context(socket.create_connection(address))

        yield make


def exchange(connection: socket.socket, data: bytes = b"", n_wanted: int = 0) -> float:
    """Send ``data``, receive so many bytes, and return the seconds that it took."""
    began = time.monotonic()
    connection.sendall(len(data).to_bytes(8) + n_wanted.to_bytes(8) + data)
    with connection.makefile("rb") as answer:
        assert answer.read(32) == hashlib.sha256(data).digest()
        assert answer.read(n_wanted) == bytes(n_wanted)
    return time.monotonic() - began


def test_an_answer_takes_at_least_the_latency(connect: Connect) -> None:
    connection = connect(redis={"latency_ms": LATENCY_MS})
    for _ in range(3):
        assert exchange(connection) >= LATENCY_MS / 1000


def test_a_transfer_takes_bytes_by_bandwidth_each_way(connect: Connect) -> None:
    connection = connect(redis={"bandwidth_mb_s": BANDWIDTH_MB_S})
    n_bytes = 2 * PIECE_BYTES + 12_345
    least_s = n_bytes / (BANDWIDTH_MB_S * 1e6) - NEGLIGIBLE_S
    assert exchange(connection, os.urandom(n_bytes)) >= least_s
    assert exchange(connection, n_wanted=n_bytes) >= least_s


def test_connections_share_the_bandwidth_of_their_function(connect: Connect) -> None:
    first = connect(redis={}, function={"bandwidth_mb_s": BANDWIDTH_MB_S})
    pair = [first, connect()]
    n_bytes = 500_000
    threads = [threading.Thread(target=exchange, args=(c, b"", n_bytes)) for c in pair]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 2 * n_bytes / (BANDWIDTH_MB_S * 1e6) - NEGLIGIBLE_S


def test_bytes_in_many_buffers_arrive_in_order(connect: Connect) -> None:
    connection = connect(redis={"latency_ms": 0.1})
    data = os.urandom(PIECE_BYTES + 1000)
    buffers = [len(data).to_bytes(8) + bytes(8), b"", data[:7], memoryview(data)[7:]]
    sent = connection.sendmsg(buffers)
    assert sent == PIECE_BYTES  # as a full buffer of the system would take a part
    connection.sendall(b"".join(buffers)[sent:])
    assert connection.recv(32, socket.MSG_WAITALL) == hashlib.sha256(data).digest()


def test_other_connections_are_those_of_this_machine(connect: Connect) -> None:
    elsewhere = connect(memcached={"latency_ms": 1000.0})
    assert not isinstance(elsewhere, SlowSocket)
    assert isinstance(connect(redis={}), SlowSocket)
