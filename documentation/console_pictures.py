"""Takes the pictures of the console: ``python -m documentation.console_pictures``.

Jobs run on a local AWS of its own, and Chromium shows them. The pictures are in docs/pictures, as
the pages of a repository show only what is in it.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from documentation.screenshots import ROOT, local_aws, started, stepml

PICTURES = ROOT / "docs" / "pictures"
DIGITS = ROOT / "examples" / "digits_softmax_gradient.json"
CODE = Path(__file__).with_name("failing_code.py")
RUNS = {
    "digits-gradients": ("--set", "exchange.channel=redis"),
    "digits-models": ("--set", "algorithm.name=model_averaging"),
    "digits-8-workers": ("--set", "algorithm.name=model_averaging", "--set", "workers=8"),
}
FAILING = {
    "data": {"uri": "data/digits.csv", "standardise": True},
    "model": {"name": "softmax_regression"},
    "algorithm": {"name": "custom", "entry_point": "failing_code:Careless"},
    "stop": {"max_epochs": 10},
}
LONG = ("--set", "stop={}", "--set", "stop.max_epochs=400")
WIDTH, HEIGHT = 1280, 660
SCALE = 1.25  # sharp on fine screens, and still small
WAIT_MS = 120_000


@dataclass(frozen=True)
class View:
    """A picture: a view, and the part of it that is shown.

    Attributes
    ----------
    path : str
        Its address, without the host.
    ready : str
        The selector of an element that it has when it is complete.
    top : str
        The selector of the element at the upper edge; "": the page's head.
    height : int
    is_dark : bool
    """

    path: str
    ready: str
    top: str = ""
    height: int = HEIGHT
    is_dark: bool = False


IS_RUNNING = 'tr:has-text("digits-long") >> text=running'
FAILED = "/jobs/digits-own-code/epochs/4"
COMPARED = "/compare?job=digits-gradients&job=digits-models"
VIEWS = {
    "console-jobs": View("/", IS_RUNNING),
    "console-jobs-dark": View("/", IS_RUNNING, is_dark=True),
    "console-job": View("/jobs/digits-long?state=RunEpoch", "#learning", height=1150),
    "console-failure": View(FAILED, "text=Log lines of the call", height=1450),
    "console-timeline": View(
        "/jobs/digits-8-workers", '.bars:has-text("rank 7")', top="#time", height=880
    ),
    "console-compare": View(COMPARED, "text=What differs", height=980),
    "console-new": View("/new?like=digits-models", 'button:has-text("Start")', height=900),
}


def main() -> None:
    """Run the jobs, and write a picture of each view."""
    with tempfile.TemporaryDirectory(prefix="stepml-pictures-") as directory:
        workplace = Path(directory)
        with local_aws(workplace), _console(workplace) as address, _chromium() as browser:
            _run_jobs(workplace)
            for name, view in VIEWS.items():
                _write(_picture(browser, address, view), PICTURES / f"{name}.png")
            stepml(workplace, "stop", "digits-long", "--local")


def _run_jobs(workplace: Path) -> None:
    stepml(workplace, "data", "get", "digits", "--local", "--upload")
    job = workplace / "careless.json"
    job.write_text(json.dumps(FAILING))
    options = ("--local", "--detach", "--json")
    stepml(workplace, "run", str(job), "--name", "digits-own-code", "--code", str(CODE), *options)
    for name, settings in RUNS.items():
        stepml(workplace, "run", str(DIGITS), "--name", name, *settings, "--local")
    stepml(workplace, "run", str(DIGITS), "--name", "digits-long", *LONG, *options)


@contextmanager
def _console(workplace: Path) -> Iterator[str]:
    options = ("--local", "--port", "0", "--json")
    with started(workplace, "console", *options) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"].rstrip("/")
        finally:
            process.terminate()


@contextmanager
def _chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        executable = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


def _picture(browser: Browser, address: str, view: View) -> bytes:
    context = browser.new_context(
        viewport={"width": WIDTH, "height": view.height},
        device_scale_factor=SCALE,
        color_scheme="dark" if view.is_dark else "light",
        reduced_motion="reduce",
    )
    context.set_default_timeout(WAIT_MS)
    try:
        return _taken(context.new_page(), address, view)
    finally:
        context.close()


def _taken(page: Page, address: str, view: View) -> bytes:
    page.goto(address + view.path)
    expect(page.locator(view.ready).first).to_be_visible(timeout=WAIT_MS)
    expect(page.locator(".notice.is-loading:visible")).to_have_count(0, timeout=WAIT_MS)
    if view.top:
        page.locator(view.top).evaluate("(element) => element.scrollIntoView()")
    return page.screenshot()


def _write(picture: bytes, path: Path) -> None:
    """Write a picture with few colours: a page has no more, and the file is a fraction."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    # So that the colours of small signs stay, too.
    image = image.quantize(method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    print(path.relative_to(ROOT), f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
