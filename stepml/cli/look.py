"""``stepml logs`` and ``stepml schema``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.errors import INTERRUPTED, LOOKING_EXIT_CODES, BadInputError
from stepml.cli.options import (
    AsJson,
    EndpointUrl,
    ExecutionName,
    Local,
    Profile,
    Region,
    StackName,
    Target,
)
from stepml.cli.output import Output
from stepml.job.names import DEFAULT_STACK
from stepml.records.errors import InvalidArgumentError

if TYPE_CHECKING:
    from stepml.client import LogLine


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command(
        epilog=f"{LOOKING_EXIT_CODES}\n\nExample: stepml logs covertype-20260102-101500 --rank 0"
    )(logs)
    app.command(epilog="Example: stepml schema > job.schema.json")(schema)


def logs(
    execution: ExecutionName,
    rank: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Only the lines of this rank.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show new lines until the job ends.")
    ] = False,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Show the log lines of a job's functions."""
    run = Target.chosen(local, endpoint_url, stack, profile, region).run(execution)
    output = Output(as_json)
    if rank is not None:
        require_rank(rank, run.state.job)
    if not follow:
        lines = run.logs(rank)
        output.document({"job_id": run.name, "lines": [dataclasses.asdict(line) for line in lines]})
        for line in lines:
            output.line(str(line), log_style(line))
        if not lines:
            whose = "" if rank is None else f" by rank {rank}"
            output.complaint(f"no log lines{whose} of {run.name}")
        return
    try:
        for line in run.follow_logs(rank):
            output.json_line(dataclasses.asdict(line))
            output.line(str(line), log_style(line))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def require_rank(rank: int, job: str) -> None:
    """Refuse a rank that the job, a JSON text, does not have."""
    from stepml.client import logs

    try:
        logs.require_rank(rank, job)
    except InvalidArgumentError as error:
        raise BadInputError(f"--{error}") from None


def schema(as_json: AsJson = False) -> None:
    """Print the JSON Schema of job files.

    It is JSON with and without --json.
    """
    from stepml.job.schema import job_schema

    del as_json
    Output(as_json=True).document(job_schema())


def log_style(line: LogLine) -> str | None:
    """Return the colour of a log line; None for the terminal's default."""
    from stepml.client.log_lines import SEVERE

    return "red" if line.level in SEVERE else None
