"""The attempts at a run's epochs, and the functions of these, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stepml.job.parts import FunctionTimes, Parts, Role
from stepml.records.execution import SUCCEEDED, EpochAttempt
from stepml.reports.epoch_table import NOTE, epoch_columns
from stepml.reports.figures import cost
from stepml.reports.status_words import status_word
from stepml.reports.tables import Table, TableRow
from stepml.reports.timelines import EARLIER, ROLES, earlier_seconds

FUNCTION, COLD = "function", "*"
LEAST_S = 0.0005  # of a part that is shown


def attempt_table(attempts: Sequence[EpochAttempt]) -> Table:
    """Return a row for each attempt; the note of one without a report is its error or status."""
    columns = epoch_columns([each.report for each in attempts if each.report is not None])
    header = ["epoch", "attempt", *(name for name in columns if name != "epoch")]
    rows = []
    for attempt in attempts:
        report = attempt.report
        found = (
            {name: cell(report) for name, cell in columns.items()} if report else _ended(attempt)
        )
        cells = {**found, "epoch": str(attempt.epoch), "attempt": str(attempt.number)}
        rows.append(TableRow([cells.get(name, "") for name in header], _colour(attempt)))
    return Table(header, rows, frozenset({NOTE}))


def function_table(functions: Mapping[int, Sequence[FunctionTimes]]) -> Table:
    """Return a row for each function of each epoch: its seconds by part, its calls and cost."""
    every = [each for found in functions.values() for each in found]
    parts = [
        name
        for name in Parts.__struct_fields__
        if any(getattr(each.parts, name) >= LEAST_S for each in every)
    ]
    lost = {epoch: earlier_seconds(found) for epoch, found in functions.items()}
    earlier = [EARLIER] if any(lost.values()) else []
    rows = [
        TableRow(
            _function_cells(epoch, each, parts, lost[epoch] if earlier else None),
            "note" if each.calls > 1 else "",
        )
        for epoch, found in functions.items()
        for each in found
    ]
    header = ["epoch", FUNCTION, *earlier, "start", *parts, "seconds", "calls", "$"]
    return Table(header, rows, frozenset({FUNCTION}))


def _ended(attempt: EpochAttempt) -> dict[str, str]:
    seconds = "" if attempt.seconds is None else f"{attempt.seconds:.2f}"
    return {"seconds": seconds, NOTE: note_of(attempt)}


def note_of(attempt: EpochAttempt) -> str:
    """Return the error of an attempt that has no report, or its status."""
    status = "" if attempt.status == SUCCEEDED else status_word(attempt.status)
    return status if attempt.failure is None else attempt.failure.with_rank


def _colour(attempt: EpochAttempt) -> str:
    if attempt.failure is not None:
        return "bad"
    return "" if attempt.status == SUCCEEDED else "note"


def _function_cells(
    epoch: int,
    times: FunctionTimes,
    parts: Sequence[str],
    lost: Mapping[tuple[Role, int], float] | None,
) -> list[str]:
    earlier_s = (lost or {}).get((times.role, times.index), 0.0)
    return [
        str(epoch),
        ROLES[times.role].format(times.index),
        *([] if lost is None else [_seconds(earlier_s)]),
        _seconds(times.start - earlier_s) + (COLD if times.is_cold else ""),
        *(_seconds(getattr(times.parts, name)) for name in parts),
        f"{times.start + times.parts.seconds:.3f}",
        str(times.calls),
        cost(times.cost_usd),
    ]


def _seconds(value: float) -> str:
    return "" if value < LEAST_S else f"{value:.3f}"
