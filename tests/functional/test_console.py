"""The console in a real browser, as a person uses it.

``make console`` runs everything, ``make test`` one journey.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.faults.stack import FaultyStack
from tests.support.console import (
    PHONE,
    WIDE,
    RunningConsole,
    Size,
    Tab,
    chromium,
    opened_tab,
    running_console,
)

whole = pytest.mark.skipif("STEPML_WHOLE_CONSOLE" not in os.environ, reason="make console runs it")
SIZES = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])


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
def tab(browser: Browser, console: RunningConsole) -> Iterator[Tab]:
    with opened_tab(browser, console) as opened:
        yield opened


@pytest.fixture(scope="module")
def ended_job(local_stack: FaultyStack, job: dict[str, Any]) -> str:
    """A job that has ended well."""
    return str(local_stack.run(job)["name"])


@whole
@SIZES
@pytest.mark.parametrize("path", ["/"])
def test_each_view_fits_and_is_accessible(
    browser: Browser, console: RunningConsole, ended_job: str, path: str, size: Size
) -> None:
    with opened_tab(browser, console, size) as tab:
        tab.open(path)
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
