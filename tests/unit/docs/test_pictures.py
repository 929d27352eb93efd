"""The pictures of the state machines are those of their definitions."""

from __future__ import annotations

from pathlib import Path

import pytest

from documentation.graphs.__main__ import pictures


@pytest.mark.parametrize(("path", "text"), pictures().items(), ids=lambda each: Path(each).name[:9])
def test_pictures_are_up_to_date(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run: make pictures"
