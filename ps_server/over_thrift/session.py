"""One connection of a client over Thrift, in a thread of its own that also waits for other ranks.

Thrift's own processor is not used: a vector has to be received into its place in memory, which the
fields before it name.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TException, TMessageType, TType

from ps_server.over_thrift.messages import (
    ARGUMENTS,
    METHODS,
    RESULTS,
    refused,
    settings_of,
    step_of,
    struct_of,
)
from ps_server.over_thrift.packing import (
    PULLED_TAIL,
    PUSH_TAIL,
    PullCall,
    PushCall,
    pack_pulled,
    pack_pushed,
    read_pull,
    read_push,
    require_end,
)
from ps_server.over_thrift.protocol import BoundedProtocol
from ps_server.over_thrift.transfers import Transfers
from ps_server.over_thrift.transport import SocketTransport, set_buffers
from ps_server.protocol.calls import Welcome
from ps_server.protocol.refusals import AccessDenied, InvalidRequest, Refusal
from ps_server.state.parameters import Parameters

_logger = logging.getLogger("stepml.ps_server")

_WRONG_TOKEN = "the token is wrong"  # noqa: S105 — a message


@dataclass(frozen=True, slots=True)
class Limits:
    """The longest waits of a server for a client."""

    authentication_s: float = 5.0  # until it has shown the token, with the handshake of TLS
    stalled_s: float = 60.0  # without progress, and between two pieces of a message
    slowest: float = 2**16  # bytes a second, of a piece
    idle_s: float = 900.0  # between messages; a warm function is used again within minutes


class Owner(Protocol):
    """The server of a session."""

    parameters: Parameters
    frame_bytes: int
    limits: Limits
    ssl_context: ssl.SSLContext | None

    @property
    def is_stopping(self) -> bool: ...
    @property
    def connections(self) -> int: ...
    def is_token(self, token: str) -> bool: ...
    def trust(self, session: Session) -> bool: ...
    def forget(self, session: Session) -> None: ...
    def count(self, refusal: Refusal) -> None: ...


class Session:
    """One connection."""

    def __init__(self, server: Owner, connection: socket.socket) -> None:
        self.thread = threading.Thread(target=self._run, name="thrift", daemon=True)
        self.is_busy = False  # with a call, or a message whose next pieces are due
        self.is_trusted = False  # it has shown the token
        self._server = server
        self._parameters = server.parameters
        self._socket = connection
        self._transfers = Transfers(server.parameters, server.frame_bytes)

    def shut_down(self) -> None:
        """End the connection and every wait for it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        try:
            self._serve()
        except (OSError, EOFError, TException) as error:
            # A client from outside may send anything, and may go away at any time.
            _logger.debug("connection ended", extra={"fields": {"reason": str(error)[:200]}})
        except Exception:
            _logger.exception("a connection failed")
        finally:
            self._transfers.close()
            self._socket.close()
            self._server.forget(self)

    def _serve(self) -> None:
        limits = self._server.limits
        protocol = self._begun(limits.authentication_s)
        transport = protocol.transport
        if not self._answer_first(protocol) or not self._server.trust(self):
            return
        set_buffers(self._socket)
        while True:
            holds_memory = self._transfers.hold_memory
            self.is_busy = holds_memory or transport.n_buffered > 0
            if self._server.is_stopping and not self.is_busy:
                return
            transport.set_timeout(limits.stalled_s if holds_memory else limits.idle_s)
            if not transport.wait_for_input():
                return
            self.is_busy = True
            self._answer(protocol)

    def _begun(self, timeout_s: float) -> BoundedProtocol:
        deadline = time.monotonic() + timeout_s
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._server.ssl_context is not None:
            self._socket.settimeout(timeout_s)
            self._socket = self._server.ssl_context.wrap_socket(self._socket, server_side=True)
        transport = SocketTransport(self._socket)
        transport.set_timeout(timeout_s, deadline)
        return BoundedProtocol(transport)

    def _answer_first(self, protocol: BoundedProtocol) -> bool:
        """Answer the first call; return whether it showed the token."""
        name, kind, number = protocol.readMessageBegin()
        if kind != TMessageType.CALL or name not in METHODS:
            return False
        call = ARGUMENTS[name]()
        if name == "authenticate":  # the arguments of others are not read
            call.read(protocol)
        is_trusted = name == "authenticate" and self._server.is_token(call.token or "")
        denied = AccessDenied(_WRONG_TOKEN if name == "authenticate" else "show the token first")
        result = RESULTS["authenticate"](success=struct_of(self._welcome()))
        if not is_trusted:
            result = self._refused(name, denied)
        protocol.send(name, number, result, TMessageType.REPLY)
        protocol.transport.flush()
        return is_trusted

    def _answer(self, protocol: BoundedProtocol) -> None:
        """Read one call and answer it."""
        transport = protocol.transport
        self._allow(transport, 0)
        name, kind, number = protocol.readMessageBegin()
        if kind != TMessageType.CALL or name not in METHODS:
            raise TProtocolException(TProtocolException.INVALID_DATA, "not one of the calls")
        try:
            if name == "push":
                self._answer_push(number, read_push(transport), transport)
                if transport.n_buffered > 0:
                    return  # the answer leaves with that to the next call, which is on its way
            elif name == "pull":
                self._answer_pull(number, read_pull(transport), transport)
                return
            else:
                call = ARGUMENTS[name]()
                call.read(protocol)
                result = self._result_of(name, call)
                protocol.send(name, number, result, TMessageType.REPLY)
        except Refusal as refusal:
            protocol.send(name, number, self._refused(name, refusal), TMessageType.REPLY)
        self._allow(transport, self._server.frame_bytes)
        transport.flush()

    def _result_of(self, name: str, call: Any) -> Any:
        for argument in ARGUMENTS[name].thrift_spec:
            is_number_or_text = argument and argument[1] != TType.STRUCT
            if is_number_or_text and getattr(call, argument[2]) is None:
                raise InvalidRequest(f"{argument[2]}: expected a value, got none")
        answer = struct_of(_CALLS[name](self, call))
        return RESULTS[name]() if answer is None else RESULTS[name](success=answer)

    def _refused(self, name: str, refusal: Refusal) -> Any:
        self._server.count(refusal)
        return refused(name, refusal)

    def _welcome(self) -> Welcome:
        return Welcome(self._parameters.incarnation, self._server.frame_bytes)

    def _authenticate(self, token: str) -> Welcome:
        if not self._server.is_token(token):
            raise AccessDenied(_WRONG_TOKEN)
        return self._welcome()

    def _answer_push(self, number: int, call: PushCall, transport: SocketTransport) -> None:
        if not 0 <= call.piece_bytes <= self._server.frame_bytes:
            text = f"a piece of {call.piece_bytes} bytes"
            raise TProtocolException(TProtocolException.SIZE_LIMIT, text)
        self._allow(transport, call.piece_bytes)
        self._transfers.receive(call, transport)
        require_end(transport.readAll(1), PUSH_TAIL)
        transport.write(pack_pushed(number, self._transfers.push(call.target.based_on)))

    def _answer_pull(self, number: int, call: PullCall, transport: SocketTransport) -> None:
        size, piece = self._transfers.pull(call)
        for part in (pack_pulled(number, size, len(piece)), piece, PULLED_TAIL):
            transport.write(part)
        self._allow(transport, len(piece))
        transport.flush()
        if call.offset + len(piece) >= size:
            self._transfers.end_pull()

    def _allow(self, transport: SocketTransport, size: int) -> None:
        """Give the client time for a message with a piece of ``size`` bytes."""
        limits = self._server.limits
        deadline = time.monotonic() + limits.stalled_s + size / limits.slowest
        transport.set_timeout(limits.stalled_s, deadline)


_CALLS: dict[str, Callable[[Any, Any], object]] = {
    "authenticate": lambda session, call: session._authenticate(call.token),
    "ping": lambda session, call: session._welcome(),
    "register_job": lambda session, call: session._parameters.register(
        call.job, settings_of(call.settings)
    ),
    "exists": lambda session, call: session._parameters.exists(call.job, step_of(call.step)),
    "forget": lambda session, call: session._parameters.forget(call.job, step_of(call.through)),
    "reset": lambda session, call: session._parameters.reset(call.job, call.epoch),
    "delete_jobs": lambda session, call: session._parameters.delete(call.prefix),
    "statistics": lambda session, call: session._parameters.statistics(session._server.connections),
}
