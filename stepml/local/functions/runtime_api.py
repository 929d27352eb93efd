"""The HTTP side of Lambda's Runtime API: one listener for each environment, without threads.

The thread that invokes a function also reads from its process
(:mod:`stepml.local.functions.sandbox`), so a warm invocation needs no switch between threads. Only
the protocol of ``awslambdaric`` is supported: HTTP/1.1, keep-alive, bodies with a length.
"""

from __future__ import annotations

import json
import re
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

VERSION = "/2018-06-01/runtime"
NEXT = f"{VERSION}/invocation/next"
INIT_ERROR = f"{VERSION}/init/error"
MAX_BODY_BYTES = 6_291_556  # Lambda's limit for a response: 6 MB and 100 bytes
MAX_HEAD_BYTES = 2 * 1024 * 1024  # awslambdaric sends up to 1 MB of X-Ray cause in a header
RECEIVE_BYTES = 256 * 1024
SEND_TIMEOUT_S = 10.0  # a living process reads its event at once

_LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)", re.IGNORECASE | re.MULTILINE)
_EXPECTS = re.compile(rb"^expect:[ \t]*100-continue", re.IGNORECASE | re.MULTILINE)


def invocation_headers(request_id: str, deadline_ms: int, function_arn: str) -> dict[str, str]:
    """Return the headers of an event."""
    root = f"1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"
    return {
        "Lambda-Runtime-Aws-Request-Id": request_id,
        "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": function_arn,
        "Lambda-Runtime-Trace-Id": f"Root={root};Parent={uuid.uuid4().hex[:16]};Sampled=0",
    }


def invocation_path(request_id: str, outcome: str) -> str:
    return f"{VERSION}/invocation/{request_id}/{outcome}"


@dataclass(frozen=True, slots=True)
class RuntimeRequest:
    """One unanswered request of the runtime client."""

    connection: Connection
    method: str
    path: str
    body: bytes  # empty if it is too large
    is_too_large: bool  # it had more than MAX_BODY_BYTES

    def refuse(self) -> None:
        """Answer that the request belongs to no running invocation."""
        message = f"{self.method} {self.path} belongs to no running invocation"
        self.connection.refuse(HTTPStatus.BAD_REQUEST, "InvalidRequestID", message)


class Connection:
    """One connection of the runtime client; at most one request at a time."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._skipped_bytes = 0  # of a body that is too large to store
        self.is_reply_lost = False  # the client ended before it read all of the last reply
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.settimeout(SEND_TIMEOUT_S)

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def is_open(self) -> bool:
        return self._stream.fileno() >= 0

    def close(self) -> None:
        self._stream.close()

    def receive(self) -> RuntimeRequest | None:
        """Read the available bytes and return the request if it is complete.

        Raises
        ------
        ConnectionError
            The client has closed the connection, or the head is too large.
        """
        try:
            data = self._stream.recv(RECEIVE_BYTES)
        except ConnectionError:  # closing a socket with unread data resets the connection
            self.is_reply_lost = True
            raise
        if not data:
            # It closed before the reply arrived, and the system recorded the reset.
            self.is_reply_lost |= self._stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
            raise ConnectionResetError("the runtime client closed its connection")
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise ConnectionAbortedError(f"request head above {MAX_HEAD_BYTES} bytes")
            return None
        return self._take(bytes(self._buffer[:end]), end + 4)

    def _take(self, head: bytes, body_start: int) -> RuntimeRequest | None:
        found = _LENGTH.search(head)
        length = int(found[1]) if found else 0
        received = len(self._buffer) - body_start + self._skipped_bytes
        if received < length:
            if received == 0 and _EXPECTS.search(head):
                self._stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if length > MAX_BODY_BYTES:  # counted, not stored
                self._skipped_bytes = received
                del self._buffer[body_start:]
            return None
        is_too_large = length > MAX_BODY_BYTES
        body = b"" if is_too_large else bytes(self._buffer[body_start : body_start + length])
        self._buffer.clear()  # no pipelining: the client waits for each answer
        self._skipped_bytes = 0
        method, path, *_ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        return RuntimeRequest(self, method, path, body, is_too_large)

    def reply(
        self, status: HTTPStatus, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer the last request."""
        head = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Length: {len(body)}"]
        head += ["Content-Type: application/json"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        try:
            self._stream.sendall("\r\n".join([*head, "\r\n"]).encode("latin-1") + body)
        except ConnectionError:
            self.is_reply_lost = True
            raise

    def accept(self) -> None:
        self.reply(HTTPStatus.ACCEPTED, b'{"status":"OK"}\n')

    def refuse(self, status: HTTPStatus, error_type: str, message: str) -> None:
        body = json.dumps({"errorMessage": message, "errorType": error_type}).encode()
        self.reply(status, body)


class RuntimeApi:
    """The listener of one environment, on the loopback interface."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=8)
        self._listener.setblocking(False)

    @property
    def address(self) -> str:
        """``host:port``, for ``AWS_LAMBDA_RUNTIME_API``."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def fileno(self) -> int:
        return self._listener.fileno()

    def accept(self) -> Connection:
        return Connection(self._listener.accept()[0])

    def close(self) -> None:
        self._listener.close()
