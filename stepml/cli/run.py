"""``stepml run`` and ``stepml watch``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepml.cli.errors import EXIT_CODES, BadInputError
from stepml.cli.job_input import JobFile, Settings, file_of, is_stream, job_given
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
from stepml.cli.own_code import CODE_HELP, sent
from stepml.cli.streams import OutputLostError
from stepml.cli.trackers import MlflowUri, TensorBoardDirectory, TrackFile, trackers
from stepml.client.repeats import MOST_REPEATS, repeated_names, repeats
from stepml.job.names import DEFAULT_STACK, new_name
from stepml.reports.events import started_event

if TYPE_CHECKING:
    from stepml.client import Client, Run

MAX_WORKERS_PER_CORE = 16  # on this machine; above it, their starts dominate a job

Strict = Annotated[bool, typer.Option("--strict", help="End with an error if there are warnings.")]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIRECTORY", help="Directory for the model and the report.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command(
        epilog=f"{EXIT_CODES}\n\nExample: stepml run examples/digits_logistic.json --local"
    )(run)
    app.command(epilog=f"{EXIT_CODES}\n\nExample: stepml watch covertype-20260102-101500 --local")(
        watch
    )


def run(
    job: JobFile,
    settings: Settings = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the run. Default: the job file's name and the time."
        ),
    ] = None,
    code: Annotated[
        Path | None,
        typer.Option(
            "--code",
            metavar="PATH",
            help=CODE_HELP,
        ),
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=MOST_REPEATS,
            help="Train N times, with another data.seed each; shows mean and deviation.",
        ),
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
    """Start a job, watch it until it ends, and download its model.

    Ctrl-C stops watching; the job continues.
    """
    from stepml.client.own_code import at_place, require_entry_points, with_own_code
    from stepml.job.job_files import checked_spec

    file, text = file_of(job), job_given(job, settings)
    chosen = name if name is not None else default_name(job)
    text, packed = with_own_code(text, code, file)
    names = [chosen] if repeat is None else repeated_names(chosen, repeat)
    spec = checked_spec(text, names, file)
    if packed is not None:
        require_entry_points(packed, spec)
    if strict:
        text = json.dumps({**json.loads(text), "strict": True})
    check_directory(out / names[0])
    target = Target.chosen(local, endpoint_url, stack, profile, region)
    output = Output(as_json, survives=not detach)
    client = target.client()
    client.callbacks = trackers(tensorboard, mlflow, track, detach)
    if packed is not None:
        text = at_place(text, sent(client, packed, output))
    if client.connection.is_local and (note := crowding_note(spec.workers, os.cpu_count() or 1)):
        output.line(note)
    if repeat is not None:
        _repeat(client, text, chosen, repeat, target, None if detach else out, output)
        return
    started = _started(client, text, chosen, target)
    if detach:
        output.json_line(started_event(started.execution))
        output.line(f"started {started.name}")
        output.line(f"watch it with: stepml watch {started.name}{target.flags}")
        return
    follow_to_end(started, target, out, output)


def watch(
    execution: ExecutionName,
    strict: Strict = False,
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
    """Watch a job until it ends, and download its model.

    Ctrl-C stops watching; the job continues.
    """
    target = Target.chosen(local, endpoint_url, stack, profile, region)
    followed = target.client().find(execution)
    check_directory(out / followed.name)
    followed.callbacks = trackers(tensorboard, mlflow, track)
    output = Output(as_json, survives=True)
    follow_to_end(followed, target, out, output, strict=strict)


def default_name(job: Path) -> str:
    """Return a run name from the job file's name and the local time."""
    return new_name("" if is_stream(job) else job.stem)


def _repeat(
    client: Client,
    text: str,
    name: str,
    count: int,
    target: Target,
    out: Path | None,
    output: Output,
) -> None:
    """Start all runs at once if ``out`` is None, else follow one after the other."""
    from stepml.cli.repeating import run_all, start_all

    runs = repeats(name, json.loads(text), count)
    if out is None:
        start_all(client, runs, target, output)
        return
    code = run_all(client, runs, target, out, output)
    _exit(code, output, f"the models are in {out}, but ")


def crowding_note(workers: int, cores: int) -> str | None:
    """Return a line on workers that far outnumber this machine's cores, or None."""
    if workers <= MAX_WORKERS_PER_CORE * cores:
        return None
    return f"note: {workers} workers share the {cores} cores of this machine and start slowly"


def _started(client: Client, job: str, name: str, target: Target) -> Run:
    try:
        return client.run(job, name)
    except KeyboardInterrupt:
        hint = f"stepml watch {name}{target.flags}"
        Output(as_json=False).complaint(f"interrupted; {name} may have started: {hint}")
        raise


def check_directory(directory: Path) -> None:
    """Refuse a directory that cannot be written to, before the job starts."""
    existing = next(each for each in (directory, *directory.parents) if each.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise BadInputError(f"--out: expected a directory to write to, got {str(existing)!r}")


def follow_to_end(
    run: Run,
    target: Target,
    out: Path,
    output: Output,
    more: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> None:
    """Watch a job until it ends, download its results, and exit with its exit code."""
    from stepml.cli.following import follow

    code = follow(run, target, out, output, more or {}, strict)
    place = out / run.name
    _exit(code, output, f"{run.name} has succeeded and its model is in {place}, but ")


def _exit(code: int, output: Output, done: str) -> None:
    """End with the exit code, or with an error that says what is ``done`` if stdout is lost."""
    if output.lost is not None and not output.lost.is_closed and code == 0:
        raise OutputLostError(output.lost.reason, done)
    if code:
        raise typer.Exit(code)
