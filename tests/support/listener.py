"""A server on this machine that notes what is posted to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Post:
    """A request."""

    path: str
    headers: dict[str, str]
    text: str


@dataclass
class Listener:
    """The posted documents; the first request to ``/flaky`` was refused."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    refused: list[Post] = field(default_factory=list)

    def hear(self, post: Post) -> int:
        """Note a request, and return the status of its answer."""
        if post.path == "/flaky" and not self.refused:
            self.refused.append(post)
            return 503
        self.posts.append(post)
        return 200


@contextmanager
def listener() -> Iterator[Listener]:
    """Listen on a free port until the block ends."""
    heard = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.send_response(heard.hear(Post(self.path, dict(self.headers), text)))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        heard.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield heard
        server.shutdown()
