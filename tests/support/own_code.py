"""Zip files with a user's own network, as `stepml run --code` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from stepml.packaging.user_code import packed_code


def write_code(directory: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def archive(files: Mapping[str, str]) -> bytes:
    with TemporaryDirectory() as directory:
        write_code(Path(directory), files)
        return packed_code(Path(directory)).archive
