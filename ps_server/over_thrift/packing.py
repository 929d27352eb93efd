"""The two calls of every step, and their answers, packed at once.

What the compiler wrote reads and writes them field by field, in a few dozen calls of Python for
each; that would take most of the time of a step with a small vector. The bytes are the same, which
a test holds. A message with its fields in another order, or not all there yet, is none for these
functions (they return None), and is read by the compiler's code.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TMessageType, TType

from ps_server.protocol.calls import Pushed
from stepml.job.step import Step

# A message begins with version and type, the name, and a number; a field with type and number.
_BEGIN = struct.Struct(">iI4si")
_LENGTH_1 = struct.Struct(">BhI")
_STEP_AND_RANK = struct.Struct(">BhBhiBhiBBhiBhI")  # fields 2 and 3; then the length of 4
_PUSH_END = struct.Struct(">BhqBhqBhqBhI")  # fields 5 to 7; then the length of 8
_PULL_END = struct.Struct(">BhiBhqBhiB")  # fields 5 to 7, and the end
_PUSHED = struct.Struct(">iI4siBhBh?BhqBhqBB")
_PULLED = struct.Struct(">iI4siBhBhqBhI")

_CALL = TBinaryProtocol.VERSION_1 | TMessageType.CALL
_REPLY = TBinaryProtocol.VERSION_1 | TMessageType.REPLY
_PUSH, _PULL = b"push", b"pull"
_STRING, _STRUCT, _I32, _I64, _BOOL = TType.STRING, TType.STRUCT, TType.I32, TType.I64, TType.BOOL
_MOST_TEXT_BYTES = 1000

PUSH_TAIL = b"\0"  # behind the piece
PULLED_TAIL = b"\0\0"


@dataclass(frozen=True, slots=True)
class PushCall:
    """A piece that is pushed, up to the piece itself."""

    number: int
    job: str
    step: Step
    rank: int
    attempt: str
    based_on: int
    size: int
    offset: int
    piece_bytes: int


@dataclass(frozen=True, slots=True)
class PullCall:
    """A piece that is asked for."""

    number: int
    job: str
    step: Step
    rank: int
    attempt: str
    wait_ms: int
    offset: int
    limit: int


def pack_push(call: PushCall) -> bytes:
    """Return a call up to its piece; `PUSH_TAIL` follows that."""
    return _head(_PUSH, call) + _PUSH_END.pack(
        *(_I64, 5, call.based_on, _I64, 6, call.size, _I64, 7, call.offset),
        *(_STRING, 8, call.piece_bytes),
    )


def pack_pull(call: PullCall) -> bytes:
    """Return a call."""
    return _head(_PULL, call) + _PULL_END.pack(
        *(_I32, 5, call.wait_ms, _I64, 6, call.offset, _I32, 7, call.limit, TType.STOP)
    )


def unpack_call(data: memoryview) -> tuple[PushCall | PullCall, int] | None:
    """Return the call with which ``data`` begins, and its length."""
    begun = _unpack_head(data)
    if begun is None:
        return None
    name, fields, at = begun
    if name == _PUSH:
        if len(data) < at + _PUSH_END.size:
            return None
        end = _PUSH_END.unpack_from(data, at)
        if end[0:2] + end[3:5] + end[6:8] + end[9:11] != (
            *(_I64, 5, _I64, 6, _I64, 7, _STRING, 8),
        ):
            return None
        return PushCall(*fields, end[2], end[5], end[8], end[11]), at + _PUSH_END.size
    if len(data) < at + _PULL_END.size:
        return None
    end = _PULL_END.unpack_from(data, at)
    if end[0:2] + end[3:5] + end[6:8] + end[9:] != (*(_I32, 5, _I64, 6, _I32, 7, TType.STOP),):
        return None
    return PullCall(*fields, end[2], end[5], end[8]), at + _PULL_END.size


def pack_pushed(number: int, pushed: Pushed) -> bytes:
    """Return the answer to a push."""
    return _PUSHED.pack(
        *(_REPLY, 4, _PUSH, number, _STRUCT, 0),
        *(_BOOL, 1, pushed.is_repeated, _I64, 2, pushed.version, _I64, 3, pushed.staleness),
        *(TType.STOP, TType.STOP),
    )


def unpack_pushed(data: memoryview) -> tuple[int, Pushed, int] | None:
    """Return number and answer with which ``data`` begins, and their length."""
    if len(data) < _PUSHED.size:
        return None
    kind, length, name, number, *fields = _PUSHED.unpack_from(data)
    if (kind, length, name, *fields[:4]) != (_REPLY, 4, _PUSH, _STRUCT, 0, _BOOL, 1):
        return None
    if fields[5:7] + fields[8:10] + fields[11:] != [_I64, 2, _I64, 3, TType.STOP, TType.STOP]:
        return None
    return number, Pushed(fields[4], fields[7], fields[10]), _PUSHED.size


def pack_pulled(number: int, size: int, piece_bytes: int) -> bytes:
    """Return the answer to a pull up to the piece; `PULLED_TAIL` follows that."""
    return _PULLED.pack(
        *(_REPLY, 4, _PULL, number, _STRUCT, 0, _I64, 1, size, _STRING, 2, piece_bytes)
    )


def unpack_pulled(data: memoryview) -> tuple[int, int, int, int] | None:
    """Return number, size of the message and of the piece that follows; and the length of these."""
    if len(data) < _PULLED.size:
        return None
    kind, length, name, number, *fields = _PULLED.unpack_from(data)
    if (kind, length, name, *fields[:4], *fields[5:7]) != (
        *(_REPLY, 4, _PULL, _STRUCT, 0, _I64, 1, _STRING, 2),
    ):
        return None
    return number, fields[4], fields[7], _PULLED.size


def _head(name: bytes, call: PushCall | PullCall) -> bytes:
    job, attempt, step = call.job.encode(), call.attempt.encode(), call.step
    return b"".join(
        (
            _BEGIN.pack(_CALL, 4, name, call.number),
            _LENGTH_1.pack(_STRING, 1, len(job)),
            job,
            _STEP_AND_RANK.pack(
                *(_STRUCT, 2, _I32, 1, step.epoch, _I32, 2, step.batch, TType.STOP),
                *(_I32, 3, call.rank, _STRING, 4, len(attempt)),
            ),
            attempt,
        )
    )


def _unpack_head(data: memoryview) -> tuple[bytes, tuple[int, str, Step, int, str], int] | None:
    """Return the name of a call, its first fields and where the others begin."""
    at = _BEGIN.size + _LENGTH_1.size
    if len(data) < at:
        return None
    kind, length, name, number = _BEGIN.unpack_from(data)
    if kind != _CALL or length != 4 or name not in (_PUSH, _PULL):
        return None
    type_1, field_1, job_bytes = _LENGTH_1.unpack_from(data, _BEGIN.size)
    if (type_1, field_1) != (_STRING, 1) or job_bytes > _MOST_TEXT_BYTES:
        return None
    if len(data) < at + job_bytes + _STEP_AND_RANK.size:
        return None
    job = data[at : at + job_bytes]
    at += job_bytes
    found = _STEP_AND_RANK.unpack_from(data, at)
    at += _STEP_AND_RANK.size
    if found[:4] + found[5:7] + found[8:11] + found[12:14] != (
        *(_STRUCT, 2, _I32, 1, _I32, 2, TType.STOP, _I32, 3, _STRING, 4),
    ):
        return None
    attempt = data[at : at + found[14]]
    if found[14] > _MOST_TEXT_BYTES or len(attempt) < found[14]:
        return None
    try:
        texts = str(job, "utf-8"), str(attempt, "utf-8")
    except UnicodeDecodeError:
        return None
    at += found[14]
    return name, (number, texts[0], Step(found[4], found[7]), found[11], texts[1]), at
