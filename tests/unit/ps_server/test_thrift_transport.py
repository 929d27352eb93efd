"""Bytes over Thrift: in order, in place, within limits of size and time."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TType

from ps_server.over_thrift.messages import BoundedProtocol
from ps_server.over_thrift.transport import SocketTransport, set_buffers
from tests.support.servers import certificates

WAIT_S = 600.0  # longer than a test may take


@pytest.fixture(params=["plain", "encrypted"])
def sockets(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a connection."""
    ours, theirs = socket.socketpair()
    if request.param == "encrypted":
        ours, theirs = encrypted(ours, theirs, tmp_path_factory.mktemp("certificates"))
    with closing(ours), closing(theirs):
        yield ours, theirs


@pytest.fixture
def ends(
    sockets: tuple[socket.socket, socket.socket],
) -> tuple[SocketTransport, socket.socket]:
    """A transport, and a socket at the other end."""
    transport = SocketTransport(sockets[0])
    transport.set_timeout(WAIT_S)
    return transport, sockets[1]


def encrypted(ours: socket.socket, theirs: socket.socket, directory: Path) -> Any:
    made = certificates(directory)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.certificate, made.key)
    client = ssl.create_default_context(cafile=str(made.ca))
    wrapped = list[ssl.SSLSocket]()
    thread = in_thread(lambda: wrapped.append(server.wrap_socket(theirs, server_side=True)))
    ours = client.wrap_socket(ours, server_hostname="localhost")
    thread.join()
    return ours, wrapped[0]


def in_thread(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def received(theirs: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = theirs.recv(2**16)
        assert part
        data += part
    return data


def test_parts_of_any_size_arrive_in_order(ends: tuple[SocketTransport, socket.socket]) -> None:
    transport, theirs = ends
    sizes = [1, 4095, 4096, 0, 5000, *[4096] * 1500, 2**20, 7]
    parts = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    for part in parts:
        transport.write(part)
    thread = in_thread(transport.flush)
    assert received(theirs, sum(sizes)) == b"".join(parts)
    thread.join()


def test_small_things_and_vectors_are_read_in_turn(
    ends: tuple[SocketTransport, socket.socket],
) -> None:
    transport, theirs = ends
    vectors = [bytes([number]) * size for number, size in enumerate([1, 16_381, 2**20, 0, 40_000])]
    sent = b"".join(struct.pack("!i", len(vector)) + vector for vector in vectors)
    thread = in_thread(lambda: theirs.sendall(sent + b"dropped" * 20_000 + b"\x07"))
    for vector in vectors:
        target = bytearray(transport.numbers(struct.Struct("!i"))[0])
        transport.read_into(memoryview(target))
        assert target == vector
    transport.drop(140_000)
    assert transport.readAll(1) == b"\x07"
    thread.join()


def test_a_wait_ends_in_time(ends: tuple[SocketTransport, socket.socket]) -> None:
    transport, _ = ends
    transport.set_timeout(0.05)
    for wait in (
        lambda: transport.readAll(1),
        transport.wait_for_input,
        lambda: transport.read_into(memoryview(bytearray(10))),
    ):
        with pytest.raises(TimeoutError):
            wait()


def test_who_takes_nothing_is_not_waited_for(ends: tuple[SocketTransport, socket.socket]) -> None:
    transport, _ = ends
    transport.set_timeout(0.05)
    transport.write(bytes(2**25))
    with pytest.raises(TimeoutError):
        transport.flush()


def test_a_deadline_holds_for_whoever_sends_drop_by_drop(
    ends: tuple[SocketTransport, socket.socket],
) -> None:
    transport, theirs = ends
    is_over = threading.Event()

    def drip() -> None:
        while not is_over.wait(0.02):
            theirs.sendall(b"x")

    thread = in_thread(drip)
    transport.set_timeout(WAIT_S, time.monotonic() + 0.3)
    with pytest.raises(TimeoutError):
        transport.read_into(memoryview(bytearray(2**20)))
    is_over.set()
    thread.join()


def test_a_wait_may_be_longer_than_a_tick(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = sockets
    transport = SocketTransport(ours, longest_tick_s=0.02)
    transport.set_timeout(WAIT_S)

    def send_late() -> None:
        time.sleep(0.2)
        theirs.sendall(b"late")

    thread = in_thread(send_late)
    assert transport.readAll(4) == b"late"
    thread.join()


def test_the_end_of_the_stream_is_told(ends: tuple[SocketTransport, socket.socket]) -> None:
    transport, theirs = ends
    theirs.sendall(b"ab")
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError):
        transport.readAll(3)
    assert transport.readAll(2) == b"ab"
    assert not transport.wait_for_input()
    with pytest.raises(EOFError):
        transport.read_into(memoryview(bytearray(1)))


@pytest.fixture
def plain() -> Iterator[tuple[BoundedProtocol, socket.socket]]:
    ours, theirs = socket.socketpair()
    set_buffers(ours)
    with closing(ours), closing(theirs):
        transport = SocketTransport(ours)
        transport.set_timeout(WAIT_S)
        yield BoundedProtocol(transport, most_fields=10), theirs


@pytest.mark.parametrize("size", [-1, 4097, 2**31 - 1, -(2**31)])
def test_strings_and_lists_are_refused_before_they_are_read(
    plain: tuple[BoundedProtocol, socket.socket], size: int
) -> None:
    protocol, theirs = plain
    theirs.sendall(struct.pack("!i", size) + struct.pack("!bi", TType.I32, max(size, 2**16 + 1)))
    with pytest.raises(TProtocolException):
        protocol.readString()
    with pytest.raises(TProtocolException):
        protocol.readListBegin()


def test_text_that_is_none_is_refused(plain: tuple[BoundedProtocol, socket.socket]) -> None:
    protocol, theirs = plain
    theirs.sendall(struct.pack("!i", 1) + b"\xff")
    with pytest.raises(TProtocolException, match="UTF-8"):
        protocol.readString()


@pytest.mark.parametrize("kind", [TType.STRUCT, TType.MAP, TType.SET, TType.LIST, 16, 0, -7, 127])
def test_what_may_be_nested_is_not_skipped(
    plain: tuple[BoundedProtocol, socket.socket], kind: int
) -> None:
    protocol, _ = plain
    with pytest.raises(TProtocolException, match="unknown field"):
        protocol.skip(kind)


def test_fields_are_counted(plain: tuple[BoundedProtocol, socket.socket]) -> None:
    protocol, theirs = plain
    theirs.sendall(struct.pack("!bh?", TType.BOOL, 99, True) * 11)
    for _ in range(10):
        assert protocol.readFieldBegin()[1:] == (TType.BOOL, 99)
        protocol.skip(TType.BOOL)
    with pytest.raises(TProtocolException, match="too many fields"):
        protocol.readFieldBegin()


def test_a_vector_is_refused_where_none_belongs(
    plain: tuple[BoundedProtocol, socket.socket],
) -> None:
    protocol, theirs = plain
    theirs.sendall(struct.pack("!i", 2**31 - 1))
    with pytest.raises(TProtocolException, match="vector"):
        protocol.readBinary()
