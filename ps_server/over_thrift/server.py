"""The parameter server over Thrift: one thread for each connection."""

from __future__ import annotations

import contextlib
import hmac
import logging
import socket
import ssl
import threading
import time
from collections import Counter

from ps_server.over_thrift.messages import FRAME_BYTES
from ps_server.over_thrift.session import Limits, Session
from ps_server.protocol.refusals import Refusal
from ps_server.state.parameters import Parameters

_MOST_STRANGERS = 128  # connections without the token yet
_LEAVING_S = 0.5
_LISTEN_BACKLOG = 512
_POLL_S = 0.02

_logger = logging.getLogger("stepml.ps_server")


class ThriftServer:
    """Answers Thrift clients from ``parameters``.

    Parameters
    ----------
    parameters, limits
    address : tuple of str and int
        Host and port; port 0 takes a free one.
    token : str
        The token that clients have to show.
    ssl_context : ssl.SSLContext, optional
        Without it nothing is encrypted.
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
        limits: Limits = Limits(),  # noqa: B008 — it is frozen
    ) -> None:
        self.parameters = parameters
        self.frame_bytes = frame_bytes
        self.ssl_context = ssl_context
        self.limits = limits
        if not token:
            raise ValueError("token: expected what clients have to show, got none")
        self._token = token.encode()
        self._max_connections = max_connections
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=_LISTEN_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self.refusals: Counter[str] = Counter()  # by kind
        self._sessions: dict[Session, None] = {}  # the oldest first
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

    def trust(self, session: Session) -> bool:
        """Count a client that has shown the token; return whether there is room for it."""
        with self._lock:
            n_trusted = sum(each.is_trusted for each in self._sessions)
            session.is_trusted = n_trusted < self._max_connections
            return session.is_trusted

    def forget(self, session: Session) -> None:
        """Remove a connection that has ended."""
        with self._lock:
            self._sessions.pop(session, None)

    def count(self, refusal: Refusal) -> None:
        """Count a refusal."""
        self.refusals[type(refusal).__name__] += 1

    def _all_sessions(self) -> list[Session]:
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
            self._admit(Session(self, connection), connection)

    def _admit(self, session: Session, connection: socket.socket) -> None:
        with self._lock:
            if self.is_stopping:
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
