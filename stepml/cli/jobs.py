"""``stepml jobs``: the jobs of a stack, and the objects that they have left."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.deleting import Yes, delete_all
from stepml.cli.errors import LOOKING_EXIT_CODES, BadInputError
from stepml.cli.job_table import job_lines
from stepml.cli.options import (
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
from stepml.client.job_cells import job_row
from stepml.job.names import DEFAULT_STACK
from stepml.job.spec_base import listed
from stepml.records.errors import ExecutionNotFoundError
from stepml.reports.figures import LOCAL_BASIS

if TYPE_CHECKING:
    from stepml.client import Run
    from stepml.client.stored import Stored

app = typer.Typer(
    help="List the jobs of a stack, newest first.",
    invoke_without_command=True,
    epilog=f"{LOOKING_EXIT_CODES}\n\nExample: stepml jobs --status FAILED --local",
)


class Status(StrEnum):
    """The statuses of an execution."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    ABORTED = "ABORTED"


@app.callback()
def jobs(
    context: typer.Context,
    status: Annotated[
        Status | None,
        typer.Option(
            case_sensitive=False,
            metavar="STATUS",
            help=f"Only jobs that are {listed(tuple(each.lower() for each in Status))}.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Only the newest N jobs.")] = 20,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """List the jobs of a stack, newest first.

    Of each job: name, status, finished epochs, duration and cost; then model, algorithm, channel,
    workers and metric. On a wide terminal, all of it is on one line.
    """
    if context.invoked_subcommand is not None:
        return
    client = Target.chosen(local, endpoint_url, stack, profile, region).client()
    found = client.jobs(limit, None if status is None else status.value)
    output = Output(as_json)
    output.document({"jobs": [job_row(each) for each in found]})
    if not found:
        which = "" if status is None else f" that are {status.value}"
        output.line(f"no jobs{which} in the stack {client.stack.name}")
        return
    for line, style in job_lines(found, output.width):
        output.line(line, style)
    if client.connection.is_local:
        output.line(f"cost: {LOCAL_BASIS}")


@app.command(
    epilog=f"{LOOKING_EXIT_CODES}\n\nExample: stepml jobs rm covertype-20260102-101500 --local"
)
def rm(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="The jobs' names or ARNs; latest is the newest job.",
            autocompletion=known_runs,
        ),
    ],
    yes: Yes = False,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Delete what jobs have left in the bucket: models, reports, states, plans.

    Data sets stay, and so do the executions in Step Functions, so the names stay taken.
    """
    client = Target.chosen(local, endpoint_url, stack, profile, region).client()
    found = [_left_by(run) for run in dict.fromkeys(map(client.named, names))]
    loss = "models, reports and states are lost, and the jobs can no longer be retried or resumed"
    delete_all(client, found, loss, yes, Output(as_json))


def _left_by(run: Run) -> Stored:
    """Return the objects of a job that has ended, or refuse."""
    found = run.stored
    try:
        ended = run.state.ended
    except ExecutionNotFoundError:  # Step Functions forgets an execution after 90 days
        if not found.n_objects:
            raise
    else:
        if not ended:
            raise BadInputError(f"{run.name} is running; stop it first: stepml stop {run.name}")
        if not found.n_objects:
            raise BadInputError(f"{run.name} has left nothing in the bucket")
    return found
