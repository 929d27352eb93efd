"""What gRPC carries: calls and refusals as messages of parameter_server.proto, and frames.

Frames are taken apart and put together here, not by protobuf, which would copy each piece twice
more. They are what protobuf reads and writes all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from ps_server.generated import parameter_server_pb2 as pb
from ps_server.protocol import calls, refusals
from ps_server.protocol.refusals import (
    ContributionsMissing,
    InvalidRequest,
    MemoryExceeded,
    Refusal,
)
from stepml.job.step import Step

SERVICE = pb.DESCRIPTOR.services_by_name["ParameterServer"]
FRAME_BYTES = 2**20  # of a piece; smaller ones are slower, larger ones are not faster
MESSAGE_BYTES = 2**16  # of a message without a piece, and of what a frame has beside it

TOKEN_KEY = "authorization"  # noqa: S105 — keys of metadata
INCARNATION_KEY = "stepml-incarnation"
REFUSAL_KEY = "stepml-refusal"
FIELDS_KEY = "stepml-refusal-bin"

_PIECE_KEY = 15 << 3 | 2  # as protobuf writes it: field 15, bytes
_MOST_TOLD = 1000  # characters of a refusal's message: metadata has to be short

_CODES: dict[type[Refusal], grpc.StatusCode] = {
    refusals.AccessDenied: grpc.StatusCode.UNAUTHENTICATED,
    refusals.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    refusals.UnknownJob: grpc.StatusCode.NOT_FOUND,
    refusals.JobConflict: grpc.StatusCode.ALREADY_EXISTS,
    refusals.MemoryExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    refusals.ContributionsMissing: grpc.StatusCode.FAILED_PRECONDITION,
    refusals.StepForgotten: grpc.StatusCode.OUT_OF_RANGE,
    refusals.DamagedVector: grpc.StatusCode.DATA_LOSS,
    refusals.Draining: grpc.StatusCode.UNAVAILABLE,
}
_CLASSES = {kind.__name__: kind for kind in _CODES}
_RULES: dict[str, pb.Rule] = {
    "bulk_synchronous": pb.BULK_SYNCHRONOUS,
    "asynchronous": pb.ASYNCHRONOUS,
    "stale_synchronous": pb.STALE_SYNCHRONOUS,
}
_COMPRESSIONS: dict[str, pb.Compression] = {"none": pb.NONE, "float16": pb.FLOAT16}

M = TypeVar("M", bound=Message)
Metadata = Sequence[tuple[str, str | bytes]]


def parse(kind: type[M], data: bytes, *, optional: Iterable[str] = ()) -> M:
    """Return the message in ``data``, which has all fields but the ``optional`` ones, and no more.

    Raises
    ------
    InvalidRequest
    """
    message: M = kind()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise InvalidRequest(f"{kind.__name__}: cannot be read") from None
    message.DiscardUnknownFields()
    if message.ByteSize() != len(data):
        raise InvalidRequest(f"{kind.__name__}: has fields that are not known, or twice")
    _require_all(message, frozenset(optional))
    return message


def split(frame: bytes) -> tuple[bytes, memoryview]:
    """Return what a frame has before its piece, and the piece, which is not copied.

    Raises
    ------
    InvalidRequest
    """
    position = 0
    while position < len(frame):
        key = frame[position]
        number, after = _number(frame, position + 1)
        if key == _PIECE_KEY:
            if number != len(frame) - after:
                raise InvalidRequest("piece: expected the last field of the frame, and all of it")
            return frame[:position], memoryview(frame)[after:]
        if key & 7 not in (0, 2):
            raise InvalidRequest("frame: has a field that is not known")
        position = after + number if key & 7 else after
    return frame, memoryview(b"")


def joined(head: bytes, piece: Sequence[memoryview]) -> bytes:
    """Return a frame: its other fields as protobuf wrote them, then its piece."""
    length = sum(map(len, piece))
    prefix = bytearray((_PIECE_KEY,))
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return b"".join((head, prefix, *piece))


def step_message(step: Step) -> pb.Step:
    """Return a step as it travels."""
    return pb.Step(epoch=step.epoch, batch=step.batch)


def step_of(message: pb.Step) -> Step:
    """Return a step that has arrived."""
    return Step(message.epoch, message.batch)


def settings_message(settings: calls.JobSettings) -> pb.JobSettings:
    """Return a job's settings as they travel."""
    return pb.JobSettings(
        world_size=settings.world_size,
        message_bytes=settings.message_bytes,
        rule=_RULES[settings.rule],
        max_staleness=settings.max_staleness,
        compression=_COMPRESSIONS[settings.compression],
        server_update=settings.server_update,
    )


