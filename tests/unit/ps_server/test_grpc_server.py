"""The gRPC server with clients that stall, vanish or break the order of calls."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import grpc
import numpy as np
import pytest

from comm.wire import Message, encode
from ps_server.generated import parameter_server_pb2 as pb
from ps_server.over_grpc.messages import message_of
from ps_server.over_grpc.server import GrpcServer
from ps_server.over_grpc.stalls import Stalls
from ps_server.protocol.addresses import Credentials
from ps_server.protocol.calls import Encoded, JobSettings, Target, encode_in_parts
from ps_server.state.parameters import Parameters
from stepml.job.step import Step
from tests.support.clocks import HandClock
from tests.support.grpc_client import GrpcClient

HOST, TOKEN, JOB, STEP = "127.0.0.1", "a token", "jobs/a/", Step(1, 1)
FRAME_BYTES, STALLED_S, WAIT_S = 2**16, 60.0, 240.0
SIZE = 2**21  # numbers of a vector that exceeds the system's buffers


@pytest.fixture
def parameters() -> Parameters:
    return Parameters(limit_bytes=2**28)


@pytest.fixture
def clock() -> HandClock:
    """The clock by which calls stall."""
    return HandClock()


@pytest.fixture
def server(parameters: Parameters, clock: HandClock) -> Iterator[GrpcServer]:
    running = GrpcServer(
        parameters,
        (HOST, 0),
        TOKEN,
        frame_bytes=FRAME_BYTES,
        stalled_s=STALLED_S,
        clock=clock,
        max_connections=16,
    )
    running.start()
    yield running
    running.stop(1.0)


@pytest.fixture
def client(server: GrpcServer) -> Iterator[GrpcClient]:
    with GrpcClient(f"grpc://{HOST}:{server.port}", Credentials(TOKEN), WAIT_S) as ours:
        ours.register(JOB, JobSettings(1, 4 * SIZE + 100))
        yield ours


@pytest.fixture
def channel(server: GrpcServer) -> Iterator[grpc.Channel]:
    # Otherwise a client's buffers grow on a busy machine, where an answer seems to take long.
    options = [("grpc.http2.bdp_probe", 0)]
    with grpc.insecure_channel(f"{HOST}:{server.port}", options) as ours:
        yield ours


def vector(size: int = 3) -> Encoded:
    return encode_in_parts(Message(np.ones(size, np.float32), np.zeros(0)))


def head(size: int, **others: Any) -> Any:
    step = message_of(pb.Step, STEP)
    named = {"job": JOB, "step": step, "rank": 0, "attempt": "", "based_on": 0}
    return pb.PushHead(**{**named, "size": size, **others})


def frame(head: Any, *pieces: bytes | memoryview) -> bytes:
    data: bytes = pb.PushFrame(head=head, piece=b"".join(pieces)).SerializeToString()
    return data


def call(
    channel: grpc.Channel, name: str, frames: Iterator[bytes], token: str = f"Bearer {TOKEN}"
) -> Any:
    method = channel.stream_stream(f"/stepml.parameter_server.v1.ParameterServer/{name}")
    return method(frames, timeout=WAIT_S, metadata=(("authorization", token),))


def status(answers: Any) -> grpc.StatusCode:
    with suppress(grpc.RpcError):
        for _ in answers:
            pass
    code: grpc.StatusCode = answers.code()
    return code


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """The end of the test."""
    event = threading.Event()
    yield event
    event.set()


def stalling(over: threading.Event, *frames: bytes, repeats: bool = False) -> Iterator[bytes]:
    """Yield frames, and then nothing, or the last one again and again."""
    yield from frames
    while not over.wait(0.05):
        if repeats:
            yield frames[-1]


PIECE = frame(None, b"x")


@pytest.mark.parametrize("name", ["Ping", "Push", "Pull"])
def test_who_begins_a_call_and_says_nothing_is_sent_away(
    server: GrpcServer, clock: HandClock, channel: grpc.Channel, over: threading.Event, name: str
) -> None:
    answers = call(channel, name, stalling(over))
    wait_until(lambda: server.connections == 1)
    clock.sleep(STALLED_S + 1)
    assert status(answers) is grpc.StatusCode.CANCELLED
    wait_until(lambda: server.connections == 0)


@pytest.mark.parametrize("others", [[], [PIECE]], ids=["silence", "little pieces"])
def test_who_stops_within_a_message_is_sent_away_and_its_memory_is_free(
    client: GrpcClient,
    clock: HandClock,
    channel: grpc.Channel,
    parameters: Parameters,
    over: threading.Event,
    others: list[bytes],
) -> None:
    first = frame(head(4 * SIZE), bytes(FRAME_BYTES))
    answers = call(channel, "Push", stalling(over, first, *others, repeats=bool(others)))
    wait_until(lambda: parameters.statistics().used_bytes > 0)
    clock.sleep(STALLED_S + 1)
    assert status(answers) is grpc.StatusCode.CANCELLED
    wait_until(lambda: parameters.statistics().used_bytes == 0)


def test_who_does_not_read_is_sent_away_and_the_sum_is_free(
    client: GrpcClient,
    clock: HandClock,
    channel: grpc.Channel,
    server: GrpcServer,
    parameters: Parameters,
) -> None:
    client.push(Target(JOB, STEP, 0), vector(SIZE))
    asked = pb.PullRequest(job=JOB, step=message_of(pb.Step, STEP), rank=0, attempt="", wait_ms=0)
    answers = call(channel, "Pull", iter([asked.SerializeToString()]))
    next(answers)

    def is_away() -> bool:
        clock.sleep(STALLED_S + 1)  # again, as what the system buffers is progress
        return server.connections == 0

    wait_until(is_away)
    client.delete(JOB)
    assert parameters.statistics().used_bytes == 0
    assert status(answers) is grpc.StatusCode.CANCELLED


def test_who_vanishes_while_it_is_sent_to_leaves_nothing(
    client: GrpcClient, channel: grpc.Channel, server: GrpcServer, parameters: Parameters
) -> None:
    client.push(Target(JOB, STEP, 0), vector(SIZE))
    asked = pb.PullRequest(job=JOB, step=message_of(pb.Step, STEP), rank=0, attempt="", wait_ms=0)
    answers = call(channel, "Pull", iter([asked.SerializeToString()]))
    next(answers)
    answers.cancel()
    wait_until(lambda: server.connections == 0)
    client.delete(JOB)
    wait_until(lambda: parameters.statistics().used_bytes == 0)


def test_a_wait_is_no_stall(
    client: GrpcClient, clock: HandClock, channel: grpc.Channel, parameters: Parameters
) -> None:
    client.register("jobs/b/", JobSettings(2, 100))
    asked = pb.PullRequest(
        job="jobs/b/",
        step=message_of(pb.Step, STEP),
        rank=0,
        attempt="",
        wait_ms=3000,  # the server looks for stalls once a second
    )
    began = time.monotonic()
    answers = call(channel, "Pull", iter([asked.SerializeToString()]))
    wait_until(lambda: parameters._jobs.by_name["jobs/b/"].n_waiting == 1)
    clock.sleep(4 * STALLED_S)
    assert status(answers) is grpc.StatusCode.FAILED_PRECONDITION
    assert time.monotonic() - began >= 3


WHOLE = bytes(encode(Message(np.ones(2**15, np.float32), np.zeros(0))))
PIECES = [memoryview(WHOLE)[start : start + FRAME_BYTES] for start in range(0, len(WHOLE), 2**16)]
FIRST, *OTHERS = [
    frame(None if number else head(len(WHOLE)), piece) for number, piece in enumerate(PIECES)
]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        OTHERS,
        [*OTHERS, FIRST],
        [FIRST, FIRST, *OTHERS],
        [FIRST],
        [FIRST, b"", *OTHERS],
        [FIRST, frame(None), *OTHERS],
        [FIRST, *OTHERS[:-1], frame(None, PIECES[-1], b"x")],
        [frame(head(len(WHOLE) - 1), PIECES[0]), *OTHERS],
        [frame(head(len(WHOLE)), WHOLE[: FRAME_BYTES + 1])],
        [frame(head(-1), PIECES[0])],
        [frame(head(2**31 - 1), PIECES[0])],
    ],
    ids=range(13),
)
def test_frames_out_of_order_are_refused(
    client: GrpcClient, channel: grpc.Channel, parameters: Parameters, frames: list[bytes]
) -> None:
    assert status(call(channel, "Push", iter(frames))) is grpc.StatusCode.INVALID_ARGUMENT
    assert client.exists(JOB, STEP).ranks == ()
    wait_until(lambda: parameters.statistics().used_bytes == 0)
    assert status(call(channel, "Push", iter([FIRST, *OTHERS]))) is grpc.StatusCode.OK
    assert client.exists(JOB, STEP).is_complete


def test_a_frame_that_is_too_large_is_not_taken(client: GrpcClient, channel: grpc.Channel) -> None:
    large = frame(head(4 * SIZE), bytes(4 * FRAME_BYTES))
    assert status(call(channel, "Push", iter([large]))) is grpc.StatusCode.RESOURCE_EXHAUSTED
    long = pb.DeleteRequest(prefix="x" * (FRAME_BYTES + 100)).SerializeToString()
    assert status(call(channel, "Delete", iter([long]))) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "token",
    ["", TOKEN, f"bearer {TOKEN}", f"Bearer {TOKEN[:-1]}", "x" * 4000],
)
@pytest.mark.parametrize("name", ["Ping", "Push", "NoSuchMethod"])
def test_without_the_token_nothing_is_read_or_told(
    client: GrpcClient, channel: grpc.Channel, token: str, name: str
) -> None:
    answers = call(channel, name, iter([]), token)
    assert status(answers) is grpc.StatusCode.UNAUTHENTICATED
    assert answers.details() == ""
    assert not [*answers.trailing_metadata()]


def test_a_connection_that_never_becomes_one_is_closed(server: GrpcServer) -> None:
    with socket.create_connection((HOST, server.port), WAIT_S) as connection:
        while connection.recv(4096):  # its settings, then the end
            pass


def test_a_proxy_of_the_environment_is_not_asked(
    server: GrpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with GrpcClient(f"grpc://{HOST}:{server.port}", Credentials(TOKEN), WAIT_S) as ours:
        assert ours.ping().frame_bytes == FRAME_BYTES


def test_a_taken_port_is_named(server: GrpcServer, parameters: Parameters) -> None:
    with pytest.raises(OSError, match=f"{HOST}:{server.port}"):
        GrpcServer(parameters, (HOST, server.port), TOKEN)


class _Context:
    n_cancelled = 0

    def cancel(self) -> None:
        self.n_cancelled += 1


def test_calls_end_that_make_no_progress() -> None:
    clock, contexts = HandClock(), [_Context() for _ in range(3)]
    stalls = Stalls(10.0, clock)
    with (
        stalls.watching(contexts[0]),
        stalls.watching(contexts[1]) as progressing,
        stalls.watching(contexts[2]) as waiting,
    ):
        waiting.waits()
        assert waiting.deadline == math.inf
        clock.now = 9.0
        progressing.progressed()
        assert stalls.end_stalled() == 0
        clock.now = 11.0
        assert stalls.end_stalled() == 1
        assert [each.n_cancelled for each in contexts] == [1, 0, 0]
        assert len(stalls) == 3
    assert len(stalls) == 0
