"""``stepml stop`` and ``stepml retry``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.errors import EXIT_CODES, LOOKING_EXIT_CODES
from stepml.cli.options import (
    RESULTS,
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
from stepml.cli.run import Out, Strict, check_directory, follow_to_end
from stepml.job.names import DEFAULT_STACK
from stepml.reports.events import started_event

if TYPE_CHECKING:
    from stepml.client import Execution, Retried


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command(
        epilog=f"{LOOKING_EXIT_CODES}\n\nExample: stepml stop covertype-20260102-101500 --local"
    )(stop)
    app.command(epilog=f"{EXIT_CODES}\n\nExample: stepml retry covertype-20260102-101500 --local")(
        retry
    )


def stop(
    execution: ExecutionName,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Stop a job; it can be resumed later.

    Running functions end at their next batch or wait.
    """
    target = Target.chosen(local, endpoint_url, stack, profile, region)
    client = target.client()
    job = client.execution(execution)
    output = Output(as_json)
    with output.working(f"stopping {job.name}"):
        stopped = client.stop(job, cause=f"by the command: stepml stop {job.name}")
    state = stopped.state
    output.document(
        {
            "job_id": job.name,
            "execution_arn": job.arn,
            "status": state.status,
            "stopped": stopped.changed,
        }
    )
    if not stopped.changed:
        output.line(f"{job.name} has already ended: {state.status}; nothing was changed")
        return
    output.line(f"stopped {job.name}")
    output.line("its functions end at their next batch or wait; finished epochs are kept")
    output.line(f"resume it: stepml retry {job.name}{target.flags}")


def retry(
    execution: ExecutionName,
    epoch: Annotated[
        int | None,
        typer.Option(metavar="N", help="Train again from this epoch on, in a new execution."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Start a new execution with this name.")
    ] = None,
    strict: Strict = False,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job and return.")] = False,
    out: Out = RESULTS,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Resume a job that failed or was stopped, after its finished epochs.

    Ctrl-C stops watching; the job continues.
    """
    target = Target.chosen(local, endpoint_url, stack, profile, region)
    client = target.client()
    job = client.execution(execution)
    check_directory(out / (name or job.name))
    output = Output(as_json, survives=not detach)
    with output.working(f"retrying {job.name}"):
        retried = client.retry(job, epoch, name)
    for line in retried_lines(job, retried):
        output.line(line)
    more = {"how": retried.how, "first_epoch": retried.epoch, "why": retried.reason}
    if detach:
        now = retried.execution
        output.json_line({**started_event(now), **more})
        output.line(f"watch it with: stepml watch {now.name}{target.flags}")
        return
    follow_to_end(client, retried.execution, target, out, output, more, strict)


def retried_lines(job: Execution, retried: Retried) -> list[str]:
    """Return lines that say how ``job`` was resumed."""
    if retried.epoch is None:
        return ["retried; all its epochs are finished, the model is written"]
    if retried.how == "redriven":
        note = "; finished epochs are not trained again" if retried.epoch > 1 else ""
        return [f"retried from epoch {retried.epoch}{note}"]
    if retried.how == "resumed":
        before = f"the epochs before it are those of {job.name}"
    else:
        before = f"with the job of {job.name}"
    return [
        f"{retried.execution.name}: a new execution, from epoch {retried.epoch} on",
        f"  {before}",
        f"  why a new one: {retried.reason}",
    ]
