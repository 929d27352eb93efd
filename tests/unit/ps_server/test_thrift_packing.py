"""What is packed at once has the bytes that the compiler's code writes, and reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
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
    unpack_call,
    unpack_pulled,
    unpack_pushed,
)
from ps_server.protocol.calls import Pushed
from stepml.job.step import Step

I32 = st.integers(-(2**31), 2**31 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(max_size=100)
STEPS = st.builds(Step, I32, I32)
PUSHES = st.builds(
    PushCall, I32, TEXTS, STEPS, I32, TEXTS, I64, I64, I64, st.integers(0, 2**31 - 1)
)
PULLS = st.builds(PullCall, I32, TEXTS, STEPS, I32, TEXTS, I32, I64, I32)


def written(name: str, kind: int, number: int, struct: Any) -> bytes:
    """Return a message as the compiler's code writes it."""
    memory = TMemoryBuffer()
    protocol = TBinaryProtocol(memory)
    protocol.writeMessageBegin(name, kind, number)
    struct.write(protocol)
    protocol.writeMessageEnd()
    return bytes(memory.getvalue())


def push_struct(call: PushCall, piece: bytes) -> Any:
    step = ttypes.Step(call.step.epoch, call.step.batch)
    return ParameterServer.push_args(
        call.job, step, call.rank, call.attempt, call.based_on, call.size, call.offset, piece
    )


def pull_struct(call: PullCall) -> Any:
    step = ttypes.Step(call.step.epoch, call.step.batch)
    return ParameterServer.pull_args(
        call.job, step, call.rank, call.attempt, call.wait_ms, call.offset, call.limit
    )


@given(PUSHES, st.binary(max_size=50))
def test_pushes_have_the_bytes_of_the_compilers_code(call: PushCall, piece: bytes) -> None:
    call = PushCall(
        *(getattr(call, name) for name in call.__dataclass_fields__ if name != "piece_bytes"),
        piece_bytes=len(piece),
    )
    expected = written("push", TMessageType.CALL, call.number, push_struct(call, piece))
    head = pack_push(call)
    assert head + piece + PUSH_TAIL == expected
    assert unpack_call(memoryview(expected)) == (call, len(head))


@given(PULLS)
def test_pulls_have_the_bytes_of_the_compilers_code(call: PullCall) -> None:
    expected = written("pull", TMessageType.CALL, call.number, pull_struct(call))
    assert pack_pull(call) == expected
    assert unpack_call(memoryview(expected + b"more")) == (call, len(expected))


@given(I32, st.builds(Pushed, st.booleans(), I64, I64))
def test_answers_to_pushes_have_the_bytes_of_the_compilers_code(
    number: int, pushed: Pushed
) -> None:
    success = ttypes.Pushed(pushed.is_repeated, pushed.version, pushed.staleness)
    result = ParameterServer.push_result(success=success)
    expected = written("push", TMessageType.REPLY, number, result)
    assert pack_pushed(number, pushed) == expected
    assert unpack_pushed(memoryview(expected)) == (number, pushed, len(expected))


@given(I32, I64, st.binary(max_size=50))
def test_answers_to_pulls_have_the_bytes_of_the_compilers_code(
    number: int, size: int, piece: bytes
) -> None:
    result = ParameterServer.pull_result(success=ttypes.Pulled(size, piece))
    expected = written("pull", TMessageType.REPLY, number, result)
    head = pack_pulled(number, size, len(piece))
    assert head + piece + PULLED_TAIL == expected
    assert unpack_pulled(memoryview(expected)) == (number, size, len(piece), len(head))


@given(PUSHES, st.data())
def test_part_of_a_call_is_none(call: PushCall, data: st.DataObject) -> None:
    whole = pack_push(call)
    stop = data.draw(st.integers(0, len(whole) - 1))
    assert unpack_call(memoryview(whole)[:stop]) is None


@given(st.one_of(PUSHES.map(pack_push), PULLS.map(pack_pull)), st.data())
def test_whatever_differs_from_the_layout_is_left_to_the_compilers_code(
    packed: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(packed) - 1))
    changed = bytearray(packed)
    changed[at] ^= data.draw(st.integers(1, 255))
    found = unpack_call(memoryview(changed))
    if found is not None:
        again = pack_push(found[0]) if isinstance(found[0], PushCall) else pack_pull(found[0])
        assert again == changed[: found[1]]


@pytest.mark.parametrize(
    "result",
    [
        ParameterServer.push_result(denied=ttypes.AccessDenied("no")),
        ParameterServer.pull_result(missing=ttypes.ContributionsMissing("late", [1, 2], 3)),
    ],
)
def test_refusals_are_no_answers(result: Any) -> None:
    name = "push" if isinstance(result, ParameterServer.push_result) else "pull"
    data = memoryview(written(name, TMessageType.REPLY, 1, result) + bytes(100))
    assert unpack_pushed(data) is None
    assert unpack_pulled(data) is None
