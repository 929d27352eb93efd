"""``stepml study``: a grid of jobs over the same data, with baselines, in one table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.errors import JOB_FAILED
from stepml.cli.figures import count
from stepml.cli.folding import folded
from stepml.cli.options import AsJson, EndpointUrl, Local, Profile, Region, StackName, Target
from stepml.cli.output import Output
from stepml.cli.run import check_directory
from stepml.cli.trackers import MlflowUri, TensorBoardDirectory, TrackFile, trackers
from stepml.job.names import DEFAULT_STACK

if TYPE_CHECKING:
    from stepml.client import Client
    from stepml.studies.studying import Studying

RESULTS = Path("runs")
_EXIT_CODES = (
    "Exit codes: 0 no cell has failed, 1 one has, 2 bad input, 3 the service cannot be reached, "
    "the stack is missing or this machine refuses (disk, memory), 130 Ctrl-C."
)


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(
        epilog=f"{_EXIT_CODES}\n\nExample: stepml study studies/lambdaml.toml --dry-run",
    )(study)


def study(
    file: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study: docs/studies.md.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the cells, and run none.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Run N cells at most.")
    ] = None,
    at_once: Annotated[
        int | None,
        typer.Option(
            "--at-once", min=1, max=100, metavar="N", help="Run N cells at a time; default: 1."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIRECTORY", help="Directory of the results; default: runs/NAME-study."
        ),
    ] = None,
    tensorboard: TensorBoardDirectory = None,
    mlflow: MlflowUri = None,
    track: TrackFile = None,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Run a grid of jobs, and write one table (CSV) and one page (HTML).

    A cell that has a result does not run again: after Ctrl-C, or when the study has grown, the
    same command goes on. Cells that have failed run again.
    """
    from stepml.studies.studying import Studying

    output, directory = Output(as_json, survives=True), out or RESULTS / f"{file.stem}-study"
    check_directory(directory)
    studying = Studying.of(file, directory)
    if dry_run:
        _show_cells(studying, output)
        return
    client = Target.chosen(local, endpoint_url, stack, profile, region).client()
    client.callbacks = trackers(tensorboard, mlflow, track)
    studying = studying.on(client.stack)
    try:
        _run(studying, client, at_once, limit, output)
    except KeyboardInterrupt:
        output.complaint(
            f"interrupted with {count(len(studying.left()), 'cell')} left, and a job that runs "
            "goes on: the same command continues"
        )
        raise
    finally:
        csv, page = studying.write()
    if _show_end(studying, csv, page, output):
        raise typer.Exit(JOB_FAILED)


def _run(
    studying: Studying, client: Client, at_once: int | None, limit: int | None, output: Output
) -> None:
    from stepml.studies.lines import progress_line
    from stepml.studies.table import record

    n_left = len(studying.left()[:limit])
    output.line(f"{studying.study.title}: {count(n_left, 'cell')} to run")
    for number, row in enumerate(studying.run(client, at_once, limit), start=1):
        found = {"status": row.result.status, "error": row.result.error}
        output.json_line({"event": "cell", **found, **record(row)})
        for line in folded(f"{number:3}/{n_left}  {progress_line(row)}"):
            output.line(line)


def _show_cells(studying: Studying, output: Output) -> None:
    """List the cells, and run none."""
    from stepml.studies.lines import cell_lines

    done = {cell.key for cell, result in studying.found() if result and result.is_done}
    n_refused = sum(cell.refusal is not None for cell in studying.cells)
    output.document(
        {
            "cells": [
                {
                    "part": cell.part,
                    "kind": cell.kind,
                    "job": cell.job,
                    "refusal": cell.refusal,
                    "has_result": cell.key in done,
                }
                for cell in studying.cells
            ]
        }
    )
    for line in cell_lines(studying.cells, done):
        for folded_line in folded(line):
            output.line(folded_line)
    keys = [cell.key for cell in studying.cells if cell.refusal is None]
    n_again = len(keys) - len(set(keys))
    again = f"{n_again} repeated, " if n_again else ""
    output.line(
        f"{count(len(studying.cells), 'cell')}: {n_refused} impossible, {again}{len(done)} with a "
        f"result, {len(studying.left())} to run"
    )


def _show_end(studying: Studying, csv: Path, page: Path, output: Output) -> int:
    """Show the table and where it is, and return the number of cells that have failed."""
    from stepml.studies.lines import progress_line, table_lines

    table = studying.table()
    for line in table_lines(table):
        output.line(line)
    output.line()
    for reason, number in Counter(cell.refusal for cell in table.refused).items():
        for line in folded(f"impossible, {count(number, 'cell')}: {reason}"):
            output.line(line)
    for row in table.failed:
        for line in folded(f"failed: {progress_line(row)}"):
            output.line(line)
    output.json_line(
        {
            "event": "study",
            "done": len(table.rows),
            "failed": len(table.failed),
            "left": len(table.left),
            "impossible": len(table.refused),
            "csv": str(csv),
            "html": str(page),
        }
    )
    output.pairs({"table": str(csv), "page": str(page)})
    return len(table.failed)
