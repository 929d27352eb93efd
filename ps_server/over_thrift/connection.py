"""The connection of a client to a parameter server over Thrift.

All pieces of a message leave before the answers to them are read, and in a step also the request
for the sum. Neither side can block the other: the server answers each piece with a few dozen bytes,
and at most `_ASKED_AT_ONCE` requests of half a KiB are on their way while it may be sending; both
fit into the buffers of the sockets.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, NoReturn

from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TApplicationException, TMessageType

from comm.wire import RunningChecksum
from ps_server.over_thrift import messages, packing
from ps_server.over_thrift.transport import SocketTransport, set_buffers
from ps_server.protocol.addresses import Address, Credentials, client_context
from ps_server.protocol.calls import Encoded, Pushed, Received, Target, Welcome
from ps_server.protocol.refusals import Refusal
from stepml.job.channels import PARAMETER_SERVER
from stepml.job.stopwatch import note_message, timed

_ASKED_AT_ONCE = 64  # pieces
_LEAST_FRAME_BYTES = 32  # a header
_MOST_FIELDS = 2**20  # of an answer: the statistics of many jobs
_MOST_WAIT_MS = 2**31 - 1


class Connection:
    """A connected socket, and the calls on it; answers come in the order of the calls."""

    welcome: Welcome  # after `authenticate`

    def __init__(self, address: Address, credentials: Credentials, timeout_s: float) -> None:
        self.transport = SocketTransport(_connected_socket(address, credentials, timeout_s))
        self._protocol = messages.BoundedProtocol(self.transport, _MOST_FIELDS)
        self._sent = self._answered = 0

    def authenticate(self, token: str, timeout_s: float) -> None:
        self.welcome = self.call("authenticate", timeout_s, token=token)
        if self.welcome.frame_bytes < _LEAST_FRAME_BYTES:
            raise _not_ours(f"pieces of {self.welcome.frame_bytes} bytes")

    def call(self, name: str, timeout_s: float, **arguments: Any) -> Any:
        """Make a call and return its answer, or raise its refusal."""
        note_message(PARAMETER_SERVER)
        name = messages.METHOD_NAMES.get(name, name)
        structs = {each: messages.struct_of(value) for each, value in arguments.items()}
        self._protocol.send(name, self._next_number(), messages.ARGUMENTS[name](**structs))
        self.flush(timeout_s)
        self._begin_answer(name)
        return messages.value_of(self._success(name))

    def write_push(self, target: Target, message: Encoded) -> int:
        """Write all pieces of a message; return how many answers will come."""
        note_message(PARAMETER_SERVER, sent=message.size)
        n_pieces = 0
        for offset, parts in message.pieces(self.welcome.frame_bytes):
            piece_bytes = min(message.size - offset, self.welcome.frame_bytes)
            call = packing.PushCall(target, message.size, offset, piece_bytes)
            head = packing.pack_push(self._next_number(), call)
            frame: list[bytes | memoryview] = [head, *parts, packing.PUSH_TAIL]
            for part in frame:
                self.transport.write(part)
            n_pieces += 1
        return n_pieces

    def write_pull(self, target: Target, wait_s: float = 0.0, offset: int = 0) -> None:
        wait_ms = round(min(1000 * wait_s, _MOST_WAIT_MS))
        call = packing.PullCall(target, wait_ms, offset, self.welcome.frame_bytes)
        self.transport.write(packing.pack_pull(self._next_number(), call))

    def flush(self, timeout_s: float) -> None:
        """Send all calls; each answer may take ``timeout_s``."""
        self.transport.set_timeout(timeout_s)
        self.transport.flush()

    def pushed(self, n_pieces: int) -> Pushed:
        """Read the answers to the pieces of a message; return the last, or raise a refusal."""
        refusal = None
        for _ in range(n_pieces):
            try:
                self._begin_packed("push")
                pushed = packing.read_pushed(self.transport)
            except Refusal as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal
        return pushed

    def pulled(self, target: Target, memory: Callable[[int], memoryview]) -> Received:
        """Read the first piece of a message into ``memory`` of its size; pull the other pieces."""
        note_message(PARAMETER_SERVER)
        with timed("wait"):  # a pull follows a push on its way, or waits itself
            size, piece_bytes = self._begin_pulled()
        data, checksum = memory(size), RunningChecksum()
        note_message(PARAMETER_SERVER, requests=0, received=size)
        self._read_piece(data, 0, piece_bytes, checksum)
        offsets = range(0, size, self.welcome.frame_bytes)[1:]
        for first in range(0, len(offsets), _ASKED_AT_ONCE):
            asked = offsets[first : first + _ASKED_AT_ONCE]
            for offset in asked:
                self.write_pull(target, offset=offset)
            self.transport.flush()
            for offset in asked:
                self._read_piece(data, offset, self._begin_pulled()[1], checksum)
        return Received(data, checksum.value())

    def _read_piece(
        self, data: memoryview, offset: int, piece_bytes: int, checksum: RunningChecksum
    ) -> None:
        piece = data[offset : offset + self.welcome.frame_bytes]
        if len(piece) != piece_bytes:
            raise _not_ours(f"a piece of {piece_bytes} bytes")
        self.transport.read_into(piece)
        checksum.add(piece)
        packing.require_end(self.transport.readAll(2), packing.PULLED_TAIL)

    def _begin_pulled(self) -> tuple[int, int]:
        """Read an answer up to its piece; return the sizes of the message and of the piece."""
        self._begin_packed("pull")
        return packing.read_pulled(self.transport)

    def _next_number(self) -> int:
        self._sent += 1
        return self._sent

    def _begin_answer(self, name: str) -> None:
        self._answered += 1
        answered, kind, number = self._protocol.readMessageBegin()
        if kind == TMessageType.EXCEPTION:
            error = TApplicationException()
            error.read(self._protocol)
            raise ConnectionError(f"the server failed: {error.message}")
        if (answered, number) != (name, self._answered):
            raise _not_ours("another call's answer")

    def _begin_packed(self, name: str) -> None:
        """Begin an answer that is packed, or raise the refusal, which is not."""
        self._begin_answer(name)
        if self.transport.peek(len(packing.SUCCESS)) != packing.SUCCESS:
            self._success(name)
            raise _not_ours("neither an answer nor a refusal")

    def _success(self, name: str) -> Any:
        result = messages.RESULTS[name]()
        result.read(self._protocol)
        refusal = messages.refusal_in(name, result)
        if refusal is not None:
            raise refusal
        if hasattr(result, "success") and result.success is None:
            raise _not_ours("neither an answer nor a refusal")
        return getattr(result, "success", None)


def _not_ours(what: str) -> TProtocolException:
    """Return the error for an answer that the interface does not have."""
    return TProtocolException(TProtocolException.INVALID_DATA, what)


def _connected_socket(
    address: Address, credentials: Credentials, timeout_s: float
) -> socket.socket:
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


def raise_clearly(error: BaseException, address: Address) -> NoReturn:
    """Raise ``error``, but `ConnectionError` for all errors of a broken connection."""
    if isinstance(error, ssl.SSLCertVerificationError | TimeoutError | ConnectionError):
        raise error
    if isinstance(error, EOFError | OSError | TProtocolException):
        raise ConnectionError(f"{address}: {error or type(error).__name__}") from error
    raise error
