"""``stepml report``, and the report that is written when a job has ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.errors import LOOKING_EXIT_CODES, LocalMachineError
from stepml.cli.machine import reason_of
from stepml.cli.options import (
    RESULTS,
    AsJson,
    EndpointUrl,
    Local,
    Profile,
    Region,
    StackName,
    Target,
    known_runs,
)
from stepml.cli.output import Output
from stepml.job.names import DEFAULT_STACK

if TYPE_CHECKING:
    from stepml.client import Run
    from stepml.job.reports import JobReport


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(
        epilog=f"{LOOKING_EXIT_CODES}\n\nExample: stepml report covertype-20260102-101500 --local"
    )(report)


def report(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="The job's name or ARN, the directory of its results, or latest: the newest job.",
            autocompletion=known_runs,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIRECTORY",
            help="Directory for report.html. Default: runs/ and the job's name.",
        ),
    ] = None,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Write the report on a job: curves, times of ranks, cost, attempts and settings.

    It is one file of HTML that needs no network. The job may still run.
    """
    from stepml.client.run_records import find_run
    from stepml.reports.run_page import FILE, write_run_page

    target = Target.chosen(local, endpoint_url, stack, profile, region)
    record = find_run(run, target.run)
    given = Path(run)
    directory = out or (given if given.is_dir() else RESULTS / record.job_id)
    try:
        path = write_run_page(record, directory)
    except OSError as error:
        raise LocalMachineError(
            f"the report cannot be stored as {directory / FILE}: {reason_of(error)}"
        ) from error
    output = Output(as_json)
    output.document({"job_id": record.job_id, "status": record.status, "report": str(path)})
    output.line(str(path))


def write_report(
    run: Run, directory: Path, output: Output, final: JobReport | None = None
) -> dict[str, Path]:
    """Write ``report.html`` and ``run.json`` of a job that has ended; return their paths.

    If that is impossible, say so and return no paths: the job itself is not affected.
    """
    from stepml.client.run_records import record_of
    from stepml.reports.run_page import write_run_page

    try:
        record = record_of(run, final)
        return {"page": write_run_page(record, directory), "run": record.write(directory)}
    except OSError as error:
        output.complaint(f"there is no report.html in {directory}: {reason_of(error)}")
    except Exception as error:  # not even a defect of the report changes what became of the job
        output.complaint(f"there is no report.html: {error or type(error).__name__}")
    return {}
