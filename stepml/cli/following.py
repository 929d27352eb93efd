"""Watches one job on the terminal and shows its result or failure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepml.cli.display import display_for
from stepml.cli.errors import DOUBTFUL, INTERRUPTED, JOB_FAILED
from stepml.cli.options import Target, local_flag
from stepml.cli.output import Output
from stepml.cli.report import write_report
from stepml.cli.results import show_results
from stepml.cli.trackers import notifier
from stepml.client import Failure, Run, Snapshot
from stepml.job.errors import (
    DoubtfulResultError,
    InvalidCodeError,
    InvalidNetworkError,
    JobIdTakenError,
)
from stepml.records.errors import (
    AccessError,
    ExecutionNotFoundError,
    LocalAwsEndedError,
    ReportUnreadableError,
)
from stepml.reports.events import error_event

# What to do about bad rows, by the messages about them; the last one fits all others.
_ROW_HINTS = (
    (r" is text in (all|the first) \d+ rows", ""),  # the message says it; no row would be left
    (r"unless data.zero_based is true", ""),  # without these rows, others would be wrong
    (
        r"quoted fields are not supported",
        "data.quoted_newlines says that fields are quoted; false: without line ends in them",
    ),
    (
        r"column \d.*, not a number: ",
        "data.columns.types 'category' makes the values of a column levels; data.on_bad_row "
        "'skip' leaves such rows out",
    ),
    (
        r"(column|feature) \d.* a missing value",
        "data.missing 'mean', or null, fills in missing values",
    ),
    (r"", "data.on_bad_row 'skip' leaves such rows out"),
)


def follow(
    run: Run,
    target: Target,
    out: Path,
    output: Output,
    more: Mapping[str, Any],
    strict: bool = False,
) -> int:
    """Show the job until it ends, download its results, and return the exit code.

    ``more`` is added to the result in JSON. If ``strict``, warnings are an error.
    """
    try:
        last = _watched(run, output)
    except KeyboardInterrupt:
        return _show_interrupted(run, target, output)
    except ExecutionNotFoundError as error:
        _require_service(run, error)
        raise
    except (AccessError, ReportUnreadableError) as error:
        _require_service(run, error)
        output.complaint(f"{run.name} may still run: stepml watch {run.name}{target.flags}")
        raise
    if last.state.succeeded:
        return show_results(run, last, target, out, output, more, strict)
    failure = run.failure_of(last.state)
    assert failure is not None  # it ended without success
    if failure.error != DoubtfulResultError.__name__:
        _report_failure(run, failure, last, target, out, output, more)
        return JOB_FAILED
    if run.result is not None:
        return show_results(run, last, target, out, output, more, strict=True)
    # Its data are doubtful.
    _report_failure(run, failure, last, target, out, output, more)
    return DOUBTFUL


def _watched(run: Run, output: Output) -> Snapshot:
    last: Snapshot | None = None
    notify = notifier(run, output)
    with display_for(output, run.execution) as display:
        for last in run.watch():
            display.show(last)
            notify(last)
    assert last is not None  # a watch ends after a snapshot
    return last


def _require_service(run: Run, error: Exception) -> None:
    """Raise `LocalAwsEndedError` if the job is lost with the local AWS on which it ran."""
    connection = run.connection
    if connection.has_ended():
        raise LocalAwsEndedError(
            f"the local AWS at {connection.endpoint_url} has ended, and {run.name} "
            f"{_fate(run.name)}"
        ) from error


def _report_failure(
    run: Run,
    failure: Failure,
    last: Snapshot,
    target: Target,
    out: Path,
    output: Output,
    more: Mapping[str, Any],
) -> None:
    files = write_report(run, out / run.name, output)
    _show_failure(failure, last, target, output, files, more)


def _fate(name: str) -> str:
    """Return the state of a job whose local AWS has ended, and the next command, in words."""
    from stepml.local.record import read_settings

    last = read_settings()
    up = f"stepml local up{last.options}"
    if last.keep is None:
        return f"is lost with it; start both again: {up}, stepml run JOB.json"
    return f"stopped with it; go on with: {up}, stepml retry {name}{local_flag()}"


def _show_failure(
    failure: Failure,
    last: Snapshot,
    target: Target,
    output: Output,
    files: Mapping[str, Path],
    more: Mapping[str, Any],
) -> None:
    execution = last.state.execution
    if output.as_json:
        event = error_event(execution, last.state.status, failure)
        paths = {what: str(path) for what, path in files.items()}
        output.json_line({**event, "files": paths, **more})
        return
    output.complaint(str(failure))
    if hint := field_hint(failure):
        output.complaint(f"  {hint}")
    for line in place_lines(failure):
        output.complaint(f"  {line}")
    of_rank = "" if failure.rank is None else f" --rank {failure.rank}"
    output.complaint(f"look further: stepml logs {execution.name}{of_rank}{target.flags}")
    if "page" in files:
        output.complaint(f"report: {files['page']}")
    for line in next_steps(failure, execution.name, target.flags):
        output.complaint(line)


def next_steps(failure: Failure, name: str, flags: str) -> list[str]:
    """Return lines with the commands that can help after ``failure`` of the job ``name``."""
    is_of_code = failure.error in (InvalidCodeError.__name__, InvalidNetworkError.__name__)
    code = " --code PATH" if is_of_code else ""
    retry, anew = f"stepml retry {name}{flags}", f"stepml run JOB.json{code} --name OTHER{flags}"
    if failure.way_out:
        return [f"{failure.way_out}: {retry}", f"or, after correcting the job: {anew}"]
    if failure.error == JobIdTakenError.__name__:
        return [f"under another name: {anew}"]
    if failure.needs_change:
        check = [f"for every mistake at once: stepml check JOB.json{flags}"]
        cause = " or its code" if is_of_code else "" if failure.is_final else " or its data"
        return [*check * failure.is_checkable, f"after correcting the job{cause}: {anew}"]
    return [f"resume it:    {retry}"]


def field_hint(failure: Failure) -> str:
    """Return the field of the job that avoids an error whose message is only about the data."""
    if failure.error != "BadRowError":
        return ""
    return next(hint for pattern, hint in _ROW_HINTS if re.search(pattern, failure.message))


def place_lines(failure: Failure) -> list[str]:
    """Return lines with the failed rank or state and its log, as far as they are known."""
    lines = []
    who = failure.state if failure.rank is None else f"rank {failure.rank}"
    where = [who, "" if failure.epoch is None else f"in epoch {failure.epoch}"]
    if any(where):
        lines.append(" ".join(filter(None, where)))
    if failure.log_stream:
        lines.append(f"log group  {failure.log_group}")
        lines.append(f"log stream {failure.log_stream}")
    return lines


def _show_interrupted(run: Run, target: Target, output: Output) -> int:
    message = f"stopped watching; {run.name} continues, as long as its AWS runs"
    if output.as_json:
        of_job = {"job_id": run.name, "execution_arn": run.arn}
        output.error("Interrupted", message, event="error", **of_job)
        return INTERRUPTED
    output.complaint(message)
    output.complaint(f"  watch it: stepml watch {run.name}{target.flags}")
    output.complaint(f"  stop it:  stepml stop {run.name}{target.flags}")
    return INTERRUPTED
