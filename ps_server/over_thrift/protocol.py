"""Thrift's binary protocol with bounds: nothing is read before its length is checked."""

from __future__ import annotations

import struct
from functools import partial
from typing import Any

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TApplicationException, TMessageType, TType

from ps_server.over_thrift.transport import SocketTransport

_MOST_ITEMS = 2**16  # of a list
_BYTE, _I16, _I32 = struct.Struct("!b"), struct.Struct("!h"), struct.Struct("!i")
_I64, _DOUBLE, _BEGIN = struct.Struct("!q"), struct.Struct("!d"), struct.Struct("!ii")


class BoundedProtocol(TBinaryProtocol):  # type: ignore[misc]  # Thrift has no types
    """The binary protocol without binary fields, which `ps_server.over_thrift.packing` handles.

    Parameters
    ----------
    transport : SocketTransport
    most_fields : int
        Of one message, known or not.
    """

    def __init__(self, transport: SocketTransport, most_fields: int = 64) -> None:
        super().__init__(transport, strictRead=True, strictWrite=True)
        self.transport = transport
        self._most_fields = most_fields
        self._fields = 0
        self.readByte = partial(self._number, _BYTE)
        self.readI16 = partial(self._number, _I16)
        self.readI32 = partial(self._number, _I32)
        self.readI64 = partial(self._number, _I64)
        self.readDouble = partial(self._number, _DOUBLE)

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
        readers = {
            TType.BOOL: self.readBool,
            TType.BYTE: self.readByte,
            TType.I16: self.readI16,
            TType.I32: self.readI32,
            TType.I64: self.readI64,
            TType.DOUBLE: self.readDouble,
            TType.STRING: self.readString,
        }
        if ttype not in readers:
            raise TProtocolException(
                TProtocolException.INVALID_DATA, f"an unknown field of type {ttype}"
            )
        readers[ttype]()

    def _number(self, kind: struct.Struct) -> Any:
        return self.transport.numbers(kind)[0]
