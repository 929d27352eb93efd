"""The head of an attempt at an epoch: its status in words, its most important numbers."""

from __future__ import annotations

from stepml.records.execution import EpochAttempt
from stepml.reports.figures import LOCAL_BASIS, cost, duration, main_metric, on_its_own
from stepml.reports.run_head import judged_rows
from stepml.reports.run_record import RunRecord
from stepml.reports.status_words import status_word

Tile = tuple[str, str, str]  # name, value, note


def attempt_words(attempt: EpochAttempt, n_attempts: int) -> str:
    """Return the status of an attempt: ``failed, attempt 1 of 2``."""
    return f"{status_word(attempt.status)}, attempt {attempt.number} of {n_attempts}"


def attempt_tiles(record: RunRecord, attempt: EpochAttempt) -> list[Tile]:
    """Return the most important numbers of an attempt; few of one without a report."""
    report = attempt.report
    if report is None:
        seconds = attempt.seconds
        return [] if seconds is None else [("time", duration(seconds), "")]
    name, value = main_metric(report)
    rows = judged_rows(record)
    found = [
        (f"{rows} loss", on_its_own(report.loss, 6), f"best {on_its_own(report.best_loss, 6)}")
    ]
    found += [(f"{rows} {name}", value, "")] if name else []
    basis = LOCAL_BASIS if record.is_local else "estimated"
    found.append(("time", duration(report.seconds), ""))
    found.append(("cost", f"$\N{NO-BREAK SPACE}{cost(report.cost_usd)}", basis))
    if report.communication_share is not None:
        found.append(("communication", f"{report.communication_share:.0%}", "of the ranks' time"))
    return found
