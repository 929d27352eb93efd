"""Watches one job on the terminal and shows its result or failure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepml.cli.display import display_for
from stepml.cli.errors import INTERRUPTED, JOB_FAILED
from stepml.cli.figures import cost, count, shown
from stepml.cli.options import Target
from stepml.cli.output import Output
from stepml.client import Client, Execution, Failure, Snapshot, watch
from stepml.client.connection import LOCAL_KEY, LOCAL_REGION, LOCAL_SECRET
from stepml.client.errors import AccessError, ReportUnreadableError
from stepml.job.reports import JobReport

# Fields of the job that would avoid an error, if its message mentions only the data.
HINTS = {
    "BadRowError": "data.on_bad_row 'skip' skips such rows; data.missing allows missing values",
}


def follow(
    client: Client,
    execution: Execution,
    target: Target,
    out: Path,
    output: Output,
    more: Mapping[str, Any],
) -> int:
    """Show the job until it ends, download its results, and return the exit code.

    ``more`` is added to the result in JSON.
    """
    try:
        last = _watched(client, execution, output)
    except KeyboardInterrupt:
        return _show_interrupted(client, execution, target, output)
    except AccessError:
        output.complaint(
            f"{execution.name} may still run: stepml watch {execution.name}{target.flags}"
        )
        raise
    if not last.state.succeeded:
        return _show_failure(client, last, target, output, more)
    _show_success(client, last, target, out, output, more)
    return 0


def _watched(client: Client, execution: Execution, output: Output) -> Snapshot:
    last: Snapshot | None = None
    with display_for(output, execution.name) as display:
        for last in watch(client, execution):
            display.show(last)
    assert last is not None  # a watch ends after a snapshot
    return last


def _show_success(
    client: Client,
    last: Snapshot,
    target: Target,
    out: Path,
    output: Output,
    more: Mapping[str, Any],
) -> None:
    execution = last.state.execution
    report = client.report(execution)
    if report is None:
        raise ReportUnreadableError(f"{execution.name} succeeded but has no report in the bucket")
    files = client.download(execution, out / execution.name)
    output.document({**_result(last, report, files), **more})
    output.line()
    output.line(f"{execution.name}: {report.decision} after {count(report.epochs, 'epoch')}")
    output.pairs(
        {
            "validation loss": shown(report.loss, 6),
            **{f"validation {name}": shown(value, 4) for name, value in report.metrics.items()},
            **_skipped(report),
            "why it ended": report.reason,
            "time": f"{report.seconds:.1f} s",
            "cost": f"$ {cost(report.history[-1].total_cost_usd)} (estimated)",
            "model": files["model"],
            "model card": files["model_card"],
            "report": files["report"],
        }
    )
    _show_where_to_look(client, execution, target, output)


def _result(last: Snapshot, report: JobReport, files: dict[str, Path]) -> dict[str, object]:
    return {
        "job_id": report.job_id,
        "execution_arn": last.state.execution.arn,
        "status": last.state.status,
        "decision": report.decision,
        "reason": report.reason,
        "epochs": report.epochs,
        "loss": report.loss,
        "metrics": report.metrics,
        "seconds": report.seconds,
        "active_seconds": report.history[-1].active_seconds,
        "cost_usd": report.history[-1].total_cost_usd,
        "kept": report.kept,
        "files": {what: str(path) for what, path in files.items()},
    }


def _show_where_to_look(
    client: Client, execution: Execution, target: Target, output: Output
) -> None:
    connection, arn = client.connection, client.stack.epoch_arn
    output.line()
    output.line("Look further:")
    output.line(f"  stepml epochs {execution.name}{target.flags}")
    output.line(f"  stepml logs {execution.name}{target.flags}")
    if connection.has_local_credentials:
        output.line(f"  export AWS_ACCESS_KEY_ID={LOCAL_KEY} AWS_SECRET_ACCESS_KEY={LOCAL_SECRET}")
        output.line(f"  export AWS_DEFAULT_REGION={LOCAL_REGION}")
    output.line(f"  {_aws(target)} stepfunctions list-executions \\")
    output.line(f"    --state-machine-arn {arn}")


def _show_failure(
    client: Client, last: Snapshot, target: Target, output: Output, more: Mapping[str, Any]
) -> int:
    execution, failure = last.state.execution, client.failure_of(last.state)
    assert failure is not None  # it ended without success
    if output.as_json:
        output.error(
            failure.error,
            failure.message,
            job_id=execution.name,
            execution_arn=execution.arn,
            status=last.state.status,
            **_place(failure),
            **more,
        )
        return JOB_FAILED
    output.complaint(str(failure))
    if hint := HINTS.get(failure.error):
        output.complaint(f"  {hint}")
    for line in place_lines(failure):
        output.complaint(f"  {line}")
    of_rank = "" if failure.rank is None else f" --rank {failure.rank}"
    output.complaint(f"look further: stepml logs {execution.name}{of_rank}{target.flags}")
    if not failure.is_final:
        output.complaint(f"resume it:    stepml retry {execution.name}{target.flags}")
    return JOB_FAILED


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


def _place(failure: Failure) -> dict[str, Any]:
    return {
        "rank": failure.rank,
        "epoch": failure.epoch,
        "state": failure.state,
        "log_group": failure.log_group,
        "log_stream": failure.log_stream,
    }


def _show_interrupted(client: Client, execution: Execution, target: Target, output: Output) -> int:
    message = f"stopped watching; {execution.name} continues, as long as its AWS runs"
    if output.as_json:
        output.error("Interrupted", message, job_id=execution.name, execution_arn=execution.arn)
        return INTERRUPTED
    output.complaint(message)
    output.complaint(f"  watch it: stepml watch {execution.name}{target.flags}")
    output.complaint(f"  stop it:  stepml stop {execution.name}{target.flags}")
    return INTERRUPTED


def _skipped(report: JobReport) -> dict[str, str]:
    """Return a line on skipped rows, if there are any."""
    data = report.dataset
    if not data.skipped_rows:
        return {}
    return {"rows left out": f"{data.skipped_rows} that did not parse, as the report shows"}


def _aws(target: Target) -> str:
    return f"aws --endpoint-url {target.endpoint_url}" if target.endpoint_url else "aws"
