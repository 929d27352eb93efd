"""Stands before all that the console serves: refuses what no page of its own has asked for."""

from __future__ import annotations

import secrets
from html import escape
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepml.console.access import TOKEN_SETTING, Access

# Of NiceGUI and the console: what pages load. All else is a page.
PARTS = ("/_nicegui", "/assets/", "/favicon.ico")
SAFE_METHODS = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
# By which a proxy would change the addresses in pages; the console has none before it.
NOT_HEARD = (b"x-forwarded-prefix",)
NOT_KNOWN = (
    "This console needs a token. Open the address that stepml console has printed where it was "
    "started: it ends with ?token=… A console that was started again has a new one."
)
OTHER_NAME = (
    "This is no address of the console. Open the address that stepml console has printed, or start "
    "it with --host and the name that you want to use."
)
OTHER_PAGE = "Another page has sent this request. Only pages of the console may."
NO_PAGE = "Open a page of the console first: this address is only for its pages."


class Guard:
    """An ASGI application before another one.

    Parameters
    ----------
    served : ASGI application
    access : Access
    """

    def __init__(self, served: ASGIApp, access: Access) -> None:
        self._served, self._access = served, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._served(scope, receive, send)
            return
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in NOT_HEARD]
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._served(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        with_headers = _Answer(send)
        if not self._access.knows_session(Headers(scope=scope).get("cookie", "")):
            with_headers.cookie = self._access.cookie_header if refusal is None else None
        refusal = refusal or self._without_token(scope)
        await (refusal or self._served)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, access = Headers(scope=scope), self._access
        host, origin = headers.get("host", ""), headers.get("origin")
        if not access.is_own_name(host):
            return _page(OTHER_NAME)
        is_unsafe = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if (origin is not None or is_unsafe) and not access.is_own_origin(origin or "", host):
            return _page(OTHER_PAGE)
        if access.knows_session(headers.get("cookie", "")):
            return None
        if not is_unsafe and scope["method"] == "HEAD":
            return Response(status_code=204)  # it is there: a page of an earlier one asks
        if is_unsafe or scope["path"].startswith(PARTS) or not _is_visit(headers):
            return _page(NO_PAGE)
        return None if access.knows_token(_query(scope)) else _asked_again(scope, headers)

    def _without_token(self, scope: Scope) -> Response | None:
        """Return the way to the same address without the token, which a history would keep."""
        settings = parse_qsl(_query(scope), keep_blank_values=True)
        kept = [(name, value) for name, value in settings if name != TOKEN_SETTING]
        if len(kept) == len(settings):
            return None
        path = "/" + scope["path"].lstrip("/")  # "//host" would be another host
        query = f"?{urlencode(kept)}" if kept else ""
        return RedirectResponse(f"{path}{query}", 303)


def _query(scope: Scope) -> str:
    return bytes(scope["query_string"]).decode("latin-1")


def _is_visit(headers: Headers) -> bool:
    """Return whether a person opens a page, rather than another page a part of its own."""
    site = headers.get("sec-fetch-site", "none")
    mode, place = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return site == "none" or (mode == "navigate" and place in (None, "document"))


def _asked_again(scope: Scope, headers: Headers) -> Response:
    """Refuse a page; after a link of another site the browser may have withheld the cookie."""
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return _page(NOT_KNOWN)
    return _page("Opening the console …", 200, '<meta http-equiv="refresh" content="0">')


def _page(text: str, status: int = 403, head: str = "") -> Response:
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>StepML</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;"
        f"max-width:36em;margin:15vh auto;padding:0 20px}}</style>{head}</head>"
        f"<body><main><h1>StepML</h1><p>{escape(text)}</p></main></body></html>"
    )
    return HTMLResponse(body, status)


class _Answer:
    """Sends an answer with the headers of all answers; its scripts get the nonce of the policy."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._nonce = secrets.token_urlsafe(16)
        self._start: Message | None = None  # of a page, while its body is being collected
        self._body = b""
        self.cookie: str | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            self._complete(headers)
            if headers.get("content-type", "").startswith("text/html"):
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_page(self._start)
            return
        await self._send(message)

    def _complete(self, headers: MutableHeaders) -> None:
        headers.update({**HEADERS, "content-security-policy": POLICY.format(nonce=self._nonce)})
        headers.setdefault("cache-control", "no-store")
        if self.cookie is not None:
            headers.append("set-cookie", self.cookie)

    async def _send_page(self, start: Message) -> None:
        # Text of others has no "<" in a page: NiceGUI and Jinja write it as "&lt;".
        body = self._body.replace(b"<script", f'<script nonce="{self._nonce}"'.encode())
        headers = MutableHeaders(scope=start)
        if "content-length" in headers:
            headers["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})
