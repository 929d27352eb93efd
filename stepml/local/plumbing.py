"""Where the AWS side of StepML lies, and which of its files go into a function."""

from __future__ import annotations

from pathlib import Path

# The Lambda task root, as design and architecture define it; what is absent is left out.
TASK_ROOT_PACKAGES = ("lambdas", "comm", "storage", "ps_server")
LIBRARY_PACKAGES = ("stepml/job", "stepml/ml")  # the part of stepml that both sides share
LIBRARY_FILES = ("stepml/__init__.py",)
PACKAGE = Path(__file__).resolve().parents[1]  # stepml itself


def resource_root() -> Path:
    """Return the directory with ``lambdas/``, ``state_machines/``, ``templates/`` and the rest.

    That is the package data of an installed wheel, else the root of the repository.
    """
    packaged = PACKAGE / "_plumbing"
    return packaged if packaged.is_dir() else PACKAGE.parent


def template_path() -> Path:
    """Return the SAM template of the whole application."""
    return resource_root() / "templates" / "template.yaml"


def task_root_files(directory: Path) -> dict[str, Path]:
    """Return the files of a function whose ``CodeUri`` is ``directory``, by their name in the zip.

    The resource root stands for the Lambda task root: its packages and the shared part of
    ``stepml``. Any other directory is taken whole.
    """
    directory = directory.resolve()
    if directory != resource_root():
        return _files_below(directory, directory)
    files: dict[str, Path] = {}
    for package in TASK_ROOT_PACKAGES:
        files |= _files_below(directory / package, directory)
    for package in LIBRARY_PACKAGES:
        files |= _files_below(PACKAGE.parent / package, PACKAGE.parent)
    return files | {name: PACKAGE.parent / name for name in LIBRARY_FILES}


def _files_below(directory: Path, base: Path) -> dict[str, Path]:
    return {
        path.relative_to(base).as_posix(): path
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
