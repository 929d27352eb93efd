"""The epochs and the functions that a report shows, so that it stays small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from stepml.job.parts import FunctionTimes
from stepml.job.reports import EpochReport

LEAST_EPOCHS, MOST_EPOCHS = 10, 30  # with a timeline, if the job has as many
MOST_ROWS = 400  # of all timelines
MOST_RANKS = 40  # in a timeline
MOST_OTHERS = 8  # mergers and the reducer
T = TypeVar("T")
_SLOWEST = 4  # epochs, or ranks, that are chosen because they took longest


def chosen_epochs(reports: Sequence[EpochReport]) -> list[EpochReport]:
    """Return the epochs with a timeline: all of a short job of few ranks.

    Of others the first, the last, the slowest, those with notes, and others at equal distances.
    """
    most = _most_epochs(reports)
    if len(reports) <= most:
        return list(reports)
    slowest = sorted(reports, key=lambda each: -each.seconds)[:_SLOWEST]
    noted = [each for each in reports if each.stragglers or each.called_again]
    wanted = [reports[0], reports[-1], *slowest, *noted[: most // 2], *_spread(reports, most)]
    by_epoch = dict(list({each.epoch: each for each in wanted}.items())[:most])
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def chosen_functions(
    functions: Sequence[FunctionTimes], report: EpochReport
) -> list[FunctionTimes]:
    """Return ranks with notes, the slowest, others at equal distances; then other functions."""
    ranks = [each for each in functions if each.role == "rank"]
    slowest = sorted(ranks, key=lambda each: -(each.start + each.parts.seconds))[:_SLOWEST]
    marked = {*report.stragglers, *report.called_again}
    noted = [each for each in ranks if each.index in marked][: MOST_RANKS // 2]
    noted += [each for each in slowest if each not in noted]
    names = {each.index for each in noted}
    plain = [each for each in ranks if each.index not in names]
    shown = [*noted, *_spread(plain, MOST_RANKS - len(noted))]
    others = [each for each in functions if each.role != "rank"]
    return [*sorted(shown, key=lambda each: each.index), *_spread(others, MOST_OTHERS)]


def _most_epochs(reports: Sequence[EpochReport]) -> int:
    """Return the number of timelines for which a page has room; more if they have few rows."""
    rows = max((min(MOST_RANKS, len(each.executor_seconds)) for each in reports), default=1)
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, MOST_ROWS // (rows + 1)))


def _spread(items: Sequence[T], most: int) -> list[T]:
    """Return at most that many items at equal distances, the last one among them."""
    if len(items) <= most:
        return list(items)
    return [items[number * (len(items) - 1) // max(1, most - 1)] for number in range(most)]
