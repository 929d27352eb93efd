"""The parameter server over Thrift: one thread for each connection, which waits there for others.

Not Thrift's own server and processor: a vector has to be received where it is to lie, and that is
known only once the fields before it have been read. The structs are those of the compiler.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TApplicationException, TException, TMessageType, TType

from ps_server.over_thrift.messages import (
    ARGUMENTS,
    FRAME_BYTES,
    METHODS,
    RESULTS,
    answer_struct,
    refused,
    settings_of,
    step_of,
)
from ps_server.over_thrift.packing import (
    PULLED_TAIL,
    PUSH_TAIL,
    PullCall,
    PushCall,
    pack_pulled,
    pack_pushed,
    unpack_call,
)
from ps_server.over_thrift.transport import BoundedProtocol, SocketTransport, set_buffers
from ps_server.protocol.calls import MOST_WAIT_S, Pushed, Welcome
from ps_server.protocol.refusals import AccessDenied, InvalidRequest, Refusal
from ps_server.state.parameters import Incoming, Outgoing, Parameters
from stepml.job.step import Step

AUTHENTICATION_S = 5.0  # until the token is there, with the handshake of TLS
STALLED_S = 60.0  # without progress, and between two pieces: memory is held for the others
SLOWEST = 2**16  # bytes in a second, of a piece
IDLE_S = 900.0  # between messages: a warm function comes back within minutes, or never
_MOST_STRANGERS = 128  # connections without the token yet
_LEAVING_S = 0.5
_LISTEN_BACKLOG = 512
_POLL_S = 0.02

_logger = logging.getLogger("stepml.ps_server")


class ThriftServer:
    """Answers Thrift clients from ``parameters``.

    Parameters
    ----------
    parameters : Parameters
    address : tuple of str and int
        Host and port; port 0 takes a free one.
    token : str
        What clients have to show.
    ssl_context : ssl.SSLContext, optional
        Without, nothing is encrypted.
    frame_bytes : int
        The largest piece of a message.
    max_connections : int
        More are closed at once.
    """

    def __init__(
        self,
        parameters: Parameters,
        address: tuple[str, int],
        token: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        frame_bytes: int = FRAME_BYTES,
        max_connections: int = 1024,
    ) -> None:
        self.parameters = parameters
        self.frame_bytes = frame_bytes
        self.ssl_context = ssl_context
        if not token:
            raise ValueError("token: expected what clients have to show, got none")
        self._token = token.encode()
        self._max_connections = max_connections
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=_LISTEN_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self.refusals: Counter[str] = Counter()  # by kind
        self._sessions: dict[_Session, None] = {}  # the oldest first
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, name="thrift-accept", daemon=True)

    @property
    def connections(self) -> int:
        """Clients that are connected."""
        return len(self._sessions)

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def welcome(self) -> Welcome:
        """What is told to whoever has shown the token."""
        return Welcome(self.parameters.incarnation, self.frame_bytes)

    def is_token(self, token: str) -> bool:
        """Return whether ``token`` is the deployment's, in the same time for all wrong ones."""
        return hmac.compare_digest(token.encode(), self._token)

    def start(self) -> None:
        """Begin to accept connections."""
        self._acceptor.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """Accept no more, let calls that are under way end, then close all connections."""
        self._stopping.set()
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

    def trust(self, session: _Session) -> bool:
        """Take note that a client has shown the token; return whether there is room for it."""
        with self._lock:
            n_trusted = sum(each.is_trusted for each in self._sessions)
            session.is_trusted = n_trusted < self._max_connections
            return session.is_trusted

    def forget(self, session: _Session) -> None:
        """Take note that a connection has ended."""
        with self._lock:
            self._sessions.pop(session, None)

    def _all_sessions(self) -> list[_Session]:
        with self._lock:
            return [*self._sessions]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self.is_stopping:
                    return
                _logger.warning("cannot accept", extra={"fields": {"reason": str(error)}})
                time.sleep(_POLL_S)  # such as too many open files
                continue
            session = _Session(self, connection)
            with self._lock:
                if self.is_stopping:
                    connection.close()
                    continue
                strangers = [each for each in self._sessions if not each.is_trusted]
                self._sessions[session] = None
            if len(strangers) >= _MOST_STRANGERS:
                strangers[0].shut_down()  # the oldest, so that nobody keeps the others out
                strangers[0].thread.join(_LEAVING_S)  # there are no more than that at once
            try:
                session.thread.start()
            except RuntimeError:  # no more threads
                self.forget(session)
                connection.close()


