"""Takes the screenshots of the documentation: ``python -m documentation.screenshots``.

Two jobs run on a local AWS of its own; Chromium shows their report and their comparison.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from documentation.pages import SCREENSHOTS
from stepml.local.ports import port_of, reserve_port

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / SCREENSHOTS
JOB = ROOT / "examples" / "digits_softmax_gradient.json"
RUNS = {
    "gradients": ("--set", "exchange.channel=redis"),
    "models": ("--set", "algorithm.name=model_averaging"),
}
# Of each picture: the page that it shows, and its height in pixels.
PAGES = {"report": ("runs/gradients/report.html", 2000), "comparison": ("compare.html", 1700)}
WIDTH = 1000
FIRST_PORT = 4700


def main() -> None:
    """Run the jobs, and write a picture of each page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stepml-screenshots-") as directory:
        workplace = Path(directory)
        with local_aws(workplace):
            stepml(workplace, "data", "get", "digits", "--local")
            for name, options in RUNS.items():
                stepml(workplace, "run", str(JOB), "--name", name, *options, "--local")
            stepml(workplace, "compare", *(f"runs/{name}" for name in RUNS), "--html")
        for name, (page, height) in PAGES.items():
            _take(workplace / page, PICTURES / f"{name}.png", height)


@contextmanager
def local_aws(workplace: Path) -> Iterator[None]:
    """Run a local AWS for the commands in a directory until the block ends."""
    with reserve_port(FIRST_PORT) as reserved:
        port = port_of(reserved)
    stepml(workplace, "local", "up", "--port", str(port))
    try:
        yield
    finally:
        stepml(workplace, "local", "down", "--yes")


def stepml(workplace: Path, *arguments: str) -> None:
    """Run a command in a directory, without its output."""
    with started(workplace, *arguments) as process:
        process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)


def started(workplace: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command in a directory."""
    return subprocess.Popen(
        [sys.executable, "-m", "stepml", *arguments],
        cwd=workplace,
        env={**os.environ, "STEPML_STATE_DIR": str(workplace / "state")},
        stdout=subprocess.PIPE,
        text=True,
    )


def _take(page: Path, picture: Path, height: int) -> None:
    subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--window-size={WIDTH},{height}", f"--screenshot={picture}", page.as_uri()),
        ],
        stderr=subprocess.DEVNULL,
        check=True,
    )
    print(picture.relative_to(ROOT))


if __name__ == "__main__":
    main()
