"""The time of ranks by part: in each epoch on average, and of single ranks in some epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import median

from markupsafe import Markup
from msgspec.structs import asdict

from stepml.job.parts import FunctionTimes, Role
from stepml.job.reports import EpochReport
from stepml.reports.charts import Column, Series, bars, stacked_columns
from stepml.reports.choosing import MOST_RANKS, chosen_epochs, chosen_functions
from stepml.reports.epoch_rows import median_parts
from stepml.reports.epoch_table import ranks_text
from stepml.reports.figures import duration

START, COLD, RUNNING = "start", "cold start", "in the function"
EARLIER = "earlier calls"
LEAST_LOST_S = 1.0  # the pause before a retry
PARTS = {  # in the order in which a function begins with them, each with its colour
    EARLIER: "p-earlier",
    START: "p-start",
    COLD: "p-cold",
    "load": "p-load",
    "compute": "p-compute",
    "encode": "p-encode",
    "wait": "p-wait",
    "transfer": "p-transfer",
    "merge": "p-merge",
    "snapshot": "p-snapshot",
    "other": "p-other",
    RUNNING: "p-compute",
}
ORDER_TEXT = (
    "A function goes back and forth between its parts; each is drawn as one total, in the order in "
    "which they begin. Earlier calls are those that were killed, with the pauses after them."
)
ROLES: dict[Role, str] = {
    "rank": "rank {}",
    "merger": "merger of chunk {}",
    "evaluator": "evaluator of slice {}",
    "reducer": "reducer",
}


@dataclass(frozen=True, slots=True)
class Timeline:
    """The functions of one epoch."""

    report: EpochReport
    left_out: int  # ranks that have no row
    chart: Markup


def time_by_epoch(reports: Sequence[EpochReport]) -> Markup:
    """Return a chart of the time of the median rank in each epoch, by part."""
    columns = [Column(str(each.epoch), rank_parts(each)) for each in reports]
    title = "Seconds of the median rank in each epoch, by part"
    return stacked_columns(title, columns, "epoch", "seconds", PARTS)


def rank_parts(report: EpochReport) -> dict[str, float]:
    """Return the seconds of the median rank by part; without parts in earlier versions."""
    seconds = report.executor_seconds
    return median_parts(report) or ({RUNNING: median(seconds)} if seconds else {})


def part_lines(reports: Sequence[EpochReport]) -> list[Series]:
    """Return a line for each part of the time of the median rank, by epoch; the longest first."""
    found = [(float(each.epoch), rank_parts(each)) for each in reports]
    total = {part: sum(parts.get(part, 0.0) for _, parts in found) for part in PARTS}
    longest = sorted((part for part in total if total[part] > 0), key=lambda part: -total[part])
    return [
        Series(part, [(epoch, parts.get(part, 0.0)) for epoch, parts in found]) for part in longest
    ]


def timelines(
    reports: Sequence[EpochReport], functions: Mapping[int, Sequence[FunctionTimes]]
) -> list[Timeline]:
    """Return the timelines of some epochs.

    Parameters
    ----------
    functions : mapping
        The functions of epochs whose reports have none of them, by epoch.
    """
    found = []
    for report in chosen_epochs(reports):
        rows, left_out = timeline_rows(report, functions_of(report, functions))
        if rows:
            title = f"Functions of epoch {report.epoch}, seconds since its start"
            found.append(Timeline(report, left_out, bars(title, rows, "s", PARTS)))
    return found


def epoch_words(report: EpochReport) -> str:
    """Return an epoch's time, and the ranks that held it up or were called again, in words."""
    stragglers = f", stragglers: {ranks_text(report.stragglers)}" if report.stragglers else ""
    again = f", called again: {ranks_text(report.called_again)}" if report.called_again else ""
    return f"Epoch {report.epoch}: {duration(report.seconds)}{stragglers}{again}"


def functions_of(
    report: EpochReport, functions: Mapping[int, Sequence[FunctionTimes]]
) -> Sequence[FunctionTimes]:
    """Return the known functions of an epoch: its report's, or those read apart, by epoch."""
    return report.functions or functions.get(report.epoch, ())


def timeline_rows(
    report: EpochReport, functions: Sequence[FunctionTimes]
) -> tuple[list[Column], int]:
    """Return a bar for each function that is shown, and the number of ranks that have none."""
    if not functions:
        return _rows_without_parts(report)
    shown = chosen_functions(functions, report)
    n_ranks = sum(each.role == "rank" for each in shown)
    lost = earlier_seconds(functions)
    rows = [_row(each, report, lost.get((each.role, each.index), 0.0)) for each in shown]
    return rows, len(report.executor_seconds) - n_ranks


def earlier_seconds(functions: Sequence[FunctionTimes]) -> dict[tuple[Role, int], float]:
    """Return the seconds of earlier calls that left no times, by role and index.

    A function that was called again and has them in its start begins later than most others.
    """
    found = {}
    for each in functions:
        if each.calls > 1:
            lost = each.start - each.init - _usual_start(functions, each.role)
            if lost >= LEAST_LOST_S:
                found[each.role, each.index] = lost
    return found


def _usual_start(functions: Sequence[FunctionTimes], role: Role) -> float:
    starts = [each.start - each.init for each in functions if each.role == role and each.calls == 1]
    if starts:
        return max(0.0, median(starts))
    return 0.0 if role == "rank" else inf  # all others wait for the ranks


def _rows_without_parts(report: EpochReport) -> tuple[list[Column], int]:
    """Return the rows of a report of an earlier version: ranks with their time alone."""
    seconds = list(enumerate(report.executor_seconds))[:MOST_RANKS]
    rows = [
        Column(f"rank {rank}", {RUNNING: length}, _note(length, _marks(rank, report)))
        for rank, length in seconds
    ]
    return rows, len(report.executor_seconds) - len(rows)


def _row(function: FunctionTimes, report: EpochReport, lost: float) -> Column:
    name = ROLES[function.role].format(function.index)
    marks = _marks(function.index, report) if function.role == "rank" else []
    if function.is_cold:
        marks.append("cold")
    if function.calls > 1 and "called again" not in marks:
        marks.append(f"{function.calls} calls")
    seconds = function.start + function.parts.seconds
    return Column(name, _parts(function, lost), _note(seconds, marks))


def _marks(rank: int, report: EpochReport) -> list[str]:
    marks = {"straggler": report.stragglers, "called again": report.called_again}
    return [mark for mark, ranks in marks.items() if rank in ranks]


def _note(seconds: float, marks: Iterable[str]) -> str:
    return ", ".join([f"{seconds:.2f} s", *marks])


def _parts(function: FunctionTimes, lost: float) -> dict[str, float]:
    start = max(0.0, function.start - function.init - lost)
    return {EARLIER: lost, START: start, COLD: function.init, **asdict(function.parts)}
