"""The calls and refusals of the parameter server as messages of parameter_server.proto."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from ps_server.generated import parameter_server_pb2 as pb
from ps_server.protocol import refusals
from ps_server.protocol.calls import KINDS
from ps_server.protocol.refusals import InvalidRequest, Refusal

MESSAGE_BYTES = 2**16  # of a request without a piece, and of the other fields of a frame
TOKEN_KEY = "authorization"  # noqa: S105 — keys of metadata
INCARNATION_KEY = "stepml-incarnation"
REFUSAL_KEY = "stepml-refusal"
FIELDS_KEY = "stepml-refusal-bin"
METHODS = pb.DESCRIPTOR.services_by_name["ParameterServer"].methods_by_name

_MOST_TEXT = 1000  # characters of a refusal's message: metadata has to be short
_OPTIONAL = {"PushFrame.head", "PushFrame.piece"}
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


def message_of(kind: type[M], value: object = None, **others: Any) -> M:
    """Make a message from the attributes of ``value`` that have the names of its fields."""
    fields = kind.DESCRIPTOR.fields_by_name
    found = {name: getattr(value, name) for name in fields if hasattr(value, name)} | others
    message: M = kind(**{name: _field_value(fields[name], each) for name, each in found.items()})
    return message


def fields_of(message: Message) -> dict[str, Any]:
    """Return the fields of a message by name, as values of `ps_server.protocol.calls`."""
    return {
        field.name: _plain_value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
    }


def value_of(message: Message) -> Any:
    """Return the value of `ps_server.protocol.calls` for which a message stands."""
    return KINDS[message.DESCRIPTOR.name](**fields_of(message))


def status_of(refusal: Refusal) -> tuple[grpc.StatusCode, str, Metadata]:
    """Return the code, the details and the trailing metadata of a refusal."""
    code = _CODES[type(refusal)]
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return code, "", ()
    fields = message_of(pb.RefusalFields, refusal).SerializeToString()
    metadata: Metadata = ((REFUSAL_KEY, type(refusal).__name__), (FIELDS_KEY, fields))
    return code, str(refusal)[:_MOST_TEXT], metadata


def _field_value(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values_by_name[value.upper()].number
    if field.message_type is None:
        return value
    kind = GetMessageClass(field.message_type)
    if field.is_repeated:
        return [message_of(kind, each) for each in value]
    return message_of(kind, value)


def _plain_value(field: Any, value: Any) -> Any:
    if field.is_repeated:
        return tuple(value_of(each) if field.message_type else each for each in value)
    if field.message_type is not None:
        return value_of(value)
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
