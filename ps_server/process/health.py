"""The health and the metrics of a parameter server over HTTP, as one WSGI application."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from http.client import HTTPConnection, HTTPException
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from ps_server.logs import log_failure

_TIMEOUT_S = 5.0

Describe = Callable[[], tuple[bool, dict[str, Any]]]
Application = Callable[..., Iterable[bytes]]


def application(describe: Describe, registry: CollectorRegistry) -> Application:
    """Return the application that serves ``/healthz`` and ``/metrics``.

    ``describe`` returns whether the server is well, and the fields of ``/healthz``.
    """
    metrics: Application = make_wsgi_app(registry)

    def serve(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        def start_ours(status: str, headers: list[tuple[str, str]], *more: Any) -> object:
            return start(status, [*headers, ("Server", "stepml-ps")], *more)

        if environ["PATH_INFO"] == "/metrics":
            return metrics(environ, start_ours)
        if environ["PATH_INFO"] != "/healthz":
            start_ours("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/healthz or /metrics\n"]
        is_well, fields = describe()
        status = "200 OK" if is_well else "503 Service Unavailable"
        start_ours(status, [("Content-Type", "application/json")])
        return [json.dumps(fields).encode()]

    return serve


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # Not that of HTTPServer, which looks up the name of this machine: that may take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):  # the client may go away
            log_failure("a question about health failed", error)


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _TIMEOUT_S
    server_version, sys_version = "stepml-ps", ""

    def log_message(self, *arguments: object) -> None:
        pass  # there is a request every few seconds


class HealthServer:
    """Serves a WSGI application in threads of its own."""

    def __init__(self, address: tuple[str, int], serve: Application) -> None:
        kind = _ServerV6 if ":" in address[0] else _Server
        try:
            self._server = kind(address, _Handler)
        except OSError as error:
            raise OSError(f"cannot listen on {address[0]}:{address[1]}: {error}") from error
        self._server.set_app(serve)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End all answers; also before the start."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def ask(address: tuple[str, int]) -> tuple[bool, str]:
    """Return whether the server whose ``/healthz`` is at ``address`` is well, and its answer."""
    connection = HTTPConnection(*address, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status == 200, answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        return False, f"no answer from {address[0]}:{address[1]}: {error}"
    finally:
        connection.close()
