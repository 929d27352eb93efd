"""The calls ``push`` and ``pull`` and their answers, each read and written in a few steps.

They are the calls of every step; the compiler's code, field by field, takes a quarter of the time
of a step with a small vector. The bytes are the same, which tests hold. All fields have to be
there, in the order of the interface, as the code of Thrift's compilers writes them.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TMessageType

from ps_server.over_thrift.transport import SocketTransport
from ps_server.protocol.calls import Pushed, Target
from stepml.job.step import Step


class _Layout:
    """Numbers, each behind the types and numbers of the fields that begin before it."""

    def __init__(self, *numbers: tuple[bytes, str]) -> None:
        codes = (f"{len(header)}s{code}" for header, code in numbers)
        self._struct = struct.Struct(">" + "".join(codes))
        self._headers = tuple(header for header, _ in numbers)
        self._template: list[Any] = [part for header, _ in numbers for part in (header, None)]

    def pack(self, *values: int) -> bytes:
        fields = [*self._template]
        fields[1::2] = values
        return self._struct.pack(*fields)

    def read(self, transport: SocketTransport) -> tuple[Any, ...]:
        found = transport.numbers(self._struct, self._headers[0])
        if found[::2] != self._headers:
            raise TProtocolException(TProtocolException.INVALID_DATA, "unexpected fields")
        return found[1::2]


# A field begins with its type (2 bool, 8 i32, 10 i64, 11 string, 12 struct) and its number.
_BEGIN = struct.Struct(">iI4si")  # of a message: version and type, its name, its number
_JOB = _Layout((b"\x0b\0\1", "I"))
_STEP = _Layout(
    *((b"\x0c\0\2\x08\0\1", "i"), (b"\x08\0\2", "i"), (b"\0\x08\0\3", "i"), (b"\x0b\0\4", "I"))
)
_PUSH = _Layout((b"\x0a\0\5", "q"), (b"\x0a\0\6", "q"), (b"\x0a\0\7", "q"), (b"\x0b\0\x08", "I"))
_PULL = _Layout((b"\x08\0\5", "i"), (b"\x0a\0\6", "q"), (b"\x08\0\7", "i"), (b"", "b"))
_PUSHED = _Layout((b"\x0c\0\0\x02\0\1", "?"), (b"\x0a\0\2", "q"), (b"\x0a\0\3", "q"), (b"\0", "b"))
_PULLED = _Layout((b"\x0c\0\0\x0a\0\1", "q"), (b"\x0b\0\2", "I"))

_CALL = TBinaryProtocol.VERSION_1 | TMessageType.CALL
_REPLY = TBinaryProtocol.VERSION_1 | TMessageType.REPLY
SUCCESS = b"\x0c\0\0"  # with which an answer begins that is no refusal
PUSH_TAIL = b"\0"  # behind the piece
PULLED_TAIL = b"\0\0"


class PushCall(NamedTuple):
    """A pushed piece, without its bytes."""

    target: Target
    size: int  # of the message
    offset: int
    piece_bytes: int


class PullCall(NamedTuple):
    """A piece to be pulled."""

    target: Target
    wait_ms: int
    offset: int
    limit: int


def pack_push(number: int, call: PushCall) -> bytes:
    """Pack a call up to its piece, which `PUSH_TAIL` follows."""
    end = _PUSH.pack(call.target.based_on, call.size, call.offset, call.piece_bytes)
    return _pack_target(b"push", number, call.target) + end


def pack_pull(number: int, call: PullCall) -> bytes:
    end = _PULL.pack(call.wait_ms, call.offset, call.limit, 0)
    return _pack_target(b"pull", number, call.target) + end


def pack_pushed(number: int, pushed: Pushed) -> bytes:
    fields = _PUSHED.pack(pushed.is_repeated, pushed.version, pushed.staleness, 0)
    return _BEGIN.pack(_REPLY, 4, b"push", number) + fields


def pack_pulled(number: int, size: int, piece_bytes: int) -> bytes:
    """Pack the answer to a pull up to the piece, which `PULLED_TAIL` follows."""
    return _BEGIN.pack(_REPLY, 4, b"pull", number) + _PULLED.pack(size, piece_bytes)


def read_push(transport: SocketTransport) -> PushCall:
    """Read a call behind its name, up to its piece."""
    job, step, rank, attempt = _read_target(transport)
    based_on, *others = _PUSH.read(transport)
    return PushCall(Target(job, step, rank, attempt, based_on), *others)


def read_pull(transport: SocketTransport) -> PullCall:
    target = Target(*_read_target(transport))
    *others, stop = _PULL.read(transport)
    require_end(stop, 0)
    return PullCall(target, *others)


def read_pushed(transport: SocketTransport) -> Pushed:
    is_repeated, version, staleness, stop = _PUSHED.read(transport)
    require_end(stop, 0)
    return Pushed(is_repeated, version, staleness)


def read_pulled(transport: SocketTransport) -> tuple[int, int]:
    """Read the answer to a pull; return the size of the message and that of the piece behind."""
    size, piece_bytes = _PULLED.read(transport)
    return size, piece_bytes


def require_end(found: bytes | int, expected: bytes | int) -> None:
    """Raise `TProtocolException` for more fields than the interface has."""
    if found != expected:
        raise TProtocolException(TProtocolException.INVALID_DATA, "more fields")


def _pack_target(name: bytes, number: int, target: Target) -> bytes:
    job, attempt, step = target.job.encode(), target.attempt.encode(), target.step
    fields = _STEP.pack(step.epoch, step.batch, target.rank, len(attempt))
    begin = _BEGIN.pack(_CALL, 4, name, number)
    return b"".join((begin, _JOB.pack(len(job)), job, fields, attempt))


def _read_target(transport: SocketTransport) -> tuple[str, Step, int, str]:
    job = transport.text(*_JOB.read(transport))
    epoch, batch, rank, attempt_bytes = _STEP.read(transport)
    return job, Step(epoch, batch), rank, transport.text(attempt_bytes)
