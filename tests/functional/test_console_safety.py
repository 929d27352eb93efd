"""The console among hostile texts and pages of others, and while services are away.

``make console`` runs it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from stepml import Client
from stepml.client import connect
from stepml.local.ports import port_of, reserve_port
from tests.faults.stack import FaultyStack, deploy_faulty
from tests.support import hostile_code
from tests.support.browser import counted_requests
from tests.support.console import (
    PHONE,
    WIDE,
    RunningConsole,
    Tab,
    opened_tab,
    running_console,
)
from tests.support.local_stack import csv_rows
from tests.support.running_aws import running_aws

pytestmark = pytest.mark.skipif(
    "STEPML_WHOLE_CONSOLE" not in os.environ, reason="make console runs it"
)
PAUSE_MS = 10_000  # after a person has left, in which a page is not loaded again


def test_the_console_lasts_while_the_backend_is_away(
    browser: Browser, tmp_path: Path, job: dict[str, Any]
) -> None:
    with reserve_port(0) as reserved:
        port = port_of(reserved)
    more = [f"--keep={tmp_path / 'kept'}", f"--port={port}"]
    with ExitStack() as ends:
        with running_aws(tmp_path, more=more) as aws:
            stack = deploy_faulty(aws, tmp_path)
            stack.upload("data/small.csv", csv_rows())
            name = stack.run(job)["name"]
            console = ends.enter_context(running_console(aws.endpoint_url, tmp_path))
            tab = ends.enter_context(opened_tab(browser, console))
            tab.open("/")
            shown = tab.page.get_by_role("link", name=name, exact=True)
            expect(shown).to_be_visible()
        away = tab.page.get_by_role("status").filter(has_text="tries again")
        expect(away).to_be_visible()
        with running_aws(tmp_path, more=more):
            expect(away).not_to_be_visible()
            expect(shown).to_be_visible()


def test_a_page_goes_on_when_the_console_was_started_again(
    browser: Browser, local_stack: FaultyStack, ended_job: str, tmp_path: Path
) -> None:
    with ExitStack() as ends:
        with running_console(local_stack.endpoint_url, tmp_path) as console:
            tab = ends.enter_context(opened_tab(browser, console))
            tab.open(f"/jobs/{ended_job}")
            tab.mark()
            assert console.stop() == (0, "")
        with running_console(local_stack.endpoint_url, tmp_path, port=console.port):
            tab.page.wait_for_function("!window.isTheSamePage")
            tab.settled()
            tab.page.get_by_role("link", name="Jobs").click()
            expect(tab.page.get_by_role("link", name=ended_job)).to_be_visible()


def test_a_page_that_a_person_leaves_is_not_loaded_again(tab: Tab, ended_job: str) -> None:
    tab.open(f"/jobs/{ended_job}")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    tab.page.route(f"{tab.address}/", hold)
    # The console asks for it just after the click: the list is still on its way.
    tab.page.evaluate(
        """() => addEventListener("beforeunload", () => setTimeout(() => {
            reloadAndSay("another AWS");
            console.log("asked");
        }), {once: true})"""
    )
    with (
        tab.page.expect_request(f"{tab.address}/"),
        tab.page.expect_console_message(lambda said: said.text == "asked"),
    ):
        tab.page.get_by_role("link", name="Jobs").click(no_wait_after=True)
    for route in held:
        route.continue_()
    expect(tab.page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    expect(tab.page.get_by_role("link", name=ended_job)).to_be_visible()


def test_a_page_that_a_person_does_not_leave_after_all_is_loaded_again(
    tab: Tab, ended_job: str
) -> None:
    tab.open(f"/jobs/{ended_job}")
    tab.mark()
    tab.page.clock.install()
    tab.page.route(f"{tab.address}/", lambda route: route.fulfill(status=204))
    with tab.page.expect_response(f"{tab.address}/"):
        tab.page.get_by_role("link", name="Jobs").click(no_wait_after=True)
    tab.page.evaluate("reloadAndSay('another AWS')")
    assert tab.page.evaluate("window.isTheSamePage")
    tab.page.clock.fast_forward(PAUSE_MS)
    tab.page.wait_for_function("!window.isTheSamePage")


def test_back_instead_of_a_page_on_its_way_shows_the_choice_before(
    tab: Tab, ended_job: str
) -> None:
    tab.open(f"/jobs/{ended_job}")
    tab.page.evaluate("history.pushState({}, '', '?sort=-cost')")
    tab.mark()
    tab.page.route(f"{tab.address}/", lambda _: None)  # without an answer
    tab.page.evaluate(
        """() => addEventListener(
            "beforeunload", () => setTimeout(() => history.back(), 100), {once: true}
        )"""
    )
    tab.page.get_by_role("link", name="Jobs").click(no_wait_after=True)
    tab.page.wait_for_function("!window.isTheSamePage", timeout=PAUSE_MS / 2)
    assert tab.page.url == f"{tab.address}/jobs/{ended_job}"


@pytest.fixture(scope="module")
def hostile_job(local_stack: FaultyStack, job: dict[str, Any]) -> str:
    """A failed job whose error and whose log lines attack the pages that show them."""
    algorithm = {"name": "custom", "entry_point": "hostile_code:Hostile"}
    attacking = {**job, "algorithm": algorithm, "workers": 2}
    client = Client(connect(local_stack.endpoint_url))
    run = client.run(attacking, code=Path(hostile_code.__file__)).wait(check=False)
    assert run.failure is not None
    return run.name


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_text_of_others_stays_text(tab: Tab, hostile_job: str) -> None:
    for path in ("/", f"/jobs/{hostile_job}", f"/jobs/{hostile_job}/epochs/2"):
        tab.open(path)
        expect(tab.page.get_by_text("<img src=x").first).to_be_visible()
        tab.fits()
    log = tab.page.get_by_role("region", name="Log lines")
    expect(log).to_contain_text(hostile_code.SCRIPT)
    expect(log).to_contain_text(r"\x1b[31m\x00\u202e\x07")
    expect(log).to_contain_text("long xxxx")
    assert len(log.inner_text()) < hostile_code.LINE_BYTES / 10
    tab.is_accessible()
    assert tab.page.evaluate("window.isForged") is None


# What a page of somebody else may try; each returns what it has got.
READ = """address => fetch(address, {credentials: "include"}).then(
  answer => answer.text(), () => "refused")"""
POLL = """address => fetch(address + "/_nicegui_ws/socket.io/?EIO=4&transport=polling", {
  method: "POST", credentials: "include", body: "40"
}).then(answer => answer.text(), () => "refused")"""
CONNECT = """address => new Promise(done => {
  const socket = new WebSocket(
    address.replace("http", "ws") + "/_nicegui_ws/socket.io/?EIO=4&transport=websocket");
  socket.onmessage = message => done(message.data);
  socket.onclose = () => done("refused");
})"""
SEND = """address => {
  const form = document.createElement("form");
  form.method = "POST"; form.action = address + "/new";
  document.body.append(form);
  form.submit();
}"""


@pytest.mark.parametrize("place", ["another port of this machine", "another site"])
def test_other_pages_can_neither_read_nor_send(
    browser: Browser, console: RunningConsole, place: str
) -> None:
    with opened_tab(browser, console) as tab, counted_requests() as (other_port, _):
        tab.open("/")  # so that the browser has what the console knows it by
        page = tab.page.context.new_page()
        page.route(
            "http://other.example/",
            lambda route: route.fulfill(body="<p>", content_type="text/html"),
        )
        other = other_port if "port" in place else "http://other.example/"
        page.goto(other)
        for attempt in (READ, POLL, CONNECT):
            assert page.evaluate(attempt, console.address) == "refused"
        page.set_content(f'<iframe src="{console.address}">')
        assert page.frames[1].url.startswith("chrome-error:")
        with page.expect_navigation(url=f"{console.address}/**") as sent:
            page.evaluate(SEND, console.address)
        assert sent.value.status == 403
