"""Packed calls have the bytes of the compiler's code, and are read by it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TMessageType
from thrift.transport.TTransport import TMemoryBuffer

from ps_server.generated.thrift_api import ParameterServer, ttypes
from ps_server.over_thrift.packing import (
    PULLED_TAIL,
    PUSH_TAIL,
    PullCall,
    PushCall,
    pack_pull,
    pack_pulled,
    pack_push,
    pack_pushed,
    read_pull,
    read_pulled,
    read_push,
    read_pushed,
)
from ps_server.over_thrift.transport import SocketTransport
from ps_server.protocol.calls import Pushed, Target
from stepml.job.step import Step

BEGIN_BYTES = 16  # version, type, name and number of a message
T = TypeVar("T")
I32 = st.integers(-(2**31), 2**31 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(max_size=100)
STEPS = st.builds(Step, I32, I32)
TARGETS = st.builds(Target, TEXTS, STEPS, I32, TEXTS, st.just(0))
PUSH_TARGETS = st.builds(Target, TEXTS, STEPS, I32, TEXTS, I64)
PUSHES = st.builds(PushCall, PUSH_TARGETS, I64, I64, st.integers(0, 2**31 - 1))
PULLS = st.builds(PullCall, TARGETS, I32, I64, I32)


def received(data: bytes, read: Callable[[SocketTransport], T]) -> tuple[T, bytes]:
    """Read a message after its beginning; return the result and the unread bytes."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.sendall(data[BEGIN_BYTES:])
        theirs.shutdown(socket.SHUT_WR)
        transport = SocketTransport(ours)
        transport.set_timeout(10.0)
        found = read(transport)
        rest = b""
        while transport.wait_for_input():
            rest += transport.readAll(1)
        return found, rest


def written(name: str, kind: int, number: int, struct: Any) -> bytes:
    """Return a message written by the compiler's code."""
    memory = TMemoryBuffer()
    protocol = TBinaryProtocol(memory)
    protocol.writeMessageBegin(name, kind, number)
    struct.write(protocol)
    protocol.writeMessageEnd()
    return bytes(memory.getvalue())


def push_struct(call: PushCall, piece: bytes) -> Any:
    of, step = call.target, ttypes.Step(call.target.step.epoch, call.target.step.batch)
    return ParameterServer.push_args(
        of.job, step, of.rank, of.attempt, of.based_on, call.size, call.offset, piece
    )


def pull_struct(call: PullCall) -> Any:
    of, step = call.target, ttypes.Step(call.target.step.epoch, call.target.step.batch)
    return ParameterServer.pull_args(
        of.job, step, of.rank, of.attempt, call.wait_ms, call.offset, call.limit
    )


@given(I32, PUSHES, st.binary(max_size=50))
def test_pushes_have_the_bytes_of_the_compilers_code(
    number: int, call: PushCall, piece: bytes
) -> None:
    call = call._replace(piece_bytes=len(piece))
    expected = written("push", TMessageType.CALL, number, push_struct(call, piece))
    assert pack_push(number, call) + piece + PUSH_TAIL == expected
    assert received(expected, read_push) == (call, piece + PUSH_TAIL)


@given(I32, PULLS)
def test_pulls_have_the_bytes_of_the_compilers_code(number: int, call: PullCall) -> None:
    expected = written("pull", TMessageType.CALL, number, pull_struct(call))
    assert pack_pull(number, call) == expected
    assert received(expected + b"more", read_pull) == (call, b"more")


@given(I32, st.builds(Pushed, st.booleans(), I64, I64))
def test_answers_to_pushes_have_the_bytes_of_the_compilers_code(
    number: int, pushed: Pushed
) -> None:
    success = ttypes.Pushed(pushed.is_repeated, pushed.version, pushed.staleness)
    result = ParameterServer.push_result(success=success)
    expected = written("push", TMessageType.REPLY, number, result)
    assert pack_pushed(number, pushed) == expected
    assert received(expected, read_pushed) == (pushed, b"")


@given(I32, I64, st.binary(max_size=50))
def test_answers_to_pulls_have_the_bytes_of_the_compilers_code(
    number: int, size: int, piece: bytes
) -> None:
    result = ParameterServer.pull_result(success=ttypes.Pulled(size, piece))
    expected = written("pull", TMessageType.REPLY, number, result)
    assert pack_pulled(number, size, len(piece)) + piece + PULLED_TAIL == expected
    assert received(expected, read_pulled) == ((size, len(piece)), piece + PULLED_TAIL)


@given(PUSHES, st.data())
def test_a_part_of_a_call_is_no_call(call: PushCall, data: st.DataObject) -> None:
    whole = pack_push(1, call)
    stop = data.draw(st.integers(BEGIN_BYTES, len(whole) - 1))
    with pytest.raises(EOFError):
        received(whole[:stop], read_push)


@given(st.one_of(PUSHES, PULLS), st.data())
def test_a_call_that_differs_is_another_call_or_refused(
    call: PushCall | PullCall, data: st.DataObject
) -> None:
    packed = pack_push(1, call) if isinstance(call, PushCall) else pack_pull(1, call)
    at = data.draw(st.integers(BEGIN_BYTES, len(packed) - 1))
    changed = bytearray(packed)
    changed[at] ^= data.draw(st.integers(1, 255))
    with suppress(TProtocolException, EOFError):
        if isinstance(call, PushCall):
            pushed, rest = received(bytes(changed), read_push)
            assert pack_push(1, pushed) + rest == changed
        else:
            pulled, rest = received(bytes(changed), read_pull)
            assert pack_pull(1, pulled) + rest == changed
