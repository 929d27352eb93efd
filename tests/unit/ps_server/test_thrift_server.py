"""A Thrift server with unusual calls, and a client with unusual answers."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TMessageType, TType
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport, TMemoryBuffer

from comm.wire import Message, decode, encode
from ps_server.generated.thrift_api import ParameterServer, ttypes
from ps_server.over_thrift.client import ParameterClient
from ps_server.over_thrift.server import Limits, ThriftServer
from ps_server.protocol import refusals
from ps_server.protocol.addresses import Credentials
from ps_server.protocol.calls import JobSettings, Received, Target, encode_in_parts
from ps_server.state.parameters import Parameters
from stepml.job.step import Step

HOST = "127.0.0.1"
TOKEN = "a token of tests"
JOB = "jobs/a"
STEP = Step(1, 1)
FRAME_BYTES = 2**12
MESSAGE = Message(np.arange(10_000, dtype=np.float32), np.array([1.0, 2.0]))
DATA = bytes(encode(MESSAGE))
SETTINGS = JobSettings(2, len(DATA))
WAIT_S = 240.0


@pytest.fixture
def parameters() -> Parameters:
    state = Parameters(limit_bytes=2**24)
    state.register(JOB, SETTINGS)
    return state


@pytest.fixture
def server(parameters: Parameters) -> Iterator[ThriftServer]:
    with running(parameters) as started:
        yield started


@contextmanager
def running(parameters: Parameters, **settings: Any) -> Iterator[ThriftServer]:
    server = ThriftServer(parameters, (HOST, 0), TOKEN, frame_bytes=FRAME_BYTES, **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop(grace_s=0.5)


@contextmanager
def stock_client(server: ThriftServer, *, shows_token: bool = True) -> Iterator[Any]:
    """Yield the modules that Thrift's compiler and library make from the interface."""
    with closing(TBufferedTransport(TSocket(HOST, server.port))) as transport:
        transport.open()
        client = ParameterServer.Client(TBinaryProtocol(transport))
        if shows_token:
            assert client.authenticate(TOKEN).frame_bytes == FRAME_BYTES
        yield client


def our_client(port: int) -> ParameterClient:
    return ParameterClient(f"thrift://{HOST}:{port}", Credentials(TOKEN), WAIT_S)


def pieces(data: bytes = DATA, size: int = FRAME_BYTES) -> Iterator[tuple[int, bytes]]:
    for offset in range(0, len(data), size):
        yield offset, data[offset : offset + size]


def push(client: Any, offset: int, piece: bytes, *, rank: int = 0, size: int = len(DATA)) -> Any:
    step = ttypes.Step(STEP.epoch, STEP.batch)
    return client.push(JOB, step, rank, "", 0, size, offset, piece)


def pull(client: Any, offset: int = 0, *, wait_ms: int = 0, limit: int = FRAME_BYTES) -> Any:
    return client.pull(JOB, ttypes.Step(STEP.epoch, STEP.batch), 0, "", wait_ms, offset, limit)


def push_to(parameters: Parameters, rank: int) -> None:
    """Push without a connection."""
    incoming = parameters.receive(Target(JOB, STEP, rank), len(DATA))
    incoming.memory[:] = DATA
    parameters.push(incoming)


