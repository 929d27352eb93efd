"""The epochs and the functions that a report shows, so that it stays small."""

from __future__ import annotations

from collections.abc import Sequence

from stepml.job.parts import FunctionTimes
from stepml.job.reports import EpochReport

MOST_EPOCHS = 10  # with a timeline
MOST_RANKS = 40  # in a timeline
MOST_OTHERS = 8  # mergers and the reducer
_SLOWEST = 4  # epochs, or ranks, that are chosen because they took longest


def chosen_epochs(reports: Sequence[EpochReport]) -> list[EpochReport]:
    """Return the epochs that are worth a timeline: the ends, the slowest, and those with notes."""
    if len(reports) <= MOST_EPOCHS:
        return list(reports)
    slowest = sorted(reports, key=lambda each: -each.seconds)[:_SLOWEST]
    noted = [each for each in reports if each.stragglers or each.called_again]
    wanted = [reports[0], reports[-1], *slowest, *noted, reports[1], reports[-2]]
    by_epoch = dict(list({each.epoch: each for each in wanted}.items())[:MOST_EPOCHS])
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


def _spread(functions: Sequence[FunctionTimes], most: int) -> list[FunctionTimes]:
    """Return at most that many functions at equal distances, the last one among them."""
    if len(functions) <= most:
        return list(functions)
    return [functions[number * (len(functions) - 1) // max(1, most - 1)] for number in range(most)]
