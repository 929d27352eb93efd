"""The commands of the tutorial and of how-to guides, run as they stand in the pages.

``make guides`` runs all pages whose commands can run as they are, or the one in ``STEPML_GUIDE``;
``make test`` runs a short one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.documentation import run_page
from tests.support.local_stack import LocalStack
from tests.support.paths import ROOT

SHORT = "how_to/python.md"
HOW_TO = ("failed_rank", "learning_rate", "redis", "paper", "trackers", "channel_and_pattern")
ALL = [SHORT, "tutorial.md", *(f"how_to/{name}.md" for name in (*HOW_TO, "scikit_learn"))]
WANTED = os.environ.get("STEPML_GUIDE", SHORT)
PAGES = ALL if WANTED == "all" else [WANTED]


@pytest.mark.timeout(900)  # a page is a row of commands, each with its own start
@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(local_stack: LocalStack, tmp_path: Path, page: str) -> None:
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    inherited = {name: value for name, value in os.environ.items() if name != "AWS_PROFILE"}
    own = {
        "PATH": programs,
        "AWS_ENDPOINT_URL": local_stack.endpoint_url,
        "STEPML_STATE_DIR": str(tmp_path / "state"),
        "STEPML_CACHE_DIR": str(tmp_path / "cache"),
        "COLUMNS": "100",
    }
    run_page(ROOT / "docs" / page, tmp_path, {**inherited, **own})
