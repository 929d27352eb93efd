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
        with _local_aws(workplace):
            _stepml(workplace, "data", "get", "digits", "--local")
            for name, options in RUNS.items():
                _stepml(workplace, "run", str(JOB), "--name", name, *options, "--local")
            _stepml(workplace, "compare", *(f"runs/{name}" for name in RUNS), "--html")
        for name, (page, height) in PAGES.items():
            _take(workplace / page, PICTURES / f"{name}.png", height)


@contextmanager
def _local_aws(workplace: Path) -> Iterator[None]:
    with reserve_port(FIRST_PORT) as reserved:
        port = port_of(reserved)
    _stepml(workplace, "local", "up", "--port", str(port))
    try:
        yield
    finally:
        _stepml(workplace, "local", "down", "--yes")


def _stepml(workplace: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "stepml", *arguments],
        cwd=workplace,
        env={**os.environ, "STEPML_STATE_DIR": str(workplace / "state")},
        stdout=subprocess.DEVNULL,
        check=True,
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
