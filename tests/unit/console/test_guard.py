"""The console's guard: who is let in, and with what every answer is sent."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from stepml.console.access import Access
from stepml.console.guard import Guard
from tests.support.asgi import Browser

HOST = "127.0.0.1:8421"
OWN = f"http://{HOST}"
ELSEWHERE = "10.1.2.3:8421"
VISIT = {"sec_fetch_site": "none", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
FOREIGN = "http://attacker.example"


async def page(request: Request) -> HTMLResponse:
    prefix = request.headers.get("x-forwarded-prefix", "")
    return HTMLResponse(f"<script>a()</script>&lt;script&gt;{prefix}<script type=module>b()")


async def part(_: Request) -> PlainTextResponse:
    return PlainTextResponse("<script>", headers={"cache-control": "public"})


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def guarded(access: Access) -> Guard:
    routes = [
        Route("/assets/part", part),
        WebSocketRoute("/_nicegui_ws/socket.io/", socket),
        Route("/{name:path}", page, methods=["GET", "POST"]),
    ]
    return Guard(Starlette(routes=routes), access)


@pytest.fixture
def visitor() -> Browser:
    """A browser that has opened no page of a console on loopback."""
    return Browser(guarded(Access.at("127.0.0.1", 8421)), HOST)


@pytest.fixture
def user(visitor: Browser) -> Browser:
    """A browser that has."""
    assert visitor.get("/", **VISIT).status == 200
    return visitor


@pytest.fixture
def access() -> Access:
    """The access to a console for other machines."""
    return Access.at("0.0.0.0", 8421)


@pytest.fixture
def stranger(access: Access) -> Browser:
    """A browser on another machine, without a token."""
    return Browser(guarded(access), ELSEWHERE)


def test_a_page_opens_the_way_for_its_parts(visitor: Browser) -> None:
    assert visitor.get("/assets/part").status == 403
    cookie = visitor.get("/", **VISIT).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict"} <= {each.strip() for each in cookie.split(";")}
    assert visitor.get("/assets/part").status == 200
    assert "set-cookie" not in visitor.get("/", **VISIT).headers


@pytest.mark.parametrize("host", ["127.0.0.1:8421", "localhost:9000", "[::1]:8421", "LOCALHOST"])
def test_loopback_is_known_by_its_names_also_through_a_tunnel(visitor: Browser, host: str) -> None:
    assert visitor.get("/", host=host, **VISIT).status == 200


@pytest.mark.parametrize(
    "host",
    ["attacker.example", "127.0.0.1.attacker.example:8421", "192.168.0.7", "", "[::1", "a@[::1]@b"],
)
def test_a_name_that_was_made_to_point_here_is_refused(user: Browser, host: str) -> None:
    answer = user.get("/", host=host, **VISIT)
    assert (answer.status, "set-cookie" in answer.headers) == (403, False)


def test_another_page_sends_nothing(user: Browser) -> None:
    assert user.get("/jobs", "POST", origin=OWN).status == 200
    for origin in (FOREIGN, "null", "http://127.0.0.1:8422", "http://127.0.0.1", ""):
        assert user.get("/jobs", "POST", origin=origin).status == 403, origin
        assert user.get("/jobs", origin=origin).status == 403, origin
    assert user.get("/jobs", "POST").status == 403


@pytest.mark.parametrize("place", ["iframe", "image", "empty", "script"])
def test_another_page_has_no_part_of_this_one(visitor: Browser, place: str) -> None:
    headers = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "sec_fetch_dest": place}
    answer = visitor.get("/", **headers)
    assert (answer.status, "set-cookie" in answer.headers) == (403, False)


def test_a_websocket_needs_the_cookie_and_the_origin(visitor: Browser) -> None:
    address = "/_nicegui_ws/socket.io/"
    assert visitor.greeting(address, origin=OWN) == ""
    visitor.get("/", **VISIT)
    assert visitor.greeting(address, origin=OWN) == "hello"
    assert visitor.greeting(address, origin=FOREIGN) == ""
    assert visitor.greeting(address) == ""
    assert visitor.greeting(address, origin=OWN, host="attacker.example") == ""


def test_a_page_of_an_earlier_console_learns_only_that_there_is_one(stranger: Browser) -> None:
    answer = stranger.get("/favicon.ico", "HEAD", sec_fetch_site="same-origin")
    assert (answer.status, answer.body, "set-cookie" in answer.headers) == (204, b"", False)
    assert stranger.get("/favicon.ico", "HEAD", origin=FOREIGN).status == 403
    assert stranger.get("/favicon.ico", sec_fetch_site="same-origin").status == 403


@pytest.mark.parametrize("cookie", ["x", "", 'stepml_console_8421="', "stepml_console_8421=é"])
def test_another_cookie_is_none(visitor: Browser, cookie: str) -> None:
    assert visitor.get("/assets/part", cookie=cookie).status == 403


def test_other_machines_need_the_token_once(access: Access, stranger: Browser) -> None:
    for query in ("", "?token=", "?token=wrong", "?token=é"):
        answer = stranger.get(f"/jobs/a{query}", **VISIT)
        assert answer.status == 403
        assert "?token=" in answer.text
        assert "set-cookie" not in answer.headers
    entered = stranger.get(f"/jobs/a?x=1&token={access.token}", **VISIT)
    assert (entered.status, entered.headers["location"]) == (303, "/jobs/a?x=1")
    assert str(access.token) not in entered.headers["set-cookie"]
    assert stranger.get("/jobs/a?x=1", **VISIT).status == 200


def test_the_way_without_the_token_leads_to_the_console_only(
    access: Access, stranger: Browser
) -> None:
    answer = stranger.get(f"//attacker.example/a?token={access.token}", **VISIT)
    assert answer.headers["location"] == "/attacker.example/a"


def test_a_link_on_another_page_is_followed_again_with_the_cookie(stranger: Browser) -> None:
    """The browser sends a strict cookie only if this site itself leads to the page."""
    answer = stranger.get("/jobs/a", **{**VISIT, "sec_fetch_site": "cross-site"})
    assert 'http-equiv="refresh"' in answer.text
    assert "set-cookie" not in answer.headers


def test_every_answer_says_what_browsers_may_do_with_it(user: Browser) -> None:
    for path in ("/", "/assets/part"):
        headers = user.get(path, **VISIT).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
    assert user.get("/", **VISIT).headers["cache-control"] == "no-store"
    assert user.get("/assets/part").headers["cache-control"] == "public"


def test_only_scripts_of_the_page_itself_run(user: Browser) -> None:
    answer = user.get("/", **VISIT)
    (nonce,) = re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"])
    assert answer.text == (
        f'<script nonce="{nonce}">a()</script>&lt;script&gt;<script nonce="{nonce}" type=module>b()'
    )
    assert nonce not in user.get("/", **VISIT).text
    assert user.get("/assets/part").text == "<script>"  # no page


def test_no_header_changes_addresses_in_pages(user: Browser) -> None:
    answer = user.get("/", **VISIT, x_forwarded_prefix="//attacker.example")
    assert "attacker" not in answer.text
