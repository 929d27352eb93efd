"""Finds runs by their names: in the directories of downloaded results, and in the stack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stepml.client.errors import AccessError, ExecutionNotFoundError
from stepml.job.names import LATEST
from stepml.reports.run_record import RunNotFoundError, RunRecord

if TYPE_CHECKING:
    from stepml.client import Client


def find_run(place: str, client: Callable[[], Client], results: Path = Path("runs")) -> RunRecord:
    """Return a run by the directory of its results, its name, its ARN, or ``latest``.

    Parameters
    ----------
    place : str
    client : callable
        Makes the client of the stack; only called for what is not here.
    results : Path
        The directory with the results of runs. A run with a model there is not looked up in the
        stack; one without may have gone on.

    Raises
    ------
    RunNotFoundError
        The directory has no results of a run.
    ExecutionNotFoundError
        The stack has no such run.
    AccessError
        It is not here, and the stack cannot be used.
    """
    if _is_directory(Path(place)):
        return RunRecord.of_directory(Path(place))
    here = None if place == LATEST else _downloaded(results / place)
    if here is not None and here.final is not None:
        return here
    try:
        found = client()
        return RunRecord.of_job(found, found.execution(place))
    except (AccessError, ExecutionNotFoundError) as error:
        if here is not None:
            return here
        error.args = (f"there is no directory {place!r}, and {error}",)
        raise


def _is_directory(path: Path) -> bool:
    """Return whether there is such a directory; a name may be longer than those of files."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _downloaded(directory: Path) -> RunRecord | None:
    if not _is_directory(directory):
        return None
    try:
        return RunRecord.of_directory(directory)
    except RunNotFoundError:
        return None
