"""The notebooks of examples/notebooks, and the outputs of their cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.support.paths import ROOT

DIRECTORY = ROOT / "examples" / "notebooks"
NOTEBOOKS = sorted(DIRECTORY.glob("*.ipynb"))
LONGEST_S = 240  # of a cell


def read(path: Path) -> Any:
    """Return a notebook as it is stored."""
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def executed(path: Path, directory: Path, environment: Mapping[str, str]) -> Any:
    """Return a notebook with its outputs, after its cells have run in ``directory``."""
    notebook = read(path)
    place = {"metadata": {"path": str(directory)}}
    client = NotebookClient(notebook, timeout=LONGEST_S, kernel_name="python3", resources=place)
    client.execute(env=dict(environment))
    return notebook


def outputs_of(notebook: Any) -> Iterator[Any]:
    """Yield the outputs of all cells."""
    for cell in notebook.cells:
        yield from cell.get("outputs", ())
