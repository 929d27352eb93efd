"""A client of the parameter server over Thrift.

All pieces of a message leave before the answers to them are read, and in a step also the requests
for the pieces of the sum. Neither side can block the other: the server answers each piece with a
few dozen bytes, and at most `_ASKED_AT_ONCE` requests of half a KiB are on their way while it may
be sending; both fit into the buffers of the sockets.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from thrift.protocol.TProtocol import TProtocolException

from comm.wire import RunningChecksum
from ps_server.over_thrift.connection import Connection, not_ours
from ps_server.over_thrift.packing import (
    PULLED_TAIL,
    PUSH_TAIL,
    PullCall,
    PushCall,
    pack_pull,
    pack_push,
    require_end,
)
from ps_server.protocol.addresses import Address
from ps_server.protocol.calls import Pushed, Received, Target, Welcome
from ps_server.protocol.clients import Encoded, ParameterClient
from ps_server.protocol.refusals import ContributionsMissing, Refusal

_ASKED_AT_ONCE = 64  # pieces
_LEAST_FRAME_BYTES = 32  # a header
_MOST_WAIT_MS = 2**31 - 1

T = TypeVar("T")


class ThriftClient(ParameterClient):
    """One connection to a parameter server over Thrift."""

    _connection: Connection | None = None

    @property
    def server(self) -> Welcome:
        self._guarded(lambda connection: None)  # which connects
        assert self._welcome is not None
        return self._welcome

    def push(self, target: Target, message: Encoded) -> Pushed:
        def act(connection: Connection) -> Pushed:
            n_pieces = self._send_push(connection, target, message)
            connection.flush(self._timeout_s)
            return _pushed(connection, n_pieces)

        return self._guarded(act)

    def pull(self, target: Target, wait_s: float = 0.0) -> Received:
        def act(connection: Connection) -> Received:
            pull = self._pull(connection, target, wait_s)
            pull.ask()
            connection.flush(self._timeout_s + wait_s)
            return pull.finish(self._timeout_s + wait_s)

        return self._guarded(act)

    def push_and_pull(
        self, target: Target, message: Encoded, wait_s: float = 0.0
    ) -> tuple[Pushed, Received | ContributionsMissing]:
        def act(connection: Connection) -> tuple[Pushed, Received | ContributionsMissing]:
            pull = self._pull(connection, target, wait_s)
            n_pieces = self._send_push(connection, target, message)
            pull.ask(message.size)
            connection.flush(self._timeout_s + wait_s)
            pushed = _attempted(lambda: _pushed(connection, n_pieces))
            received = _attempted(lambda: pull.finish(self._timeout_s + wait_s))
            if isinstance(pushed, Refusal):
                raise pushed
            if isinstance(received, Refusal) and not isinstance(received, ContributionsMissing):
                raise received
            return pushed, received

        return self._guarded(act)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _call(self, kind: type[T], name: str, **arguments: Any) -> T:
        def act(connection: Connection) -> T:
            answer = connection.call(name, self._timeout_s, **arguments)
            assert isinstance(answer, kind)
            return answer

        return self._guarded(act)

    def _guarded(self, act: Callable[[Connection], T]) -> T:
        """Make a call; after an error other than a refusal, close the connection."""
        try:
            return act(self._connected())
        except Refusal:
            raise
        except BaseException as error:
            self.close()
            _raise_clearly(error, self._address)

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = Connection(self._address, self._credentials, self._timeout_s)
            try:
                token = self._credentials.token
                welcome = connection.call("authenticate", self._timeout_s, token=token)
            except BaseException:
                connection.close()
                raise
            if welcome.frame_bytes < _LEAST_FRAME_BYTES:
                connection.close()
                raise not_ours(f"pieces of {welcome.frame_bytes} bytes")
            self._connection, self._welcome = connection, welcome
        return self._connection

    def _send_push(self, connection: Connection, target: Target, message: Encoded) -> int:
        """Send all pieces of a message; return how many answers will come."""
        n_pieces = 0
        for offset, parts in message.pieces(self._frame_bytes):
            call = PushCall(target, message.size, offset, sum(map(len, parts)))
            connection.transport.write(pack_push(connection.next_number(), call))
            for part in parts:
                connection.transport.write(part)
            connection.transport.write(PUSH_TAIL)
            n_pieces += 1
        return n_pieces

    def _pull(self, connection: Connection, target: Target, wait_s: float) -> _Pull:
        return _Pull(self._next_buffer, connection, target, wait_s, self._frame_bytes)

    @property
    def _frame_bytes(self) -> int:
        assert self._welcome is not None
        return self._welcome.frame_bytes


class _Pull:
    """A message that is pulled in pieces."""

    def __init__(
        self,
        memory: Callable[[int], memoryview],
        connection: Connection,
        target: Target,
        wait_s: float,
        frame_bytes: int,
    ) -> None:
        self._memory = memory
        self._connection = connection
        self._target = target
        self._wait_ms = round(min(1000 * wait_s, _MOST_WAIT_MS))
        self._frame_bytes = frame_bytes
        self._asked: list[int] = []  # offsets of pieces whose answers have not come
        self._next = 0  # offset of the next piece to ask for
        self._data: memoryview | None = None
        self._checksum = RunningChecksum()

    def ask(self, expected_bytes: int = 1) -> None:
        """Ask for all pieces of a message of the expected length."""
        while self._next < expected_bytes and len(self._asked) < _ASKED_AT_ONCE:
            call = PullCall(self._target, self._wait_ms, self._next, self._frame_bytes)
            number = self._connection.next_number()
            self._connection.transport.write(pack_pull(number, call))
            self._asked.append(self._next)
            self._next += self._frame_bytes

    def finish(self, timeout_s: float) -> Received:
        """Read all answers, ask for further pieces, and return the message."""
        refusal: Refusal | None = None
        while self._asked:
            try:
                self._take(self._asked.pop(0))
            except Refusal as error:
                refusal = refusal or error  # the answers to the other requests say nothing new
            if self._data is not None and not self._asked and refusal is None:
                self.ask(len(self._data))
                self._connection.flush(timeout_s)
        if refusal is not None:
            raise refusal
        assert self._data is not None
        return Received(self._data, self._checksum.value())

    def _take(self, offset: int) -> None:
        total, size = self._connection.pulled()
        if self._data is None:
            self._data = self._memory(total)
        if size != max(0, min(self._frame_bytes, len(self._data) - offset)):
            raise not_ours(f"a piece of {size} bytes")
        piece = self._data[offset : offset + size]
        transport = self._connection.transport
        transport.read_into(piece)
        self._checksum.add(piece)
        require_end(transport.readAll(len(PULLED_TAIL)), PULLED_TAIL)


def _pushed(connection: Connection, n_pieces: int) -> Pushed:
    answers = [_attempted(connection.pushed) for _ in range(n_pieces)]
    for answer in answers:
        if isinstance(answer, Refusal):
            raise answer
    assert isinstance(answers[-1], Pushed)
    return answers[-1]


def _attempted(act: Callable[[], T]) -> T | Refusal:
    try:
        return act()
    except Refusal as refusal:
        return refusal


def _raise_clearly(error: BaseException, address: Address) -> NoReturn:
    """Raise `ConnectionError` or `TimeoutError` for any error of a broken connection."""
    if isinstance(error, ssl.SSLCertVerificationError | TimeoutError | ConnectionError):
        raise error
    if isinstance(error, EOFError | OSError | TProtocolException):
        raise ConnectionError(f"{address}: {error or type(error).__name__}") from error
    raise error
