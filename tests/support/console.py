"""The console in a process of its own, and browser tabs in which a person uses it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.support.running_aws import WAIT_S

Theme = Literal["light", "dark"]
Size = tuple[int, int]  # width and height, in pixels
WIDE: Size = (1280, 800)
PHONE: Size = (390, 844)

# A message of the browser that is no mistake of the page, but says that the server is away.
_AWAY = re.compile(
    r"WebSocket connection|WebSocket is already in CLOSING|ERR_CONNECTION_REFUSED|net::ERR"
)


@dataclass(frozen=True)
class RunningConsole:
    """A console that a person has started.

    Attributes
    ----------
    address : str
        Of its first page, without a slash at the end.
    process : subprocess.Popen
    """

    address: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        """The port where it listens."""
        return int(self.address.rpartition(":")[2])

    def stop(self) -> tuple[int, str]:
        """End it as Ctrl-C does; return its exit code and what it has said as errors."""
        self.process.send_signal(signal.SIGINT)
        _, complaint = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, complaint


@contextmanager
def running_console(
    endpoint_url: str, directory: Path, *options: str, port: int = 0
) -> Iterator[RunningConsole]:
    """Run ``stepml console`` until the block ends; it has said that it can be opened."""
    unset = {"AWS_ENDPOINT_URL", "STEPML_LOCAL", "AWS_PROFILE"}
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "stepml", "console", f"--endpoint-url={endpoint_url}"),
            *(f"--port={port}", "--json", *options),
        ],
        env={**inherited, "STEPML_STATE_DIR": str(directory / "state")},
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said, process.communicate()
            yield RunningConsole(json.loads(said)["url"].rstrip("/"), process)
        finally:
            process.kill()


@dataclass
class Tab:
    """A tab of a browser, and what its console says.

    Attributes
    ----------
    page : Page
    address : str
        Of the console.
    complaints : list of str
        Warnings and errors of the browser, except those of a server that is away.
    """

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Open a view, and wait until it is connected and has read what it shows."""
        self.page.goto(self.address + path)
        self.settled()

    def settled(self) -> None:
        """Wait until the page shows its facts: no part of it says that it is reading."""
        expect(self.page.locator("main h1")).to_be_visible()
        expect(self.page.locator(".notice.is-loading:visible")).to_have_count(0)

    def fits(self) -> None:
        """Check that the page is no wider than the window: only parts of it may scroll."""
        widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        inner, outer = self.page.evaluate(widths)
        assert inner <= outer, f"{self.page.url}: {inner} pixels in {outer}"

    def is_accessible(self) -> None:
        """Check that axe finds nothing, neither in the light nor in the dark."""
        for theme in ("light", "dark"):
            self.page.emulate_media(color_scheme=theme)
            results = Axe().run(self.page)
            assert results.violations_count == 0, (
                f"{self.page.url}, {theme}:\n{results.generate_report()}"
            )

    def mark(self) -> None:
        """Leave a mark that goes away when the page is loaded again."""
        self.page.evaluate("window.isTheSamePage = true")

    @property
    def is_the_same_page(self) -> bool:
        """Whether the page has not been loaded again since `mark`."""
        return bool(self.page.evaluate("window.isTheSamePage === true"))

    def hear(self) -> None:
        """Note the complaints from now on."""
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, said: ConsoleMessage) -> None:
        # A page that does not exist says so with its status.
        is_absent = said.location["url"] == self.page.url and "404" in said.text
        if said.type in ("error", "warning") and not _AWAY.search(said.text) and not is_absent:
            self.complaints.append(said.text)


def go_to(page: Page, wanted: Locator, most: int = 200) -> None:
    """Press Tab until an element has the focus, as a person without a mouse does."""
    expect(wanted).to_be_visible()
    expect(wanted).to_be_enabled()
    for _ in range(most):
        page.keyboard.press("Tab")
        if wanted.evaluate("(element) => element === document.activeElement"):
            return
    focused = page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
    raise AssertionError(f"{wanted} is not reached by Tab; the focus is now at {focused}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the Chromium of this machine, which `.ci/install-caches` installs."""
    expect.set_options(timeout=WAIT_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@contextmanager
def opened_tab(
    browser: Browser, console: RunningConsole, size: Size = WIDE, theme: Theme = "light"
) -> Iterator[Tab]:
    """Open a tab of a person who has not been here before; it must have no complaints."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
    )
    context.set_default_timeout(WAIT_S * 1000)
    tab = Tab(context.new_page(), console.address)
    tab.hear()
    try:
        yield tab
    finally:
        context.close()
    assert not tab.complaints, tab.complaints
