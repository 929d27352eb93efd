"""The calls and refusals as structs of Thrift's compiler, and the protocol that reads them."""

from __future__ import annotations

import struct
from dataclasses import fields
from typing import Any

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TApplicationException, TMessageType, TType

from ps_server.generated.thrift_api import ParameterServer, ttypes
from ps_server.over_thrift.transport import SocketTransport
from ps_server.protocol import refusals
from ps_server.protocol.calls import KINDS, JobSettings
from ps_server.protocol.refusals import InvalidRequest, Refusal

# The calls of the interface that have another name than those of `ParameterClient`.
METHOD_NAMES = {"register": "register_job", "delete": "delete_jobs"}
_METHODS = [name for name in vars(ParameterServer.Iface) if not name.startswith("_")]
ARGUMENTS: dict[str, Any] = {name: getattr(ParameterServer, f"{name}_args") for name in _METHODS}
RESULTS: dict[str, Any] = {name: getattr(ParameterServer, f"{name}_result") for name in _METHODS}
_ENUMERATIONS = {"rule": ttypes.Rule, "compression": ttypes.Compression}
_MOST_ITEMS = 2**16  # of a list
_I32, _BEGIN = struct.Struct("!i"), struct.Struct("!ii")
_SKIPPED = frozenset(
    (TType.BOOL, TType.BYTE, TType.I16, TType.I32, TType.I64, TType.DOUBLE, TType.STRING)
)


def _refusal_fields(result: Any) -> dict[str, str]:
    """Return the field of a result for each kind of refusal."""
    return {
        field[3][0].__name__: field[2] for field in result.thrift_spec if field and field[0] != 0
    }


_REFUSAL_FIELDS = {name: _refusal_fields(result) for name, result in RESULTS.items()}


def struct_of(value: Any) -> Any:
    """Return a value of `ps_server.protocol.calls` as the struct of the same name."""
    if isinstance(value, tuple):
        return [struct_of(each) for each in value]
    if type(value).__name__ not in KINDS:
        return value
    found = {field.name: struct_of(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, JobSettings):
        for name, enumeration in _ENUMERATIONS.items():
            found[name] = enumeration._NAMES_TO_VALUES[found[name].upper()]
    return getattr(ttypes, type(value).__name__)(**found)


def value_of(struct: Any) -> Any:
    """Return the value of `ps_server.protocol.calls` in a struct.

    Raises
    ------
    TProtocolException
        A field is missing.
    """
    if isinstance(struct, list):
        return tuple(value_of(each) for each in struct)
    kind = KINDS.get(type(struct).__name__)
    if kind is None:
        return struct
    struct.validate()
    found = {name: value_of(value) for name, value in vars(struct).items()}
    if kind is JobSettings:
        for name, enumeration in _ENUMERATIONS.items():
            found[name] = enumeration._VALUES_TO_NAMES.get(found[name], str(found[name])).lower()
    return kind(**found)


def arguments_of(call: Any) -> dict[str, Any]:
    """Return the values in a call by name; raise `InvalidRequest` for a missing one."""
    for name, value in vars(call).items():
        if value is None:
            raise InvalidRequest(f"{name}: expected a value, got none")
    try:
        return {name: value_of(value) for name, value in vars(call).items()}
    except TProtocolException as error:
        raise InvalidRequest(str(error)) from None


def refused(name: str, refusal: Refusal) -> Any:
    """Return the result of a refused call, or an error if the call's result has no such field."""
    kind = type(refusal).__name__
    field = _REFUSAL_FIELDS[name].get(kind)
    if field is None:
        return TApplicationException(TApplicationException.INTERNAL_ERROR, kind)
    others = {each: struct_of(getattr(refusal, each)) for each in refusal.fields}
    return RESULTS[name](**{field: getattr(ttypes, kind)(message=str(refusal), **others)})


def refusal_in(name: str, result: Any) -> Refusal | None:
    """Return the refusal in a result, if there is one."""
    for kind, field in _REFUSAL_FIELDS[name].items():
        struct = getattr(result, field)
        if struct is not None:
            made = getattr(refusals, kind)
            others = (getattr(struct, each) for each in made.fields)
            refusal: Refusal = made(struct.message, *others)
            return refusal
    return None


class BoundedProtocol(TBinaryProtocol):  # type: ignore[misc]  # Thrift has no types
    """Thrift's binary protocol with bounds: nothing is read before its length is checked.

    Binary fields are left to `ps_server.over_thrift.packing`. A message has at most ``most_fields``
    fields, known or not.
    """

    def __init__(self, transport: SocketTransport, most_fields: int = 64) -> None:
        super().__init__(transport, strictRead=True, strictWrite=True)
        self.transport = transport
        self._most_fields = most_fields
        self._fields = 0

    def send(self, name: str, number: int, struct: Any, kind: int = TMessageType.CALL) -> None:
        """Write a message; it leaves with the transport's `flush`."""
        failed = isinstance(struct, TApplicationException)
        self.writeMessageBegin(name, TMessageType.EXCEPTION if failed else kind, number)
        struct.write(self)

    def readMessageBegin(self) -> Any:  # noqa: N802 — Thrift's names
        self._fields = 0
        begin, size = self.transport.numbers(_BEGIN)
        if begin & self.VERSION_MASK != self.VERSION_1:
            raise TProtocolException(TProtocolException.BAD_VERSION, "not a message of Thrift")
        name = self.transport.text(size)
        return name, begin & self.TYPE_MASK, self.transport.numbers(_I32)[0]

    def readFieldBegin(self) -> Any:  # noqa: N802
        self._fields += 1
        if self._fields > self._most_fields:
            raise TProtocolException(TProtocolException.SIZE_LIMIT, "too many fields")
        kind = self.readByte()
        return None, kind, 0 if kind == TType.STOP else self.readI16()

    def readString(self) -> str:  # noqa: N802
        return self.transport.text(self.readI32())

    def readBinary(self) -> object:  # noqa: N802
        raise TProtocolException(TProtocolException.INVALID_DATA, "a vector where none belongs")

    def readListBegin(self) -> Any:  # noqa: N802
        kind, size = self.readByte(), self.readI32()
        if not 0 <= size <= _MOST_ITEMS:
            raise TProtocolException(TProtocolException.SIZE_LIMIT, f"a list of {size}")
        return kind, size

    def skip(self, ttype: int) -> None:
        """Read an unknown field, which may be a number or a short string."""
        if ttype not in _SKIPPED:
            text = f"an unknown field of type {ttype}"
            raise TProtocolException(TProtocolException.INVALID_DATA, text)
        super().skip(ttype)
