"""The console in a real browser, as a person uses it.

``make console`` runs everything, ``make test`` one journey.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from stepml import Client
from stepml.client import connect
from stepml.job import keys
from stepml.local.ports import port_of, reserve_port
from tests.faults.placements import Point
from tests.faults.stack import FaultyStack, deploy_faulty
from tests.support import hostile_code
from tests.support.browser import counted_requests
from tests.support.console import (
    PHONE,
    WIDE,
    RunningConsole,
    Size,
    Tab,
    chromium,
    go_to,
    opened_tab,
    running_console,
)
from tests.support.local_stack import csv_rows, without
from tests.support.running_aws import running_aws

whole = pytest.mark.skipif("STEPML_WHOLE_CONSOLE" not in os.environ, reason="make console runs it")
VIEWS = [
    "/",
    "/?status=failed&q=nothing",
    "/jobs/{job}",
    "/jobs/{job}/epochs/1",
    "/jobs/absent",
    "/jobs/absent/epochs/1",
    "/new",
    "/new?like={job}",
    "/nowhere",
    "/data",
    "/data?place=data/absent.csv",
    "/channels",
    "/compare",
    "/compare?job={job}&job=absent&by=second",
]
sizes = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def console(
    local_stack: FaultyStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningConsole]:
    with running_console(local_stack.endpoint_url, tmp_path_factory.mktemp("console")) as started:
        yield started


@pytest.fixture
def size() -> Size:
    return WIDE


@pytest.fixture
def tab(browser: Browser, console: RunningConsole, size: Size) -> Iterator[Tab]:
    with opened_tab(browser, console, size) as opened:
        yield opened


@pytest.fixture(scope="module")
def ended_job(local_stack: FaultyStack, job: dict[str, Any]) -> str:
    """A job that has ended well."""
    return str(local_stack.run(job)["name"])


@whole
@sizes
def test_each_view_fits_and_is_accessible(tab: Tab, ended_job: str) -> None:
    for path in VIEWS:
        tab.open(path.format(job=ended_job))
        tab.fits()
        tab.is_accessible()


def test_jobs_come_without_reloading(
    tab: Tab, local_stack: FaultyStack, job: dict[str, Any]
) -> None:
    tab.open("/")
    tab.mark()
    name = local_stack.run(job)["name"]
    row = tab.page.get_by_role("row", name=name)
    expect(row).to_contain_text("succeeded")
    assert tab.is_the_same_page


@pytest.fixture
def name() -> str:
    return f"console-{uuid.uuid4().hex[:8]}"


def fill_in(page: Page, job: dict[str, Any], name: str) -> None:
    """Write a job into the form for a new one."""
    data = page.get_by_role("group", name="data", exact=True)
    data.get_by_label("uri (required)").fill(job["data"]["uri"])
    data.get_by_label("label", exact=True).fill(job["data"]["label"])
    page.get_by_label("workers", exact=True).fill(str(job["workers"]))
    for field in ("model", "algorithm"):
        group = page.get_by_role("group", name=field, exact=True)
        group.get_by_role("combobox", name="name").first.select_option(job[field]["name"])
    page.get_by_label("max_epochs").fill("5")
    page.get_by_label("run name").fill(name)


@pytest.mark.parametrize("size", [WIDE, pytest.param(PHONE, marks=whole)], ids=["wide", "phone"])
def test_a_job_is_started_watched_retried_and_compared(
    tab: Tab, local_stack: FaultyStack, job: dict[str, Any], ended_job: str, name: str
) -> None:
    page = tab.page
    with local_stack.holding(name, Point("executor", 3, 0)) as hold:
        tab.open("/new")
        fill_in(page, job, name)
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        tab.mark()
        epochs = page.get_by_role("region", name="Attempts at epochs").get_by_role("row")
        expect(epochs.filter(has_text="succeeded")).to_have_count(2)
        hold.reached()
        with without(local_stack, keys.training_plan(name)):
            hold.release()
            way = page.get_by_role("link", name="Open epoch 3, which failed")
            expect(way).to_be_visible()
    assert tab.is_the_same_page
    way.click()
    expect(page.get_by_role("status").filter(has_text="failed, attempt 2 of 2")).to_be_visible()
    ranks = page.get_by_role("region", name="Iterations of RunExecutors")
    ranks.get_by_role("row").filter(has_text="KeyNotFoundError").get_by_role("link").first.click()
    log = page.get_by_role("region", name="Log lines")
    expect(log).to_contain_text("failed: KeyNotFoundError: nothing is stored")
    page.get_by_role("button", name="Retry from epoch 3…").click()
    asked = page.get_by_role("dialog", name=f"Retry {name}?")
    expect(asked).to_contain_text("epoch 3")
    asked.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="finished, attempt 3 of 3")).to_be_visible()
    page.get_by_role("link", name=f"Job {name}").click()
    expect(epochs.filter(has_text="succeeded")).to_have_count(5)
    page.get_by_role("link", name="Jobs", exact=True).click()
    for each in (name, ended_job):
        page.get_by_role("checkbox", name=f"Choose {each}").check()
    page.get_by_role("link", name="Compare 2 jobs").click()
    expect(page.get_by_role("img", name="loss by epoch")).to_be_visible()
    results = page.get_by_role("region", name="Results of the jobs")
    expect(results.get_by_role("row", name="epochs")).to_contain_text("5")


@whole
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
            tab.mark()
            tab.page.get_by_role("link", name=name).focus()
        away = tab.page.get_by_role("status").filter(has_text="tries again")
        expect(away).to_be_visible()
        with running_aws(tmp_path, more=more):
            expect(away).not_to_be_visible()
            expect(tab.page.get_by_role("link", name=name)).to_be_focused()
            assert tab.is_the_same_page


@whole
def test_a_page_goes_on_when_the_console_was_started_again(
    browser: Browser, local_stack: FaultyStack, ended_job: str, tmp_path: Path
) -> None:
    with ExitStack() as ends:
        with running_console(local_stack.endpoint_url, tmp_path) as console:
            tab = ends.enter_context(opened_tab(browser, console))
            tab.open(f"/jobs/{ended_job}")
            assert console.stop() == (0, "")
        with running_console(local_stack.endpoint_url, tmp_path, port=console.port):
            tab.page.get_by_role("link", name="Jobs").click()
            expect(tab.page.get_by_role("link", name=ended_job)).to_be_visible()


@whole
def test_everything_is_reached_by_keyboard(
    tab: Tab, local_stack: FaultyStack, job: dict[str, Any], name: str
) -> None:
    """A job is filled in as text, started, held, stopped and resumed, without a mouse."""
    page, keyboard = tab.page, tab.page.keyboard
    with local_stack.holding(name, Point("executor", 2, 0)) as hold:
        tab.open("/")
        keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        go_to(page, page.get_by_role("link", name="New job").first)
        keyboard.press("Enter")
        tab.settled()
        go_to(page, page.get_by_label("run name"))
        keyboard.type(name)
        go_to(page, page.get_by_label("The same job as JSON"))
        keyboard.insert_text(json.dumps(job))
        go_to(page, page.get_by_role("button", name="Start", exact=True))
        keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        hold.reached()
        go_to(page, page.get_by_role("button", name="Stop…"))
        keyboard.press("Enter")
        asked = page.get_by_role("dialog", name=f"Stop {name}?")
        go_to(page, asked.get_by_role("button", name="Stop the job"))
        keyboard.press("Enter")
        expect(page.get_by_role("status").filter(has_text="stopped")).to_be_visible()
    expect(page.get_by_role("button", name="Retry…")).to_be_focused()
    keyboard.press("Enter")
    asked = page.get_by_role("dialog", name=f"Retry {name}?")
    go_to(page, asked.get_by_role("button", name="Retry", exact=True))
    keyboard.press("Enter")
    attempts = page.get_by_role("region", name="Attempts at epochs").get_by_role("row")
    expect(attempts.filter(has_text="succeeded")).to_have_count(3)
    go_to(page, page.get_by_role("link", name="RunEpoch").first)
    keyboard.press("Enter")
    expect(page.get_by_role("region", name="The chosen state")).to_contain_text("RunEpoch")


@pytest.fixture(scope="module")
def hostile_job(local_stack: FaultyStack, job: dict[str, Any]) -> str:
    """A failed job whose error and whose log lines attack the pages that show them."""
    algorithm = {"name": "custom", "entry_point": "hostile_code:Hostile"}
    attacking = {**job, "algorithm": algorithm, "workers": 2}
    client = Client(connect(local_stack.endpoint_url))
    run = client.run(attacking, code=Path(hostile_code.__file__)).wait(check=False)
    assert run.failure is not None
    return run.name


@whole
@sizes
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


@whole
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
