"""Finds the files that StepML deploys, in the repository or in an installed wheel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]  # stepml itself
_LEFT_OUT = ("__pycache__", "storage/testing")  # folders


def resource_root() -> Path:
    """Return the directory with ``lambdas/``, ``state_machines/``, ``templates/`` and the rest.

    That is the package data of an installed wheel, else the root of the repository.
    """
    packaged = PACKAGE / "_plumbing"
    return packaged if packaged.is_dir() else PACKAGE.parent


def template_path() -> Path:
    """Return the SAM template of the whole application."""
    return resource_root() / "templates" / "template.yaml"


def constraints_path() -> Path:
    """Return pip's file with the versions of the libraries that are deployed."""
    return resource_root() / "constraints.txt"


def source_files(sources: Iterable[str]) -> dict[str, Path]:
    """Return the files of ``sources``, by their name in a package.

    Parameters
    ----------
    sources : iterable of str
        Files and folders of ours, such as ``lambdas`` or ``stepml/__init__.py``.
    """
    files: dict[str, Path] = {}
    for source in sources:
        base = PACKAGE.parent if source.startswith("stepml/") else resource_root()
        files |= {path.relative_to(base).as_posix(): path for path in _files(base / source)}
    return {name: path for name, path in files.items() if not _is_left_out(name)}


def files_below(directory: Path) -> dict[str, Path]:
    """Return the files in ``directory``, by their path from there."""
    files = {path.relative_to(directory).as_posix(): path for path in _files(directory)}
    return {name: path for name, path in files.items() if not _is_left_out(name)}


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (each for each in path.rglob("*") if each.is_file())
    else:
        yield path


def _is_left_out(name: str) -> bool:
    return any(f"/{folder}/" in f"/{name}" for folder in _LEFT_OUT)
