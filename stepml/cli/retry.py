"""``stepml stop`` and ``stepml retry``."""

from __future__ import annotations

from typing import Annotated

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
from stepml.reports.retry_words import KEPT, already_ended, retried_lines


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
        output.line(already_ended(run.name, state.status))
        return
    output.line(f"stopped {run.name}")
    output.line(KEPT)
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
