"""Shows the attempts at a job's epochs as rows of 80 columns or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepml.cli.display import INDENT, LINE_COLUMNS, below_row, rank_notes
from stepml.cli.figures import cost, finished, main_metric, shortened, shown
from stepml.records.json_answers import json_object

if TYPE_CHECKING:
    from stepml.client import EpochAttempt, Failure
    from stepml.job.reports import EpochReport

REASON_LINES = 3
WIDTHS = (">5", ">7", "<9", ">10", ">8", ">7", ">8", "<12")


def attempts_header(attempts: Sequence[EpochAttempt]) -> str:
    """Return the table header for the rows of ``attempts``."""
    metric = next((main_metric(each.report)[0] for each in attempts if each.report), "metric")
    return _row("epoch", "attempt", "status", "loss", metric, "seconds", "cost $", "note")


def attempt_row(attempt: EpochAttempt) -> str:
    """Return the table row of an attempt."""
    report = attempt.report
    head = (str(attempt.epoch), str(attempt.number), attempt.status)
    if report is None:
        seconds = "" if attempt.seconds is None else f"{attempt.seconds:.2f}"
        return _row(*head, "", "", seconds, "", "")
    return _row(
        *head,
        shown(report.loss, 6),
        main_metric(report)[1],
        f"{report.seconds:.2f}",
        cost(report.cost_usd),
        _note(report),
    )


def reason_lines(attempt: EpochAttempt) -> list[str]:
    """Return the error and the log group of a failed attempt; no lines for others."""
    failure = attempt.failure
    if failure is None:
        return []
    lines = below_row(failure.with_rank, REASON_LINES)
    if failure.log_stream:
        lines.append(shortened(f"{INDENT}log stream {failure.log_stream}", LINE_COLUMNS))
    return lines


def attempt_document(attempt: EpochAttempt) -> dict[str, Any]:
    """Return an attempt as a JSON document."""
    report, failure = attempt.report, attempt.failure
    return {
        "epoch": attempt.epoch,
        "attempt": attempt.number,
        "redrive": attempt.redrive,
        "retry": attempt.retry,
        "name": attempt.execution.name,
        "execution_arn": attempt.execution.arn,
        "status": attempt.status,
        "started_at": attempt.started_at.isoformat(),
        "ended_at": attempt.ended_at.isoformat() if attempt.ended_at else None,
        "failure": _failure_document(failure) if failure else None,
        "loss": report.loss if report else None,
        "metrics": report.metrics if report else None,
        "seconds": report.seconds if report else attempt.seconds,
        "active_seconds": report.active_seconds if report else None,
        "cost_usd": report.cost_usd if report else None,
        "total_cost_usd": report.total_cost_usd if report else None,
        "stragglers": report.stragglers if report else None,
        "called_again": report.called_again if report else None,
        "communication_share": report.communication_share if report else None,
        "costs": report.costs if report else None,
        "quantiles": report.quantiles if report else None,
        "decision": finished(report.decision) if report else None,
        "reason": report.reason if report else None,
    }


def resumed_job(job: str) -> str:
    """Return the name of the run that the job, a JSON text, resumes."""
    source = json_object(job).get("resume_from")
    return str(source.get("job") if isinstance(source, dict) else source)


def _failure_document(failure: Failure) -> dict[str, Any]:
    return {
        "error": failure.error,
        "message": failure.message,
        "rank": failure.rank,
        "log_group": failure.log_group,
        "log_stream": failure.log_stream,
    }


def _row(*cells: str) -> str:
    row = "  ".join(f"{cell:{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
    return shortened(row.rstrip(), LINE_COLUMNS)


def _note(report: EpochReport) -> str:
    decision = [finished(report.decision)] if report.decision != "continue" else []
    return ", ".join([*decision, *rank_notes(report)])