@dataclass(slots=True)
class _Upload:
    """A message that arrives in pieces."""

    key: tuple[Any, ...]  # of which it is: job, step, rank
    size: int
    received: int = 0
    incoming: Incoming | None = None  # None: it is not needed, or was refused
    refusal: Refusal | None = None

    def close(self) -> None:
        if self.incoming is not None:
            self.incoming.close()


@dataclass(slots=True)
class _Download:
    """A message that leaves in pieces."""

    key: tuple[Any, ...]
    size: int
    outgoing: Outgoing
    is_sent: bool = False

    def close(self) -> None:
        self.is_sent = True
        self.outgoing.close()


class _Session:
    """One connection."""

    def __init__(self, server: ThriftServer, connection: socket.socket) -> None:
        self.thread = threading.Thread(target=self._run, name="thrift", daemon=True)
        self.is_busy = False  # with a call, or a message of which there is more to come
        self.is_trusted = False  # it has shown the token
        self._server = server
        self._parameters = server.parameters
        self._socket = connection
        self._upload: _Upload | None = None
        self._download: _Download | None = None
        self._refused_push: tuple[Any, ...] | None = None  # its job, step and rank
        self._answers: dict[str, Callable[[Any], object]] = {
            "authenticate": self._authenticate,
            "ping": lambda call: self._server.welcome,
            "register_job": lambda call: self._parameters.register(
                _text("job", call.job), settings_of(call.settings)
            ),
            "exists": lambda call: self._parameters.exists(
                _text("job", call.job), step_of(call.step)
            ),
            "push": self._push,
            "pull": self._pull,
            "forget": lambda call: self._parameters.forget(
                _text("job", call.job), step_of(call.through)
            ),
            "reset": lambda call: self._parameters.reset(
                _text("job", call.job), _number("epoch", call.epoch)
            ),
            "delete_jobs": lambda call: self._parameters.delete(_text("prefix", call.prefix)),
            "statistics": lambda call: self._parameters.statistics(self._server.connections),
        }

    def shut_down(self) -> None:
        """End the connection; whoever waits for it in this moment is woken."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        try:
            self._serve()
        except (OSError, EOFError, TException) as error:
            # Whoever comes from outside may send anything, and may go away at any time.
            _logger.debug("connection ended", extra={"fields": {"reason": str(error)[:200]}})
        except Exception:
            _logger.exception("a connection failed")
        finally:
            for half in (self._upload, self._download):
                if half is not None:
                    half.close()
            self._socket.close()
            self._server.forget(self)

    def _serve(self) -> None:
        deadline = time.monotonic() + AUTHENTICATION_S
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._server.ssl_context is not None:
            self._socket.settimeout(AUTHENTICATION_S)
            self._socket = self._server.ssl_context.wrap_socket(self._socket, server_side=True)
        transport = SocketTransport(self._socket)
        transport.set_timeout(AUTHENTICATION_S, deadline)
        protocol = BoundedProtocol(transport)
        if not self._answer_first(protocol) or not self._server.trust(self):
            return
        set_buffers(self._socket)
        while True:
            self.is_busy = self._holds_memory or transport.has_buffered()
            if self._server.is_stopping and not self.is_busy:
                return
            transport.set_timeout(STALLED_S if self._holds_memory else IDLE_S)
            if not transport.wait_for_input():
                return
            self.is_busy = True
            self._answer(protocol)

    @property
    def _holds_memory(self) -> bool:
        upload, download = self._upload, self._download
        uploads = upload is not None and upload.incoming is not None
        return uploads or (download is not None and not download.is_sent)

    def _answer_first(self, protocol: BoundedProtocol) -> bool:
        """Answer the first call; return whether it showed the token."""
        name, kind, number = protocol.readMessageBegin()
        if kind != TMessageType.CALL or name not in METHODS:
            return False
        if name == "authenticate":
            call = ARGUMENTS[name]()
            call.read(protocol)
            try:
                welcome = self._authenticate(call)
            except AccessDenied as refusal:
                _reply(protocol, name, number, self._refused(name, refusal))
                return False
            _reply(protocol, name, number, RESULTS[name](success=answer_struct(welcome)))
            return True
        # What comes with it is not looked at.
        denied = AccessDenied("show the token first")
        _reply(protocol, name, number, self._refused(name, denied))
        return False

    def _answer(self, protocol: BoundedProtocol) -> None:
        """Read one call and answer it."""
        transport = protocol.transport
        _allow(transport, 0)
        packed = unpack_call(transport.buffered())
        if packed is not None:
            self._answer_packed(protocol, *packed)
            return
        name, kind, number = protocol.readMessageBegin()
        if kind != TMessageType.CALL or name not in METHODS:
            raise TProtocolException(TProtocolException.INVALID_DATA, "not one of the calls")
        call = ARGUMENTS[name]()
        if name == "push":
            protocol.receive_binary = lambda size: self._receive_piece(call, size, transport)
        call.read(protocol)
        try:
            answer = answer_struct(self._answers[name](call))
        except Refusal as refusal:
            result = self._refused(name, refusal)
        else:
            result = RESULTS[name]() if answer is None else RESULTS[name](success=answer)
        _allow(transport, self._server.frame_bytes)
        _reply(protocol, name, number, result)
        if isinstance(getattr(result, "success", None), _Piece):
            self._end_download(call)

    def _answer_packed(
        self, protocol: BoundedProtocol, call: PushCall | PullCall, size: int
    ) -> None:
        """Answer a call that lies in the buffer, or a push whose piece follows there."""
        transport = protocol.transport
        transport.consume(size)
        name = "push" if isinstance(call, PushCall) else "pull"
        try:
            if isinstance(call, PushCall):
                self._receive_piece(call, call.piece_bytes, transport)
                if transport.readAll(len(PUSH_TAIL)) != PUSH_TAIL:
                    raise TProtocolException(TProtocolException.INVALID_DATA, "more fields")
                transport.write(pack_pushed(call.number, self._push(call)))
            else:
                answer = self._pull(call)
                transport.write(pack_pulled(call.number, answer.size, len(answer.piece)))
                transport.write(answer.piece)
                transport.write(PULLED_TAIL)
        except Refusal as refusal:
            _allow(transport, 0)
            _reply(protocol, name, call.number, self._refused(name, refusal))
            return
        if isinstance(call, PushCall) and transport.has_buffered():
            return  # the answer leaves with that to the next call, which is on its way
        _allow(transport, self._server.frame_bytes)
        transport.flush()
        if isinstance(call, PullCall):
            self._end_download(call)

    def _refused(self, name: str, refusal: Refusal) -> Any:
        self._server.refusals[type(refusal).__name__] += 1
        return refused(name, refusal)

    def _authenticate(self, call: Any) -> Welcome:
        if not self._server.is_token(call.token or ""):
            raise AccessDenied("the token is wrong")
        return self._server.welcome

    def _receive_piece(self, call: Any, size: int, transport: SocketTransport) -> int:
        """Receive a piece where it is to lie; what is not needed is dropped."""
        if not 0 <= size <= self._server.frame_bytes:
            raise TProtocolException(TProtocolException.SIZE_LIMIT, f"a piece of {size} bytes")
        upload = self._upload_of(call, size)
        _allow(transport, size)
        if upload.incoming is None:
            transport.drop(size)
        else:
            start, stop = upload.received, upload.received + size
            transport.read_into(upload.incoming.memory[start:stop])
            upload.incoming.arrived(start, stop)
        upload.received += size
        return size

    def _upload_of(self, call: Any, size: int) -> _Upload:
        """Return what a piece belongs to; the first piece begins it."""
        try:
            key = (_text("job", call.job), step_of(call.step), _number("rank", call.rank))
            total, offset = _number("size", call.size), _number("offset", call.offset)
            upload = self._upload
            if offset == 0:
                if upload is not None:
                    upload.close()
                upload = self._upload = self._begun(key, total, call)
            if upload is None or upload.key != key or offset != upload.received:
                at = 0 if upload is None or upload.key != key else upload.received
                raise InvalidRequest(f"offset: expected {at}, got {offset}")
            if total != upload.size or offset + size > total:
                raise InvalidRequest(
                    f"size: expected {upload.size}, in pieces that end there, got {total} and a "
                    f"piece of {size} bytes at {offset}"
                )
        except Refusal as refusal:
            if self._upload is not None:
                self._upload.close()
            self._upload = upload = _Upload((), size, refusal=refusal)
        return upload

    def _begun(self, key: tuple[str, Step, int], total: int, call: Any) -> _Upload:
        job, step, rank = key
        self._refused_push = None
        try:
            incoming = self._parameters.receive(job, step, rank, total, call.attempt or "")
        except Refusal as refusal:
            self._refused_push = key
            return _Upload(key, total, refusal=refusal)
        return _Upload(key, total, incoming=incoming)

    def _push(self, call: Any) -> Pushed:
        upload = self._upload
        if upload is None or (not isinstance(call, PushCall) and call.piece is None):
            raise InvalidRequest("piece: expected bytes, got none")
        if upload.refusal is not None:
            raise upload.refusal
        if upload.received < upload.size:
            return Pushed(is_repeated=False)  # of a piece
        self._upload = None
        if upload.incoming is None:
            return self._parameters.push_repeated(*upload.key)
        try:
            return self._parameters.push(upload.incoming, call.based_on or 0)
        except Refusal:
            self._refused_push = upload.key
            raise

    def _pull(self, call: Any) -> Any:
        key = (_text("job", call.job), step_of(call.step), _number("rank", call.rank))
        offset, limit = _number("offset", call.offset), _number("limit", call.limit)
        if offset < 0 or limit < 1:
            raise InvalidRequest(f"offset, limit: expected 0, 1 or more, got {offset}, {limit}")
        if offset == 0:
            self._drop_download()
            wait_s = min(MOST_WAIT_S, max(0, _number("wait_ms", call.wait_ms)) / 1000)
            if key == self._refused_push:  # and this was sent with it: who waits learns that late
                self._refused_push, wait_s = None, 0.0
            job, step, rank = key
            outgoing = self._parameters.pull(job, step, rank, wait_s, call.attempt or "")
            self._download = _Download(key, len(outgoing.data), outgoing)
        download = self._download
        if download is None or download.key != key:
            raise InvalidRequest(f"offset: expected 0, got {offset}")
        limit = min(limit, self._server.frame_bytes)
        piece = download.outgoing.data[offset : offset + limit]
        return _Piece(download.size, piece)

    def _end_download(self, call: Any) -> None:
        download = self._download
        assert download is not None
        if call.offset + min(call.limit, self._server.frame_bytes) >= download.size:
            download.close()  # the record stays, for whoever asks beyond the end

    def _drop_download(self) -> None:
        if self._download is not None:
            self._download.close()
            self._download = None


class _Piece:
    """A `Pulled` that is sent from where it lies."""

    def __init__(self, size: int, piece: memoryview) -> None:
        self.size, self.piece = size, piece

    def write(self, protocol: BoundedProtocol) -> None:
        protocol.writeFieldBegin("size", TType.I64, 1)
        protocol.writeI64(self.size)
        protocol.writeFieldBegin("piece", TType.STRING, 2)
        protocol.writeBinary(self.piece)
        protocol.writeFieldStop()


def _reply(protocol: BoundedProtocol, name: str, number: int, result: Any) -> None:
    failed = isinstance(result, TApplicationException)
    kind = TMessageType.EXCEPTION if failed else TMessageType.REPLY
    protocol.writeMessageBegin(name, kind, number)
    result.write(protocol)
    protocol.writeMessageEnd()
    protocol.transport.flush()


def _allow(transport: SocketTransport, size: int) -> None:
    """Give the other end time for a message with a piece of ``size`` bytes."""
    transport.set_timeout(STALLED_S, time.monotonic() + STALLED_S + size / SLOWEST)


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{field}: expected a string, got none")
    return value


def _number(field: str, value: Any) -> int:
    if not isinstance(value, int):
        raise InvalidRequest(f"{field}: expected a number, got none")
    return value
