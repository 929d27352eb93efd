"""Fixtures of the tests of the command line and of its client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.moto_stack import JOB_TEXT, MotoStack, running_stack


@pytest.fixture(scope="module")
def stack() -> Iterator[MotoStack]:
    """A stack whose jobs end at once."""
    with running_stack() as running:
        yield running


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The file of a job."""
    path = tmp_path / "job.json"
    path.write_text(JOB_TEXT, encoding="utf-8")
    return path