def settings_of(message: pb.JobSettings) -> calls.JobSettings:
    """Return a job's settings that have arrived, or raise `InvalidRequest`."""
    fields: dict[str, Any] = plain(message)
    rules = {number: name for name, number in _RULES.items()}
    compressions = {number: name for name, number in _COMPRESSIONS.items()}
    fields["rule"] = rules.get(message.rule, message.rule)
    fields["compression"] = compressions.get(message.compression, message.compression)
    return calls.JobSettings(**fields)


def plain(message: Message) -> dict[str, Any]:
    """Return a message's own fields by their names."""
    return {
        field.name: tuple(value) if field.is_repeated else value
        for field in message.DESCRIPTOR.fields
        for value in (getattr(message, field.name),)
    }


def pushed_message(pushed: calls.Pushed) -> pb.Pushed:
    """Return the answer to a push as it travels."""
    return pb.Pushed(
        is_repeated=pushed.is_repeated, version=pushed.version, staleness=pushed.staleness
    )


def plain_statistics(found: calls.Statistics) -> pb.Statistics:
    """Return statistics as they travel."""
    fields = asdict(found)
    fields["jobs"] = [pb.JobStatistics(**job) for job in fields["jobs"]]
    return pb.Statistics(**fields)


def missing_message(refusal: ContributionsMissing) -> pb.ContributionsMissing:
    """Return a wait that was in vain, as a frame tells it."""
    return pb.ContributionsMissing(
        message=str(refusal)[:_MOST_TOLD], ranks=refusal.ranks, frontier=refusal.frontier
    )


def status_of(refusal: Refusal) -> tuple[grpc.StatusCode, str, Metadata]:
    """Return the code, the details and the trailing metadata of a refusal."""
    code = _CODES[type(refusal)]
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return code, "", ()
    fields = pb.RefusalFields(
        **{
            field.name: getattr(refusal, field.name)
            for field in pb.RefusalFields.DESCRIPTOR.fields
            if hasattr(refusal, field.name)
        }
    )
    metadata: list[tuple[str, str | bytes]] = [(REFUSAL_KEY, type(refusal).__name__)]
    if data := fields.SerializeToString():
        metadata.append((FIELDS_KEY, data))
    return code, str(refusal)[:_MOST_TOLD], metadata


def refusal_of(code: grpc.StatusCode, details: str, metadata: Metadata) -> Refusal | None:
    """Return the refusal that a status is, or None if it is none of the server's."""
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return refusals.AccessDenied("the token is wrong")
    told = dict(metadata)
    kind = _CLASSES.get(str(told.get(REFUSAL_KEY)))
    data = told.get(FIELDS_KEY, b"")
    fields = pb.RefusalFields.FromString(data if isinstance(data, bytes) else b"")
    if kind is MemoryExceeded:
        return kind(details, fields.needed_bytes, fields.free_bytes, fields.limit_bytes)
    if kind is ContributionsMissing:
        return kind(details, fields.ranks, fields.frontier)
    return kind(details) if kind else None


def _require_all(message: Message, optional: frozenset[str]) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            continue
        if message.HasField(field.name):
            if field.message_type is not None:
                _require_all(getattr(message, field.name), optional)
        elif field.name not in optional:
            raise InvalidRequest(f"{message.DESCRIPTOR.name}.{field.name}: is missing")


def _number(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    number = shift = 0
    for index in range(position, min(position + 5, len(data))):
        number |= (data[index] & 0x7F) << shift
        if data[index] < 0x80:
            return number, index + 1
        shift += 7
    raise InvalidRequest("frame: has a field that cannot be read")
