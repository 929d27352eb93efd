"""The notebooks of examples/notebooks run as they are stored.

``make notebooks`` runs all of them, ``make test`` the first one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.local_stack import LocalStack
from tests.support.notebooks import NOTEBOOKS, executed, outputs_of

FIRST = "first_job"
CHOSEN = [
    path for path in NOTEBOOKS if path.stem == FIRST or os.environ.get("STEPML_ALL_NOTEBOOKS")
]


@pytest.mark.timeout(900)  # the jobs of a notebook run one after another
@pytest.mark.parametrize("path", CHOSEN, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_runs_have_ended(
    local_stack: LocalStack, tmp_path: Path, path: Path
) -> None:
    own = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": local_stack.endpoint_url,
        "STEPML_STATE_DIR": str(tmp_path / "state"),
        "STEPML_CACHE_DIR": str(tmp_path / "cache"),
    }
    inherited = {name: value for name, value in os.environ.items() if name != "AWS_PROFILE"}
    notebook = executed(path, tmp_path, {**inherited, **own})
    forms = [each["data"] for each in outputs_of(notebook) if "data" in each]
    cards = [form["text/html"] for form in forms if "progressbar" in form.get("text/html", "")]
    assert cards
    assert not [card for card in cards if "● running" in card]
    assert any("image/png" in form for form in forms)
