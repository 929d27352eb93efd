"""A browser's requests to an ASGI application, in the test's process and byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass
class Browser:
    """A browser that keeps cookies.

    Attributes
    ----------
    application : ASGI application
    host : str
        The host, with its port.
    """

    application: Any
    host: str
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, address: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request; an underscore in a header's name stands for a hyphen."""
        sent = self._sent({"type": "http", "method": method}, address, headers)
        answer = Answer(
            sent[0]["status"],
            Headers(raw=sent[0]["headers"]),
            b"".join(each.get("body", b"") for each in sent[1:]),
        )
        for cookie in answer.headers.getlist("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def greeting(self, address: str, **headers: str) -> str:
        """Open a websocket and return the first text of the server; "" if it is refused."""
        sent = self._sent({"type": "websocket"}, address, headers)
        return str(sent[1]["text"]) if sent[0]["type"] == "websocket.accept" else ""

    def _sent(
        self, scope: dict[str, Any], address: str, headers: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        path, _, query = address.partition("?")
        given = {"host": self.host}
        if self.cookies:
            given["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        scope |= {
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        return asyncio.run(_run(self.application, scope))


async def _run(application: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    is_socket = scope["type"] == "websocket"

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"} if is_socket else {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    return sent
