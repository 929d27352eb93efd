"""The table of epochs in the report on a run, and the attempts that did not succeed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stepml.job.reports import EpochReport
from stepml.reports.figures import cost, count, main_metric, shown
from stepml.reports.run_record import RunRecord

MOST_ROWS = 200
MOST_FAILED_ROWS = 100
NOTE = "note"  # the column of text


def epoch_values(record: RunRecord) -> dict[str, Any]:
    """Return the values of the template for epochs and attempts."""
    reports, failed = record.epochs, record.failed_attempts
    columns = epoch_columns(reports)
    return {
        "epochs": [[cell(each) for cell in columns.values()] for each in _ends(reports)],
        "epochs_header": list(columns),
        "epochs_title": _epochs_title(reports),
        "attempts_text": attempts_text(record),
        "failed": [
            [
                str(each.epoch),
                str(each.number),
                each.status.lower(),
                each.failure.with_rank if each.failure is not None else "",
            ]
            for each in failed[:MOST_FAILED_ROWS]
        ],
    }


def _ends(reports: Sequence[EpochReport]) -> list[EpochReport]:
    if len(reports) <= MOST_ROWS:
        return list(reports)
    half = MOST_ROWS // 2
    return [*reports[:half], *reports[-half:]]


def _epochs_title(reports: Sequence[EpochReport]) -> str:
    left_out = len(reports) - MOST_ROWS
    if left_out <= 0:
        return f"All {len(reports)} epochs" if len(reports) > 1 else "The epoch"
    return f"{len(reports)} epochs, without {left_out} in the middle; history.jsonl has them"


def epoch_columns(reports: Sequence[EpochReport]) -> dict[str, Callable[[EpochReport], str]]:
    """Return the columns of the table of epochs: header and cell; some runs lack some of them."""
    metric = next((main_metric(each)[0] for each in reports), "")
    columns: dict[str, Callable[[EpochReport], str]] = {
        "epoch": lambda each: str(each.epoch),
        "loss": lambda each: shown(each.loss, 6),
        "training loss": lambda each: shown(each.training_loss, 6),
    }
    if metric:
        columns[metric] = lambda each: main_metric(each)[1]
    columns["seconds"] = lambda each: f"{each.seconds:.2f}"
    if any(each.communication_share is not None for each in reports):
        columns["communication"] = lambda each: f"{each.communication_share or 0.0:.0%}"
    return {**columns, "$": lambda each: cost(each.cost_usd), NOTE: _notes}


def _notes(report: EpochReport) -> str:
    notes = [
        "" if report.decision == "continue" else report.reason,
        f"stragglers: {ranks_text(report.stragglers)}" if report.stragglers else "",
        f"called again: {ranks_text(report.called_again)}" if report.called_again else "",
    ]
    return "; ".join(filter(None, notes))


def attempts_text(record: RunRecord) -> str:
    """Return how many attempts the epochs of a run took, in words."""
    attempts, failed = record.attempts, record.failed_attempts
    if not attempts:
        return "The attempts are unknown here: this directory has no run.json."
    taken = min(each.epoch for each in attempts) - 1
    before = f" The first {count(taken, 'epoch')} came from another run." if taken else ""
    if not failed:
        return f"Each epoch succeeded at its first attempt.{before}"
    n_epochs = len({each.epoch for each in attempts})
    return (
        f"{count(len(attempts), 'attempt')} at {count(n_epochs, 'epoch')}; "
        f"{len(failed)} of them did not succeed.{before}"
    )


def ranks_text(ranks: Sequence[int]) -> str:
    """Return ranks for a note: ``ranks 1, 2``."""
    more = f" and {len(ranks) - 5} more" if len(ranks) > 5 else ""
    return f"rank{'' if len(ranks) == 1 else 's'} {', '.join(map(str, ranks[:5]))}{more}"
