"""The console in a real browser, as a person uses it.

``make console`` runs everything, ``make test`` one journey.
"""

from __future__ import annotations

import json
import os
import uuid
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from stepml.job import keys
from tests.faults.placements import Point
from tests.faults.stack import FaultyStack
from tests.support.console import (
    PHONE,
    WIDE,
    Tab,
    go_to,
)
from tests.support.local_stack import without

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


@whole
@sizes
def test_each_view_fits_and_is_accessible(tab: Tab, ended_job: str) -> None:
    for path in VIEWS:
        tab.open(path.format(job=ended_job))
        tab.fits()
        tab.is_accessible()


@whole
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
    chosen = page.get_by_role("region", name="The chosen state").get_by_role("heading", level=3)
    page.get_by_role("link", name="IsWide?:").click()
    expect(chosen).to_have_text("IsWide?")
    page.go_back()
    expect(chosen).to_have_text("TrainRank")
    page.get_by_role("button", name="Retry from epoch 3…").click()
    asked = page.get_by_role("dialog", name=f"Retry {name}?")
    expect(asked).to_contain_text("epoch 3")
    asked.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="succeeded, attempt 3 of 3")).to_be_visible()
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
