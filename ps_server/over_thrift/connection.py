"""A client's connection over Thrift, and the calls that wait for answers on it."""

from __future__ import annotations

import socket
from typing import Any

from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TApplicationException, TMessageType

from ps_server.over_thrift.messages import (
    ARGUMENTS,
    METHOD_NAMES,
    RESULTS,
    BoundedProtocol,
    refusal_in,
    struct_of,
    value_of,
)
from ps_server.over_thrift.packing import SUCCESS, read_pulled, read_pushed
from ps_server.over_thrift.transport import SocketTransport, set_buffers
from ps_server.protocol.addresses import Address, Credentials, client_context
from ps_server.protocol.calls import Pushed

_MOST_FIELDS = 2**20  # of an answer: the statistics of many jobs


class Connection:
    """A connected socket, and the calls on it; answers come in the order of the calls."""

    def __init__(self, address: Address, credentials: Credentials, timeout_s: float) -> None:
        connection = _connected(address, credentials, timeout_s)
        self.transport = SocketTransport(connection)
        self._protocol = BoundedProtocol(self.transport, _MOST_FIELDS)
        self._sent = self._answered = 0

    def next_number(self) -> int:
        """Return the number of one more call."""
        self._sent += 1
        return self._sent

    def flush(self, timeout_s: float) -> None:
        """Send all calls; each answer may take ``timeout_s``."""
        self.transport.set_timeout(timeout_s)
        self.transport.flush()

    def call(self, name: str, timeout_s: float, **arguments: Any) -> Any:
        """Make a call and return its answer, or raise its refusal."""
        name = METHOD_NAMES.get(name, name)
        structs = {each: struct_of(value) for each, value in arguments.items()}
        self._protocol.send(name, self.next_number(), ARGUMENTS[name](**structs))
        self.flush(timeout_s)
        self._begin_answer(name)
        return value_of(self._success(name))

    def pushed(self) -> Pushed:
        """Return the next answer, which is one to a push, or raise its refusal."""
        self._begin_packed("push")
        return read_pushed(self.transport)

    def pulled(self) -> tuple[int, int]:
        """Read the next answer, to a pull, up to its piece; or raise its refusal.

        Returns
        -------
        tuple of int
            The sizes of the message and of the piece, which `PULLED_TAIL` follows.
        """
        self._begin_packed("pull")
        return read_pulled(self.transport)

    def close(self) -> None:
        self.transport.close()

    def _begin_answer(self, name: str) -> None:
        self._answered += 1
        answered, kind, number = self._protocol.readMessageBegin()
        if kind == TMessageType.EXCEPTION:
            error = TApplicationException()
            error.read(self._protocol)
            raise ConnectionError(f"the server failed: {error.message}")
        if (answered, number) != (name, self._answered):
            raise not_ours("another call's answer")

    def _begin_packed(self, name: str) -> None:
        self._begin_answer(name)
        if self.transport.peek(1) == b"\0" or self.transport.peek(len(SUCCESS)) != SUCCESS:
            self._success(name)
            raise not_ours("neither an answer nor a refusal")

    def _success(self, name: str) -> Any:
        result = RESULTS[name]()
        result.read(self._protocol)
        refusal = refusal_in(name, result)
        if refusal is not None:
            raise refusal
        if hasattr(result, "success") and result.success is None:
            raise not_ours("neither an answer nor a refusal")
        return getattr(result, "success", None)


def not_ours(what: str) -> TProtocolException:
    """Return the error for an answer that the interface does not have."""
    return TProtocolException(TProtocolException.INVALID_DATA, what)


def _connected(address: Address, credentials: Credentials, timeout_s: float) -> socket.socket:
    plain = socket.create_connection((address.host, address.port), timeout_s)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    set_buffers(plain)
    if not address.is_encrypted:
        plain.settimeout(None)
        return plain
    try:
        return client_context(credentials).wrap_socket(plain, server_hostname=address.host)
    except BaseException:
        plain.close()
        raise
