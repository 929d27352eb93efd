"""Notebooks are stored without outputs, and the page on notebooks lists each of them."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.support.notebooks import NOTEBOOKS, outputs_of, read
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "how_to" / "notebooks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_source(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert list(outputs_of(notebook)) == []
    assert {cell.get("execution_count") for cell in notebook.cells} == {None}
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_page_says_what_a_notebook_shows(path: Path) -> None:
    assert f"(../../examples/notebooks/{path.name})" in PAGE
