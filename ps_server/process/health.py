"""How a parameter server is: ``/healthz`` for whoever restarts it, ``/metrics`` for Prometheus."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from ps_server.logs import log_failure

_TIMEOUT_S = 5.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        try:
            super().__init__(address, handler)
        except OSError as error:
            raise OSError(f"cannot listen on {address[0]}:{address[1]}: {error}") from error

    def server_bind(self) -> None:
        # Not that of HTTPServer, which looks up the name of this machine: that may take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):  # who asks may go away
            log_failure("a question about health failed", error)


class HealthServer:
    """Serves both, in threads of its own.

    Parameters
    ----------
    address : tuple of str and int
    describe : callable
        Returns whether all is well, and what is told.
    registry : CollectorRegistry
    """

    def __init__(
        self,
        address: tuple[str, int],
        describe: Callable[[], tuple[bool, dict[str, Any]]],
        registry: CollectorRegistry,
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = _TIMEOUT_S
            server_version, sys_version = "stepml-ps", ""

            def do_GET(self) -> None:
                if self.path == "/healthz":
                    is_well, told = describe()
                    self._answer(200 if is_well else 503, "application/json", json.dumps(told))
                elif self.path == "/metrics":
                    text = generate_latest(registry).decode()
                    self._answer(200, CONTENT_TYPE_LATEST, text)
                else:
                    self._answer(404, "text/plain", "/healthz or /metrics\n")

            def log_message(self, *arguments: object) -> None:
                pass  # somebody asks every few seconds

            def _answer(self, code: int, kind: str, text: str) -> None:
                body = text.encode()
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = _Server(address, Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more; also before the start."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def ask(address: tuple[str, int]) -> tuple[bool, str]:
    """Return whether the server whose ``/healthz`` is at ``address`` is well, and what it says."""
    connection = HTTPConnection(*address, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status == 200, answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        return False, f"no answer from {address[0]}:{address[1]}: {error}"
    finally:
        connection.close()