def await_that(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("size", [1, 10, 31, 32, 1000, FRAME_BYTES])
def test_stock_clients_push_and_pull(server: ThriftServer, size: int) -> None:
    short = bytes(encode(Message(np.arange(20, dtype=np.float32), np.zeros(1))))
    data = DATA if size >= 1000 else short
    with stock_client(server) as client:
        for rank in range(2):
            for offset, piece in pieces(data, size):
                assert not push(client, offset, piece, rank=rank, size=len(data)).is_repeated
        assert client.exists(JOB, ttypes.Step(1, 1)).is_complete
        pulled = pull(client, limit=size)
        got = pulled.piece
        while len(got) < pulled.size:
            got += pull(client, len(got), limit=size).piece
    expected = decode(data, "").vector
    assert np.array_equal(decode(got, "").vector, 2 * expected)


def test_stock_clients_make_all_calls(server: ThriftServer) -> None:
    settings = ttypes.JobSettings(1, 100, ttypes.Rule.ASYNCHRONOUS, 0, ttypes.Compression.NONE, "")
    with stock_client(server) as client:
        assert client.register_job("jobs/b", settings).is_new
        assert not client.register_job("jobs/b", settings).is_new
        assert client.ping().incarnation == server.parameters.incarnation
        client.forget(JOB, ttypes.Step(1, 1))
        client.reset(JOB, 0)
        assert [job.job for job in client.statistics().jobs] == [JOB, "jobs/b"]
        assert client.delete_jobs("jobs/b") == 1
        with pytest.raises(ttypes.UnknownJob, match="jobs/b"):
            client.exists("jobs/b", ttypes.Step(1, 1))
        with pytest.raises(ttypes.JobConflict):
            client.register_job(JOB, settings)
        with pytest.raises(ttypes.ContributionsMissing) as missing:
            pull(client)
        assert missing.value.ranks == [0, 1]
        with pytest.raises(ttypes.InvalidRequest, match="through"):
            client.forget(JOB, None)


DENIED: dict[str, Callable[[Any], object]] = {
    "ping": lambda client: client.ping(),
    "statistics": lambda client: client.statistics(),
    "delete": lambda client: client.delete_jobs("jobs/"),
    "push": lambda client: push(client, 0, DATA),
    "another token": lambda client: client.authenticate("another token"),
    "an empty token": lambda client: client.authenticate(""),
    "no token": lambda client: client.authenticate(None),
}


@pytest.mark.parametrize("name", DENIED)
def test_without_the_token_nothing_is_answered(server: ThriftServer, name: str) -> None:
    with stock_client(server, shows_token=False) as client:
        with pytest.raises(ttypes.AccessDenied):
            DENIED[name](client)
        await_that(lambda: server.connections == 0)
    assert len(server.parameters.statistics().jobs) == 1


def test_a_server_needs_a_token(parameters: Parameters) -> None:
    with pytest.raises(ValueError, match="token"):
        ThriftServer(parameters, (HOST, 0), "")


@pytest.mark.parametrize("first", [b"", b"\x80\x01\x00\x01"])
def test_who_does_not_show_the_token_in_time_is_sent_away(
    parameters: Parameters, first: bytes
) -> None:
    limits = Limits(authentication_s=0.2)
    with (
        running(parameters, limits=limits) as server,
        socket.create_connection((HOST, server.port), WAIT_S) as connection,
    ):
        connection.sendall(first)
        assert connection.recv(1) == b""


@pytest.mark.parametrize("offset", [FRAME_BYTES, 1, -1, len(DATA), 2**40])
def test_pieces_out_of_order_are_refused(server: ThriftServer, offset: int) -> None:
    with stock_client(server) as client:
        with pytest.raises(ttypes.InvalidRequest, match="offset: expected 0"):
            push(client, offset, b"x" * 100)
        push(client, 0, DATA[:FRAME_BYTES])
        with pytest.raises(ttypes.InvalidRequest, match=r"offset: expected|size: expected"):
            push(client, offset, b"x" * 100, size=len(DATA) - 1)
        assert server.parameters.statistics().used_bytes == 0
        for at, piece in pieces():  # the connection is still usable
            push(client, at, piece)
        assert client.exists(JOB, ttypes.Step(1, 1)).ranks == [0]


def test_more_than_was_announced_is_refused(server: ThriftServer) -> None:
    with stock_client(server) as client:
        push(client, 0, DATA[:FRAME_BYTES], size=FRAME_BYTES + 100)
        with pytest.raises(ttypes.InvalidRequest, match="size"):
            push(client, FRAME_BYTES, b"x" * 101, size=FRAME_BYTES + 100)
        assert server.parameters.statistics().used_bytes == 0


def test_what_is_refused_is_read_to_its_end(server: ThriftServer) -> None:
    with our_client(server.port) as client:
        message = encode_in_parts(MESSAGE)
        for job, rank, refusal in (
            ("jobs/unknown", 0, refusals.UnknownJob),
            (JOB, 2, refusals.InvalidRequest),
        ):
            with pytest.raises(refusal):
                client.push(Target(job, STEP, rank), message)
        assert client.push(Target(JOB, STEP, 0), message).is_repeated is False
        assert client.push(Target(JOB, STEP, 0), message).is_repeated


def test_a_refused_push_is_not_waited_for(
    server: ThriftServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull, waits = server.parameters.pull, []

    def noted(target: Target, wait_s: float) -> Any:
        waits.append(wait_s)
        return pull(target, wait_s)

    monkeypatch.setattr(server.parameters, "pull", noted)
    with our_client(server.port) as client:
        other = encode_in_parts(Message(np.zeros(20_000, np.float32), np.zeros(2)))
        with pytest.raises(refusals.InvalidRequest, match="size"):
            client.push_and_pull(Target(JOB, STEP, 0), other, wait_s=WAIT_S)
        like = encode_in_parts(Message(np.zeros(9, np.float32), np.zeros(2)))
        assert not client.push(Target(JOB, STEP, 1), encode_in_parts(MESSAGE)).is_repeated
        with pytest.raises(refusals.DamagedVector):
            client.push_and_pull(Target(JOB, STEP, 0), like, wait_s=WAIT_S)
        assert set(waits) == {0.0}
        _, data = client.push_and_pull(
            Target(JOB, STEP, 0), encode_in_parts(MESSAGE), wait_s=WAIT_S
        )
        assert isinstance(data, Received)


def authenticated(server: ThriftServer) -> socket.socket:
    connection = socket.create_connection((HOST, server.port), WAIT_S)
    connection.sendall(called("authenticate", ParameterServer.authenticate_args(TOKEN)))
    assert connection.recv(2**12)[8:20] == b"authenticate"
    return connection


def called(name: str, arguments: Any, number: int = 1, kind: int = TMessageType.CALL) -> bytes:
    memory = TMemoryBuffer()
    protocol = TBinaryProtocol(memory)
    protocol.writeMessageBegin(name, kind, number)
    arguments.write(protocol)
    return bytes(memory.getvalue())


def push_call(number: int, offset: int, piece: bytes) -> bytes:
    step = ttypes.Step(STEP.epoch, STEP.batch)
    arguments = ParameterServer.push_args(JOB, step, 0, "", 0, len(DATA), offset, piece)
    return called("push", arguments, number)


HEAD = called("push", ParameterServer.push_args(job=JOB))[:-1]  # further fields may follow
HOSTILE = {
    "another call": called("nothing", ParameterServer.ping_args()),
    "an answer": called("ping", ParameterServer.ping_args(), kind=TMessageType.REPLY),
    "a framed message": struct.pack("!i", 20) + called("ping", ParameterServer.ping_args()),
    "a long name": struct.pack("!Ii", 0x80010001, 2**31 - 1),
    "a long job": called("push", ParameterServer.push_args(job="x" * 5000)),
    "a large piece": HEAD + struct.pack("!bhi", TType.STRING, 8, 2**31 - 1),
    "a piece of negative size": HEAD + struct.pack("!bhi", TType.STRING, 8, -1),
    "a list": HEAD + struct.pack("!bhbi", TType.LIST, 99, TType.I32, 2**31 - 1),
    "nested lists": HEAD + struct.pack("!bh", TType.LIST, 99) + b"\x0f\0\0\0\1" * 10_000,
    "nested structs": HEAD + struct.pack("!bh", TType.STRUCT, 1) * 10_000,
    "fields without end": HEAD + struct.pack("!bhb", TType.BYTE, 99, 1) * 10_000,
    "a web page": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_call_ends_the_connection_and_nothing_else(
    server: ThriftServer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with stock_client(server) as bystander:
        with authenticated(server) as connection:
            try:
                connection.sendall(HOSTILE[name])
                assert connection.recv(1) == b""
            except ConnectionError:  # it had not read everything
                pass
        assert bystander.ping().frame_bytes == FRAME_BYTES
        assert server.parameters.statistics().used_bytes == 0
    assert not caplog.records


def test_unknown_fields_are_skipped(server: ThriftServer) -> None:
    more = b"".join(
        struct.pack(f"!bh{code}", kind, 99, 1)
        for code, kind in (
            ("?", TType.BOOL),
            ("b", TType.BYTE),
            ("h", TType.I16),
            ("i", TType.I32),
            ("q", TType.I64),
            ("d", TType.DOUBLE),
        )
    )
    more += struct.pack("!bhi", TType.STRING, 99, 3) + b"abc"
    with authenticated(server) as connection:
        connection.sendall(called("ping", ParameterServer.ping_args())[:-1] + more + b"\0")
        assert connection.recv(2**12)[8:12] == b"ping"


def test_calls_are_answered_in_their_order(server: ThriftServer) -> None:
    calls = [push_call(number, *piece) for number, piece in enumerate(pieces(), 1)]
    calls += [called("ping", ParameterServer.ping_args(), 100)]
    with authenticated(server) as connection:
        for byte in b"".join(calls[:1])[:200]:  # for any division into packets
            connection.sendall(bytes([byte]))
        connection.sendall(b"".join(calls)[200:])
        numbers, answers = [], TBinaryProtocol(_Reader(connection))
        for _ in calls:
            name, kind, number = answers.readMessageBegin()
            assert kind == TMessageType.REPLY
            result = getattr(ParameterServer, f"{name}_result")()
            result.read(answers)
            assert result.success is not None
            numbers.append(number)
    assert numbers == [*range(1, len(calls)), 100]
    assert server.parameters.exists(JOB, STEP).ranks == (0,)


class _Reader(TMemoryBuffer):  # type: ignore[misc]  # Thrift has no types
    """Reads the requested bytes from a socket."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection

    def readAll(self, size: int) -> bytes:  # noqa: N802 — Thrift's name
        data = b""
        while len(data) < size:
            data += self._connection.recv(size - len(data))
        return data


def test_who_stalls_in_a_vector_loses_its_memory(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, held = Limits(stalled_s=1.0), threading.Event()
    receive = parameters.receive

    def noted(*arguments: Any) -> Any:
        incoming = receive(*arguments)
        assert parameters.statistics().used_bytes >= len(DATA)
        held.set()
        return incoming

    monkeypatch.setattr(parameters, "receive", noted)
    for begun in (push_call(1, 0, DATA[:FRAME_BYTES]), push_call(1, 0, DATA[:FRAME_BYTES])[:-50]):
        with running(parameters, limits=limits) as server, authenticated(server) as connection:
            connection.sendall(begun)
            assert held.wait(WAIT_S)
            held.clear()
            await_that(lambda: parameters.statistics().used_bytes == 0)
            await_that(lambda: server.connections == 0)


def test_who_does_not_fetch_the_rest_of_a_sum_is_sent_away(parameters: Parameters) -> None:
    limits = Limits(stalled_s=1.0)
    for rank in range(2):
        push_to(parameters, rank)
    with running(parameters, limits=limits) as server, our_client(server.port) as ours:
        ours.ping()
        with stock_client(server) as client:
            pull(client)
            await_that(lambda: server.connections == 1)
        assert ours.ping().frame_bytes == FRAME_BYTES  # a client that holds nothing may be silent


def test_connections_are_counted_and_bounded(parameters: Parameters) -> None:
    with running(parameters, max_connections=2) as server:
        with stock_client(server), stock_client(server):
            assert server.connections == 2
            with socket.create_connection((HOST, server.port), WAIT_S) as third:
                assert third.recv(1) == b""
        await_that(lambda: server.connections == 0)
        with stock_client(server) as client:
            client.ping()


def test_a_stop_lets_calls_end(parameters: Parameters) -> None:
    with running(parameters) as server, our_client(server.port) as client:
        client.push(Target(JOB, STEP, 0), encode_in_parts(MESSAGE))
        got: list[Received] = []
        thread = threading.Thread(
            target=lambda: got.append(client.pull(Target(JOB, STEP, 0), wait_s=WAIT_S)), daemon=True
        )
        thread.start()
        await_that(lambda: parameters._jobs.by_name[JOB].n_waiting == 1)
        stopping = threading.Thread(target=server.stop, args=(WAIT_S,), daemon=True)
        stopping.start()
        time.sleep(0.1)
        assert stopping.is_alive()
        push_to(parameters, 1)
        thread.join(WAIT_S)
        stopping.join(WAIT_S)
        assert not stopping.is_alive()
        assert np.array_equal(got[0].message("").vector, 2 * MESSAGE.vector)
        with pytest.raises(ConnectionError):
            client.ping()


def answered(name: str, success: Any, number: int = 2) -> bytes:
    result = getattr(ParameterServer, f"{name}_result")(success=success)
    return called(name, result, number, TMessageType.REPLY)


WELCOME = answered("authenticate", ttypes.Welcome("x", 2**12), 1)
PIECE = ttypes.Pulled(2**50, b"x")
STRANGE = {
    "nothing": b"",
    "no welcome": b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(100),
    "pieces of nothing": answered("authenticate", ttypes.Welcome("x", 0), 1),
    "a welcome with nothing in it": answered("authenticate", None, 1),
    "half a welcome": WELCOME[:-3],
    "another call's answer": WELCOME + answered("ping", ttypes.Welcome("x", 1)),
    "another number": WELCOME + answered("pull", ttypes.Pulled(40, bytes(40)), 7),
    "a huge message": WELCOME + answered("pull", PIECE),
    "less than a piece": WELCOME + answered("pull", ttypes.Pulled(40, bytes(39))),
    "more than a piece": WELCOME + answered("pull", ttypes.Pulled(40, bytes(41))),
    "an empty message": WELCOME + answered("pull", ttypes.Pulled(0, b"")),
    "a negative message": WELCOME + answered("pull", ttypes.Pulled(-1, b"")),
    "an answer with nothing in it": WELCOME + answered("pull", None),
    "a long list": WELCOME + answered("pull", None)[:-1] + b"\x0f\0\x09\x08\x7f\xff\xff\xff",
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_server_is_a_connection_error(name: str) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(2**12)
            connection.sendall(STRANGE[name])
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(2**12):
                pass

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        client = our_client(listener.getsockname()[1])
        with pytest.raises(ConnectionError):
            client.pull(Target(JOB, STEP, 0))
        thread.join(WAIT_S)
        assert not thread.is_alive()  # the client has closed the connection


def test_any_wait_may_be_asked_for(server: ThriftServer) -> None:
    with our_client(server.port) as client:
        for rank in range(2):
            client.push(Target(JOB, STEP, rank), encode_in_parts(MESSAGE))
        assert (
            client.pull(Target(JOB, STEP, 0), wait_s=1e9).message("").vector.size
            == MESSAGE.vector.size
        )
