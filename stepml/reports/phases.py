"""The seconds of a run by what it did: preparation, epochs, unfinished attempts, the end."""

from __future__ import annotations

from datetime import datetime

from markupsafe import Markup

from stepml.records.execution import SUCCEEDED, EpochAttempt
from stepml.reports.charts import Column, bars
from stepml.reports.figures import duration
from stepml.reports.run_record import RunRecord

PREPARATION, EPOCHS, UNFINISHED = "preparation", "epochs", "unfinished attempts"
BETWEEN, END = "between epochs", "writing the model"
PHASE_TITLE = "Seconds of the run, by phase"
LEAST_SHARE = 0.001  # of the run: less is not drawn


def phase_seconds(record: RunRecord) -> dict[str, float]:
    """Return seconds by phase; together they are those of the run. Empty without attempts."""
    attempts, started = record.attempts, record.started_at
    ended = [each.ended_at for each in attempts if each.ended_at is not None]
    if started is None or not ended:
        return {}
    first, last = min(each.started_at for each in attempts), max(ended)
    good = sum(_length(each) for each in attempts if each.status == SUCCEEDED)
    vain = sum(_length(each) for each in attempts if each.status != SUCCEEDED)
    return {
        PREPARATION: _seconds(started, first),
        EPOCHS: good,
        UNFINISHED: vain,
        BETWEEN: max(0.0, _seconds(first, last) - good - vain),
        END: 0.0 if record.ended_at is None else max(0.0, _seconds(last, record.ended_at)),
    }


def phase_chart(record: RunRecord) -> Markup:
    """Return a chart of the seconds by phase; empty if they are unknown."""
    return bars(PHASE_TITLE, phase_rows(record))


def phase_rows(record: RunRecord) -> list[Column]:
    """Return a bar for the seconds of each phase, in their order."""
    seconds = phase_seconds(record)
    total = sum(seconds.values())
    return [
        Column(phase, {"seconds": length}, f"{duration(length)} ({length / total:.0%})")
        for phase, length in seconds.items()
        if length > LEAST_SHARE * total
    ]


def _length(attempt: EpochAttempt) -> float:
    return attempt.seconds or 0.0


def _seconds(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()
