"""The calls and refusals of the parameter server as messages of parameter_server.proto."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from ps_server.generated import parameter_server_pb2 as pb
from ps_server.protocol import refusals
from ps_server.protocol.refusals import ContributionsMissing, InvalidRequest, Refusal

MESSAGE_BYTES = 2**16  # of a request without a piece, and of the other fields of a frame
TOKEN_KEY = "authorization"  # noqa: S105 — keys of metadata
INCARNATION_KEY = "stepml-incarnation"
REFUSAL_KEY = "stepml-refusal"
FIELDS_KEY = "stepml-refusal-bin"

_MOST_TEXT = 1000  # characters of a refusal's message: metadata has to be short
_OPTIONAL = {"PushFrame.head", "PushFrame.piece", "PushHead.wait_ms"}
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

M = TypeVar("M", bound=Message)
Metadata = Sequence[tuple[str, str | bytes]]


def parse(read: Callable[[bytes], M], data: bytes) -> M:
    """Parse a message; all fields have to be there, and no others.

    Raises
    ------
    InvalidRequest
    """
    try:
        message = read(data)
    except DecodeError:
        raise InvalidRequest("message: cannot be read") from None
    message.DiscardUnknownFields()
    if message.ByteSize() != len(data):
        name = message.DESCRIPTOR.name
        raise InvalidRequest(f"{name}: has fields that are not known, or twice")
    _require_fields(message)
    return message


def message_of(kind: type[M], value: object, **others: Any) -> M:
    """Make a message from the attributes of ``value`` that have the names of its fields."""
    fields = {
        field.name: _field_value(field, getattr(value, field.name))
        for field in kind.DESCRIPTOR.fields
        if hasattr(value, field.name)
    }
    message: M = kind(**fields, **others)
    return message


def fields_of(message: Message) -> dict[str, Any]:
    """Return the fields of a message by name, with the names of enumerations."""
    return {
        field.name: _plain_value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
    }


def missing_message(refusal: ContributionsMissing) -> pb.ContributionsMissing:
    """Make the frame's field for a wait that ended too early."""
    return message_of(pb.ContributionsMissing, refusal, message=str(refusal)[:_MOST_TEXT])


def status_of(refusal: Refusal) -> tuple[grpc.StatusCode, str, Metadata]:
    """Return the code, the details and the trailing metadata of a refusal."""
    code = _CODES[type(refusal)]
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return code, "", ()
    fields = message_of(pb.RefusalFields, refusal).SerializeToString()
    metadata: Metadata = ((REFUSAL_KEY, type(refusal).__name__), (FIELDS_KEY, fields))
    return code, str(refusal)[:_MOST_TEXT], metadata


def refusal_of(code: grpc.StatusCode, details: str, metadata: Metadata) -> Refusal | None:
    """Return the refusal in a status, or None if the status has another cause."""
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return refusals.AccessDenied("the token is wrong")
    found: dict[str, Any] = dict(metadata)
    kind = _CLASSES.get(found.get(REFUSAL_KEY, ""))
    if kind is None:
        return None
    fields = pb.RefusalFields.FromString(found.get(FIELDS_KEY, b""))
    return kind(details, **{name: getattr(fields, name) for name in kind.fields})


def _field_value(field: Any, value: Any) -> Any:
    if field.is_repeated:
        kind = field.message_type and field.message_type._concrete_class
        return [message_of(kind, each) for each in value] if kind else value
    if field.message_type is not None:
        return message_of(field.message_type._concrete_class, value)
    return field.enum_type.values_by_name[value.upper()].number if field.enum_type else value


def _plain_value(field: Any, value: Any) -> Any:
    if field.is_repeated:
        return tuple(value)
    known = field.enum_type and field.enum_type.values_by_number.get(value)
    return known.name.lower() if known else value


def _require_fields(message: Message) -> None:
    for field in message.DESCRIPTOR.fields:
        name = f"{message.DESCRIPTOR.name}.{field.name}"
        if field.is_repeated:
            continue
        if not message.HasField(field.name):
            if name not in _OPTIONAL:
                raise InvalidRequest(f"{name}: is missing")
        elif field.message_type is not None:
            _require_fields(getattr(message, field.name))
