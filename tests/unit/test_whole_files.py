"""A file is whole at any time: a write that fails leaves the one before, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepml.whole_files import write_whole


def test_a_write_replaces_a_file(tmp_path: Path) -> None:
    for content in (b"before", b"after", b""):
        write_whole(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    place = tmp_path / "taken"
    place.mkdir()
    with pytest.raises(OSError, match="taken"):
        write_whole(place, b"content")
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]
