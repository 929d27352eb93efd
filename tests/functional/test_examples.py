"""Every example runs unchanged, and has the documented result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stepml import datasets
from tests.support.local_stack import LocalStack
from tests.support.paths import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.json"))
# One of the large data sets has a test of its own (test_covertype.py).
SMALL = [each for each in EXAMPLES if not each.stem.startswith(("covertype", "fashion"))]


def documented() -> dict[str, list[str]]:
    """Return the cells of each example's row in docs/models.md."""
    lines = (ROOT / "docs" / "models.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows if len(row) == 4}


@pytest.fixture(scope="module")
def data(local_stack: LocalStack) -> None:
    """The data sets in the places of `stepml data get`."""
    for dataset in (datasets.DIGITS, datasets.DIABETES):
        local_stack.upload(dataset.key, datasets.get(dataset).read_bytes())


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("example", SMALL, ids=lambda path: path.stem)
def test_an_example_gives_what_the_documentation_says(
    local_stack: LocalStack, example: Path
) -> None:
    job: dict[str, Any] = json.loads(example.read_bytes())
    ended = local_stack.run(job, chooses=True)
    assert ended["status"] == "SUCCEEDED", ended
    report = ended["report"]
    assert report["warnings"] == []
    _, epochs, result = documented()[example.stem]
    name, value = result.split()
    if job.get("exchange", {}).get("pattern") == "async":
        assert report["metrics"][name] > float(value) - 0.03
        return
    assert report["epochs"] == int(epochs)
    assert report["metrics"][name] == pytest.approx(float(value), rel=0.02, abs=0.0121)


def test_every_small_example_is_documented() -> None:
    assert {each.stem for each in SMALL} <= set(documented())
