"""The parameter server over Thrift: one thread for each connection, which also waits for ranks.

Thrift's own processor is not used: a vector has to be received into its place in memory, which the
fields before it name.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TException, TMessageType

from ps_server.logs import logger
from ps_server.over_thrift import messages
from ps_server.over_thrift.messages import BoundedProtocol
from ps_server.over_thrift.transfers import Transfers
from ps_server.over_thrift.transport import SocketTransport, set_buffers
from ps_server.protocol.addresses import server_context
from ps_server.protocol.refusals import AccessDenied, Refusal
from ps_server.state.endpoint import Endpoint

FRAME_BYTES = 2**24  # of a piece; each that a vector is cut into costs both sides a wake-up
_MOST_STRANGERS = 128  # connections without the token yet
_LEAVING_S = 0.5
_LISTEN_BACKLOG = 512
_POLL_S = 0.02
_PAUSE_S = 1.0  # after a failed accept, with a line in the log: a flood must not fill the disk
_CALLS = {method: call for call, method in messages.METHOD_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Limits:
    """The longest waits of a server for a client."""

    authentication_s: float = 5.0  # until it has shown the token, with the handshake of TLS
    stalled_s: float = 60.0  # without progress, and between two pieces of a message
    slowest: float = 2**16  # bytes a second, of a piece
    idle_s: float = 900.0  # between messages; a warm function is used again within minutes


@dataclass(eq=False)
class ThriftServer(Endpoint):
    """Answers Thrift clients."""

    frame_bytes: int = field(default=FRAME_BYTES, kw_only=True)
    limits: Limits = field(default=Limits(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ssl_context: ssl.SSLContext | None = None
        if self.certificate is not None and self.key is not None:
            self.ssl_context = server_context(self.certificate, self.key, self.client_ca)
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        self._listener = socket.create_server(self.address, family=family, backlog=_LISTEN_BACKLOG)
        self.port = self._listener.getsockname()[1]
        self._sessions: dict[Session, None] = {}  # the oldest first
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, name="thrift-accept", daemon=True)

    @property
    def connections(self) -> int:
        return len(self._sessions)

    def start(self) -> None:
        self._acceptor.start()

    def stop(self, grace_s: float = 5.0) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends the wait in accept
        self._listener.close()
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and any(each.is_busy for each in self._all_sessions()):
            time.sleep(_POLL_S)
        for session in self._all_sessions():
            session.shut_down()
        for session in self._all_sessions():
            session.thread.join(max(_POLL_S, deadline - time.monotonic()))

    def trust(self, session: Session) -> bool:
        """Count a client that has shown the token; return whether there is room for it."""
        with self._lock:
            n_trusted = sum(each.is_trusted for each in self._sessions)
            session.is_trusted = n_trusted < self.max_connections
            return session.is_trusted

    def forget(self, session: Session) -> None:
        """Remove a connection that has ended."""
        with self._lock:
            self._sessions.pop(session, None)

    def _all_sessions(self) -> list[Session]:
        with self._lock:
            return [*self._sessions]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self.stopping.is_set():
                    return
                logger.warning("cannot accept", extra={"fields": {"reason": str(error)}})
                time.sleep(_PAUSE_S)  # such as too many open files
                continue
            self._admit(Session(self, connection), connection)

    def _admit(self, session: Session, connection: socket.socket) -> None:
        with self._lock:
            if self.stopping.is_set():
                connection.close()
                return
            strangers = [each for each in self._sessions if not each.is_trusted]
            self._sessions[session] = None
        if len(strangers) >= _MOST_STRANGERS:
            strangers[0].shut_down()  # the oldest, so that strangers keep nobody out
            strangers[0].thread.join(_LEAVING_S)  # there are no more than that at once
        try:
            session.thread.start()
        except RuntimeError:  # no more threads
            self.forget(session)
            connection.close()


class Session:
    """One connection, in a thread of its own."""

    def __init__(self, server: ThriftServer, connection: socket.socket) -> None:
        self.thread = threading.Thread(target=self._run, name="thrift", daemon=True)
        self.is_busy = False  # with a call, or a message whose next pieces are due
        self.is_trusted = False  # it has shown the token
        self._server = server
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
            logger.debug("connection ended", extra={"fields": {"reason": str(error)[:200]}})
        except Exception:
            logger.exception("a connection failed")
        finally:
            self._transfers.close()
            self._socket.close()
            self._server.forget(self)

    def _serve(self) -> None:
        limits = self._server.limits
        protocol = self._begun(limits.authentication_s)
        transport = protocol.transport
        if not self._answered(protocol) or not self._server.trust(self):
            return
        set_buffers(self._socket)
        while True:
            if not transport.n_buffered:
                self.is_busy = self._transfers.hold_memory
                if self._server.stopping.is_set() and not self.is_busy:
                    return
                transport.set_timeout(limits.stalled_s if self.is_busy else limits.idle_s)
                if not transport.wait_for_input():
                    return
                self.is_busy = True
            self._allow(transport)
            if not self._answered(protocol):
                return

    def _begun(self, timeout_s: float) -> BoundedProtocol:
        deadline = time.monotonic() + timeout_s
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._server.ssl_context is not None:
            self._socket.settimeout(timeout_s)
            self._socket = self._server.ssl_context.wrap_socket(self._socket, server_side=True)
        transport = SocketTransport(self._socket)
        transport.set_timeout(timeout_s, deadline)
        return BoundedProtocol(transport)

    def _answered(self, protocol: BoundedProtocol) -> bool:
        """Read one call and answer it; return whether the client may make more."""
        transport, is_denied = protocol.transport, False
        name, number = self._read_name(protocol)
        try:
            if not self.is_trusted and name != "authenticate":
                raise AccessDenied("show the token first")
            if name == "push":
                push = self._transfers.read_push(transport)
                if push.piece_bytes > transport.n_buffered:
                    self._allow(transport, push.piece_bytes)
                self._transfers.answer_push(number, push, transport)
                if transport.n_buffered > 0:
                    return True  # the answer leaves with that to the next call, on its way
            elif name == "pull":
                self._transfers.answer_pull(number, transport)
            else:
                protocol.send(name, number, self._result(name, protocol), TMessageType.REPLY)
        except Refusal as refusal:
            is_denied = isinstance(refusal, AccessDenied)
            self._server.refusals[type(refusal).__name__] += 1
            protocol.send(name, number, messages.refused(name, refusal), TMessageType.REPLY)
        if self.is_trusted:
            self._allow(transport, self._server.frame_bytes)
        transport.flush()
        self._transfers.flushed()
        return not is_denied

    def _read_name(self, protocol: BoundedProtocol) -> tuple[str, int]:
        name, kind, number = protocol.readMessageBegin()
        if kind != TMessageType.CALL or name not in messages.ARGUMENTS:
            raise TProtocolException(TProtocolException.INVALID_DATA, "not one of the calls")
        return name, number

    def _result(self, name: str, protocol: BoundedProtocol) -> Any:
        """Read the arguments of a call without a vector, and make it."""
        call, server = messages.ARGUMENTS[name](), self._server
        call.read(protocol)
        if name == "authenticate" and not server.is_token((call.token or "").encode()):
            raise AccessDenied("the token is wrong")
        arguments = messages.arguments_of(call)
        answer = server.answer(_CALLS.get(name, name), arguments)
        answers = {} if answer is None else {"success": messages.struct_of(answer)}
        return messages.RESULTS[name](**answers)

    def _allow(self, transport: SocketTransport, size: int = 0) -> None:
        """Give the client time for a message with a piece of ``size`` bytes."""
        limits = self._server.limits
        deadline = time.monotonic() + limits.stalled_s + size / limits.slowest
        transport.set_timeout(limits.stalled_s, deadline)
