"""The HTTP server of the local AWS: one thread a connection, which stays open between requests."""

from __future__ import annotations

import io
import logging
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.datastructures import Headers
from werkzeug.exceptions import InternalServerError
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.test import run_wsgi_app

from stepml.local_identity import HOST

if TYPE_CHECKING:
    from stepml.local.request_log import RequestLog

logger = logging.getLogger(__name__)

WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


class RequestHandler(MotoRequestHandler):
    """Answers the requests of one connection without delay and without logging them.

    werkzeug's own handler closes every connection, so each request would cost a new connection and
    a new thread.
    """

    protocol_version = "HTTP/1.1"  # connections stay open by default
    # Head and body leave together; Nagle's algorithm would delay the last packet by 40 ms.
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Answer one request, whose body is read to its end even if nobody asks for it."""
        environ = self.environ = self.make_environ()
        if not environ.get("CONTENT_LENGTH", "0").isdecimal():
            self.send_error(HTTPStatus.BAD_REQUEST, "Content-Length is not a number")
            return
        environ["wsgi.input"] = io.BytesIO(self._read_body(environ))
        try:
            body, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        except Exception:
            logger.exception("no answer to %s", self.requestline)
            body, status, headers = run_wsgi_app(InternalServerError(), environ, buffered=True)
        self._answer(status, headers, b"".join(body))

    def handle_expect_100(self) -> bool:
        """Ask the client for the body of its request."""
        self.send_response_only(HTTPStatus.CONTINUE)
        self.end_headers()
        self.wfile.flush()
        return True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write a line if requests are logged."""
        log: RequestLog | None = getattr(self.server, "request_log", None)
        if log is not None:
            log.write(self.command, self.path, self.headers.get("Authorization", ""))

    def _read_body(self, environ: dict[str, Any]) -> bytes:
        if environ.get("wsgi.input_terminated"):
            return self._read_chunks(environ["wsgi.input"])
        n_bytes = int(environ.get("CONTENT_LENGTH", "0"))
        body = self.rfile.read(n_bytes)
        if len(body) < n_bytes:
            raise ConnectionAbortedError(f"{len(body)} of {n_bytes} bytes arrived")
        return body

    def _read_chunks(self, chunks: IO[bytes]) -> bytes:
        self.close_connection = True  # trailers may follow
        try:
            return chunks.read()
        except OSError as error:  # not the form of a chunk
            raise ConnectionAbortedError(str(error)) from error

    def _answer(self, status: str, headers: Headers, body: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        has_body = self.command != "HEAD" and int(code) not in WITHOUT_BODY
        if has_body:
            headers["Content-Length"] = str(len(body))
        for header in headers:
            self.send_header(*header)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if has_body:
            self.wfile.write(body)


def bind(port: int, application: Any, request_log: RequestLog | None = None) -> BaseWSGIServer:
    """Return a server that listens on ``port`` of this machine; 0 chooses a free one."""
    server = make_server(HOST, port, application, threaded=True, request_handler=RequestHandler)
    # A request in progress must not prevent the process from ending.
    server.daemon_threads = True  # type: ignore[attr-defined]
    server.request_log = request_log  # type: ignore[attr-defined]
    # Many executors connect at once; with the default backlog of 128 some would wait a second.
    server.socket.listen(1024)
    return server
