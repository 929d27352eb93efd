"""Options of commands that follow runs: where their curves are written, live."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepml.cli.errors import BadInputError

if TYPE_CHECKING:
    from stepml.cli.output import Output
    from stepml.client import Run, Snapshot
    from stepml.tracking import Tracker

_PANEL = "Tracking"
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "15", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
TensorBoardDirectory = Annotated[
    Path | None,
    typer.Option(
        "--tensorboard",
        metavar="DIRECTORY",
        help="Write the curves for TensorBoard, live.",
        rich_help_panel=_PANEL,
    ),
]
MlflowUri = Annotated[
    str | None,
    typer.Option(
        "--mlflow",
        metavar="URI",
        help="Write curves and model to this MLflow server, live.",
        rich_help_panel=_PANEL,
    ),
]
TrackFile = Annotated[
    Path | None,
    typer.Option(
        "--track",
        metavar="FILE",
        help="Append what happens to this file, as lines of JSON.",
        rich_help_panel=_PANEL,
    ),
]


def trackers(
    tensorboard: Path | None, mlflow: str | None, track: Path | None, detach: bool = False
) -> tuple[Tracker, ...]:
    """Return the trackers that options ask for.

    Parameters
    ----------
    tensorboard, mlflow, track : Path or str, optional
        The values of the options.
    detach : bool
        Whether the job is only started: no tracker would hear of it.

    Raises
    ------
    BadInputError
        A library is missing, or a place cannot be used; no job has started.
    """
    given = {"--tensorboard": tensorboard, "--mlflow": mlflow, "--track": track}
    named = [option for option, value in given.items() if value is not None]
    if named and detach:
        raise BadInputError(
            f"{named[0]} and --detach exclude each other: a tracker writes while the job is "
            f"watched; start it with --detach, and then: stepml watch RUN {named[0]} …"
        )
    return tuple(_tracker(option, given[option]) for option in named)


def _tracker(option: str, place: Any) -> Tracker:
    from stepml.records.errors import LibraryMissingError
    from stepml.tracking import JsonLines, MLflow, TensorBoard, TrackerError

    kinds: dict[str, Callable[[Any], Tracker]] = {
        "--tensorboard": TensorBoard,
        "--mlflow": MLflow,
        "--track": JsonLines,
    }
    # Of this process alone: by default, MLflow waits for minutes until it tells of a silent server.
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        return kinds[option](place)
    except (LibraryMissingError, TrackerError) as error:
        raise BadInputError(f"{option}: {error}") from error


def notifier(run: Run, output: Output) -> Callable[[Snapshot], None]:
    """Return a function that tells the callbacks of a run, and shows once which of them fail."""
    from stepml.client.callbacks import Notifier

    def complain(text: str) -> None:
        output.json_line({"event": "tracker_failed", "job_id": run.name, "message": text})
        output.complaint(
            f"{text}; stepml watch {run.name} with the same options writes what is missing"
        )

    return Notifier(run, run.callbacks, complain)
