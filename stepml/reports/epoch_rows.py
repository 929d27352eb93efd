"""The attempts at a job's epochs, and their functions, as flat rows for CSV and data frames."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from stepml.job.parts import QUANTILES, FunctionTimes

if TYPE_CHECKING:
    from stepml.job.reports import EpochReport
    from stepml.records.execution import EpochAttempt

Row = dict[str, Any]
_MEDIAN = QUANTILES.index(0.5)


def attempt_rows(attempts: Sequence[EpochAttempt]) -> list[Row]:
    """Return a row for each attempt; ``…_s`` are seconds of the median rank by part."""
    return [_attempt_row(each) for each in attempts]


def function_rows(
    attempts: Sequence[EpochAttempt], functions: Mapping[int, Sequence[FunctionTimes]]
) -> list[Row]:
    """Return a row for each function of the attempts that ended their epochs."""
    return [
        {"epoch": attempt.epoch, "attempt": attempt.number, **function_row(each)}
        for attempt in attempts
        if attempt.report is not None
        for each in functions.get(attempt.epoch, ())
    ]


def median_parts(report: EpochReport) -> dict[str, float]:
    """Return the seconds of the median rank by part; empty for reports of earlier versions."""
    return {part: values[_MEDIAN] for part, values in report.quantiles.items()}


def csv_text(rows: Sequence[Row]) -> str:
    """Return rows as CSV; the header has the names of all rows."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _attempt_row(attempt: EpochAttempt) -> Row:
    report, failure = attempt.report, attempt.failure
    return {
        "epoch": attempt.epoch,
        "attempt": attempt.number,
        "status": attempt.status,
        "started_at": attempt.started_at.isoformat(),
        "ended_at": attempt.ended_at.isoformat() if attempt.ended_at else "",
        "error": failure.with_rank if failure else "",
        **({"seconds": attempt.seconds} if report is None else report_row(report)),
    }


def report_row(report: EpochReport) -> Row:
    """Return the figures of an epoch."""
    return {
        "seconds": report.seconds,
        "active_seconds": report.active_seconds,
        "cost_usd": report.cost_usd,
        "total_cost_usd": report.total_cost_usd,
        "decision": report.decision,
        "training_loss": report.training_loss,
        "loss": report.loss,
        **report.metrics,
        "communication_share": report.communication_share,
        **{f"{part}_s": seconds for part, seconds in median_parts(report).items()},
        **{f"{kind}_usd": usd for kind, usd in report.costs.items()},
    }


def function_row(times: FunctionTimes) -> Row:
    """Return the fields of a function, those of its parts and of its traffic beside the others."""
    fields = asdict(times)
    parts, traffic = fields.pop("parts"), fields.pop("traffic")
    row = {"role": fields.pop("role"), "index": fields.pop("index"), "start": fields.pop("start")}
    of_services = {
        f"{service}_{name}": number
        for service, each in traffic.items()
        for name, number in asdict(each).items()
    }
    return {**row, **asdict(parts), **fields, **of_services}
