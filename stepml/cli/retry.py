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
from stepml.cli.trackers import MlflowUri, TensorBoardDirectory, TrackFile, trackers
from stepml.job.names import DEFAULT_STACK
from stepml.reports.events import started_event

if TYPE_CHECKING:
    from stepml.client import Retried


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
    run = target.run(execution)
    output = Output(as_json)
    with output.working(f"stopping {run.name}"):
        stopped = run.stop(cause=f"by the command: stepml stop {run.name}")
    state = stopped.state
    output.document(
        {
            "job_id": run.name,
            "execution_arn": run.arn,
            "status": state.status,
            "stopped": stopped.changed,
        }
    )
    if not stopped.changed:
        output.line(f"{run.name} has already ended: {state.status}; nothing was changed")
        return
    output.line(f"stopped {run.name}")
    output.line("its functions end at their next batch or wait; finished epochs are kept")
    output.line(f"resume it: stepml retry {run.name}{target.flags}")


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
    tensorboard: TensorBoardDirectory = None,
    mlflow: MlflowUri = None,
    track: TrackFile = None,
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
    run = target.run(execution)
    check_directory(out / (name or run.name))
    run.callbacks = trackers(tensorboard, mlflow, track, detach)
    output = Output(as_json, survives=not detach)
    with output.working(f"retrying {run.name}"):
        now = run.retry(epoch, name)
    retried = now.retried
    assert retried is not None  # `retry` has returned it
    for line in retried_lines(run.name, retried):
        output.line(line)
    more = {"how": retried.how, "first_epoch": retried.epoch, "why": retried.reason}
    if detach:
        output.json_line({**started_event(now.execution), **more})
        output.line(f"watch it with: stepml watch {now.name}{target.flags}")
        return
    follow_to_end(now, target, out, output, more, strict)


def retried_lines(job: str, retried: Retried) -> list[str]:
    """Return lines that say how the run named ``job`` was resumed."""
    if retried.epoch is None:
        return ["retried; all its epochs are finished, the model is written"]
    if retried.how == "redriven":
        note = "; finished epochs are not trained again" if retried.epoch > 1 else ""
        return [f"retried from epoch {retried.epoch}{note}"]
    if retried.how == "resumed":
        before = f"the epochs before it are those of {job}"
    else:
        before = f"with the job of {job}"
    return [
        f"{retried.execution.name}: a new execution, from epoch {retried.epoch} on",
        f"  {before}",
        f"  why a new one: {retried.reason}",
    ]
