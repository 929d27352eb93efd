"""A client of the parameter server over Thrift.

All pieces of a message leave without waiting for the answers to them, and with them, in a step,
the requests for the pieces of the sum; then all answers are read. Nobody can block the other by
that. While pieces are on their way, the server answers each with a few dozen bytes: those to a
message of a hundred gigabytes fit into the buffers of the sockets. The requests for pieces, which
may find the server sending, are at most `_ASKED_AT_ONCE` of half a KiB each, and fit in as well.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, TypeVar

from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TApplicationException, TMessageType

from comm.wire import Encoded, RunningChecksum
from ps_server.over_thrift.messages import (
    ARGUMENTS,
    RESULTS,
    answer_of,
    refusal_in,
    settings_struct,
    step_struct,
)
from ps_server.over_thrift.packing import (
    PULLED_TAIL,
    PUSH_TAIL,
    PullCall,
    PushCall,
    pack_pull,
    pack_push,
    unpack_pulled,
    unpack_pushed,
)
from ps_server.over_thrift.transport import BoundedProtocol, SocketTransport, set_buffers
from ps_server.protocol.addresses import Address, Credentials
from ps_server.protocol.calls import (
    JobSettings,
    Pushed,
    Received,
    Registration,
    Statistics,
    StepStatus,
    Welcome,
)
from ps_server.protocol.certificates import client_context
from ps_server.protocol.clients import ParameterClient, Target
from ps_server.protocol.refusals import ContributionsMissing, Refusal
from stepml.job.step import Step

_MOST_FIELDS = 2**20  # of an answer: the statistics of many jobs
_ASKED_AT_ONCE = 64  # pieces
_LEAST_FRAME_BYTES = 32  # a header
_MOST_WAIT_MS = 2**31 - 1

T = TypeVar("T")


class ThriftClient(ParameterClient):
    """One connection to a parameter server over Thrift."""

    def __init__(self, address: Address, credentials: Credentials, timeout_s: float) -> None:
        super().__init__(address, credentials, timeout_s)
        self._connection: _Connection | None = None

    @property
    def server(self) -> Welcome:
        self._connected()
        assert self._welcome is not None
        return self._welcome

    def ping(self) -> Welcome:
        welcome: Welcome = self._call("ping")
        return welcome

    def register(self, job: str, settings: JobSettings) -> Registration:
        told = settings_struct(settings)
        found: Registration = self._call("register_job", job=job, settings=told)
        return found

    def exists(self, job: str, step: Step) -> StepStatus:
        status: StepStatus = self._call("exists", job=job, step=step_struct(step))
        return status

    def _push(self, target: Target, message: Encoded) -> Pushed:
        def act(connection: _Connection) -> Pushed:
            n_pieces = self._send_push(connection, target, message)
            connection.flush(self._timeout_s)
            return self._pushed(connection, n_pieces)

        return self._guarded(act)

    def _pull(self, target: Target, wait_s: float) -> Received:
        pull = _Pull(self._next_buffer, target, wait_s)

        def act(connection: _Connection) -> Received:
            pull.ask(connection, self.server.frame_bytes)
            connection.flush(self._timeout_s + wait_s)
            return pull.finish(connection, self._timeout_s + wait_s)

        return self._guarded(act)

    def _push_and_pull(
        self, target: Target, message: Encoded, wait_s: float
    ) -> tuple[Pushed, Received | ContributionsMissing]:
        pull = _Pull(self._next_buffer, target, wait_s)

        def act(connection: _Connection) -> tuple[Pushed, Received | ContributionsMissing]:
            n_pieces = self._send_push(connection, target, message)
            pull.ask(connection, self.server.frame_bytes, message.size)
            connection.flush(self._timeout_s + wait_s)
            refusal = None
            try:
                pushed = self._pushed(connection, n_pieces)
            except Refusal as error:
                refusal = error
            try:
                data: Received | ContributionsMissing = pull.finish(
                    connection, self._timeout_s + wait_s
                )
            except ContributionsMissing as missing:
                data = missing
            except Refusal:
                if refusal is None:
                    raise
            if refusal is not None:
                raise refusal
            return pushed, data

        return self._guarded(act)

    def forget(self, job: str, through: Step) -> None:
        self._call("forget", job=job, through=step_struct(through))

    def reset(self, job: str, epoch: int) -> None:
        self._call("reset", job=job, epoch=epoch)

    def delete(self, prefix: str) -> int:
        n_jobs: int = self._call("delete_jobs", prefix=prefix)
        return n_jobs

    def statistics(self) -> Statistics:
        found: Statistics = self._call("statistics")
        return found

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _call(self, name: str, **arguments: Any) -> Any:
        def act(connection: _Connection) -> Any:
            connection.send(name, ARGUMENTS[name](**arguments))
            connection.flush(self._timeout_s)
            return answer_of(connection.answer(name))

        return self._guarded(act)

    def _guarded(self, act: Callable[[_Connection], T]) -> T:
        """Have a call made; after an error, but for a refusal, the connection is closed."""
        try:
            return act(self._connected())
        except Refusal:
            raise
        except BaseException as error:
            self.close()
            _raise_clearly(error, self._address)

    def _connected(self) -> _Connection:
        if self._connection is None:
            connection = _Connection(self._address, self._credentials, self._timeout_s)
            try:
                token = ARGUMENTS["authenticate"](token=self._credentials.token)
                connection.send("authenticate", token)
                connection.flush(self._timeout_s)
                self._welcome = connection.welcome()
            except BaseException as error:
                connection.close()
                if isinstance(error, Refusal):
                    raise
                _raise_clearly(error, self._address)
            self._connection = connection
        return self._connection

    def _send_push(self, connection: _Connection, target: Target, message: Encoded) -> int:
        """Send all pieces of a message; return how many answers will come."""
        n_pieces = 0
        for offset, parts in message.pieces(self.server.frame_bytes):
            piece_bytes = sum(map(len, parts))
            number = connection.next_number()
            call = PushCall(
                *(number, target.job, target.step, target.rank, target.attempt),
                *(target.based_on, message.size, offset, piece_bytes),
            )
            connection.transport.write_parts([pack_push(call), *parts, PUSH_TAIL])
            n_pieces += 1
        return n_pieces

    def _pushed(self, connection: _Connection, n_pieces: int) -> Pushed:
        refusal, answer = None, Pushed(is_repeated=False)
        for _ in range(n_pieces):
            try:
                answer = connection.pushed()
            except Refusal as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal
        return answer


class _Pull:
    """A message that is pulled in pieces."""

    def __init__(self, memory: Callable[[int], memoryview], target: Target, wait_s: float) -> None:
        self._memory = memory
        wait_ms = round(min(1000 * wait_s, _MOST_WAIT_MS))
        self._of = (target.job, target.step, target.rank, target.attempt, wait_ms)
        self._asked: list[int] = []  # offsets of pieces whose answers have not come
        self._next = 0  # what has been asked for ends here
        self._frame_bytes = 1
        self._data: memoryview | None = None
        self._checksum = RunningChecksum()

    def ask(self, connection: _Connection, frame_bytes: int, expected_bytes: int = 1) -> None:
        """Ask for all pieces of a message that is expected to be so long."""
        self._frame_bytes = frame_bytes
        while self._next < expected_bytes and len(self._asked) < _ASKED_AT_ONCE:
            call = PullCall(connection.next_number(), *self._of, self._next, frame_bytes)
            connection.transport.write(pack_pull(call))
            self._asked.append(self._next)
            self._next += frame_bytes

    def finish(self, connection: _Connection, timeout_s: float) -> Received:
        """Read all answers, asking for what was not expected, and return the message."""
        refusal: Refusal | None = None
        while self._asked:
            offset = self._asked.pop(0)
            try:
                connection.pulled(partial(self._take, connection, offset))
            except Refusal as error:
                refusal = refusal or error  # the answers to the other requests say nothing new
            if self._data is not None and not self._asked and refusal is None:
                self.ask(connection, self._frame_bytes, len(self._data))
                connection.flush(timeout_s)
        if refusal is not None:
            raise refusal
        assert self._data is not None
        return Received(self._data, self._checksum.value())

    def _take(self, connection: _Connection, offset: int, total: int, size: int) -> int:
        if self._data is None:
            self._data = self._memory(total)
        if size != max(0, min(self._frame_bytes, len(self._data) - offset)):
            raise _not_ours(f"a piece of {size} bytes")
        piece = self._data[offset : offset + size]
        connection.transport.read_into(piece)
        self._checksum.add(piece)
        return size


class _Connection:
    """A connected socket, and the calls on it."""

    def __init__(self, address: Address, credentials: Credentials, timeout_s: float) -> None:
        plain = socket.create_connection((address.host, address.port), timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_buffers(plain)
        connection = plain
        if address.is_encrypted:
            try:
                context = client_context(credentials)
                connection = context.wrap_socket(plain, server_hostname=address.host)
            except BaseException:
                plain.close()
                raise
        else:
            plain.settimeout(None)
        self.transport = SocketTransport(connection)
        self.protocol = BoundedProtocol(self.transport, _MOST_FIELDS)
        self._timeout_s = timeout_s
        self._sent = self._answered = 0

    def next_number(self) -> int:
        """Return the number of another call, which will be answered."""
        self._sent += 1
        return self._sent

    def send(self, name: str, call: Any) -> None:
        """Write a call; it leaves with `flush`."""
        self.protocol.writeMessageBegin(name, TMessageType.CALL, self.next_number())
        call.write(self.protocol)
        self.protocol.writeMessageEnd()

    def flush(self, timeout_s: float) -> None:
        """Send all calls; each answer may take ``timeout_s``."""
        self.transport.set_timeout(timeout_s)
        self.transport.flush()

    def welcome(self) -> Welcome:
        """Return the answer to the token."""
        welcome: Welcome = answer_of(self.answer("authenticate"))
        if welcome.frame_bytes < _LEAST_FRAME_BYTES:
            raise _not_ours(f"pieces of {welcome.frame_bytes} bytes")
        return welcome

    def pushed(self) -> Pushed:
        """Return the answer to a push, as `answer` does."""
        packed = unpack_pushed(self._begun())
        if packed is None:
            pushed: Pushed = answer_of(self.answer("push"))
            return pushed
        number, found, size = packed
        self.transport.consume(size)
        self._answered += 1
        self._require_answer("push", "push", number)
        return found

    def pulled(self, take: Callable[[int, int], object]) -> None:
        """Have the piece taken with which a pull was answered, else do as `answer` does.

        ``take`` gets the size of the message and that of the piece.
        """
        packed = unpack_pulled(self._begun())
        if packed is None:
            self.protocol.receive_binary = lambda size: take(self.protocol.last_i64, size)
            self.answer("pull")
            return
        number, total, piece_bytes, size = packed
        self.transport.consume(size)
        self._answered += 1
        self._require_answer("pull", "pull", number)
        take(total, piece_bytes)
        if self.transport.readAll(len(PULLED_TAIL)) != PULLED_TAIL:
            raise _not_ours("more fields")

    def answer(self, name: str) -> Any:
        """Return the answer to the oldest call without one, or raise what it was refused with."""
        self._answered += 1
        told, kind, number = self.protocol.readMessageBegin()
        if kind == TMessageType.EXCEPTION:
            error = TApplicationException()
            error.read(self.protocol)
            raise ConnectionError(f"the server failed: {error.message}")
        self._require_answer(name, told, number)
        result = RESULTS[name]()
        result.read(self.protocol)
        refusal = refusal_in(name, result)
        if refusal is not None:
            raise refusal
        if not hasattr(result, "success"):
            return None
        if result.success is None:
            raise _not_ours("neither an answer nor a refusal")
        return result.success

    def close(self) -> None:
        self.transport.close()

    def _begun(self) -> memoryview:
        """Return the beginning of the next answer."""
        self.transport.wait_for_input()
        return self.transport.buffered()

    def _require_answer(self, name: str, told: str, number: int) -> None:
        if (told, number) != (name, self._answered):
            raise _not_ours("another call's answer")


def _not_ours(what: str) -> TProtocolException:
    return TProtocolException(TProtocolException.INVALID_DATA, what)


def _raise_clearly(error: BaseException, address: Address) -> NoReturn:
    """Raise `ConnectionError` or `TimeoutError` for what a broken connection raises."""
    if isinstance(error, ssl.SSLCertVerificationError | TimeoutError | ConnectionError):
        raise error
    if isinstance(error, EOFError | OSError | TProtocolException):
        raise ConnectionError(f"{address}: {error or type(error).__name__}") from error
    raise error
