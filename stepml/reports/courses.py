"""The course of a run: a measure by epoch, by second of training and by dollar."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepml.job.measures import LOSS, rank_of
from stepml.job.reports import EpochReport
from stepml.reports.run_record import RunRecord


@dataclass(frozen=True, slots=True)
class Axis:
    """A measure of effort, in which runs are compared."""

    name: str  # as an option
    title: str
    effort: Callable[[EpochReport], float]  # of a run up to the end of an epoch


EPOCH = Axis("epoch", "epoch", lambda report: float(report.epoch))
# Without preparation, failed attempts and pauses.
SECOND = Axis("second", "seconds of training", lambda report: report.active_seconds)
DOLLAR = Axis("dollar", "US dollars", lambda report: report.total_cost_usd)
AXES = (EPOCH, SECOND, DOLLAR)


def axis_named(name: str) -> Axis:
    """Return the axis ``epoch``, ``second`` or ``dollar``; raise `ValueError` for other names."""
    found = {axis.name: axis for axis in AXES}
    if name not in found:
        raise ValueError(f"by: expected one of {', '.join(found)}, got {name!r}")
    return found[name]


def value_of(report: EpochReport, measure: str) -> float | None:
    """Return the loss or a metric of an epoch; None if it has no such metric."""
    return report.loss if measure == LOSS else report.metrics.get(measure)


def course(record: RunRecord, measure: str, axis: Axis) -> list[tuple[float, float]]:
    """Return a point for each finished epoch: the effort so far, and the value then."""
    found = ((axis.effort(each), value_of(each, measure)) for each in record.epochs)
    return [(effort, value) for effort, value in found if value is not None]


def best_value(record: RunRecord, measure: str) -> float | None:
    """Return the best value of all epochs, or None without any."""
    values = [value for _, value in course(record, measure, EPOCH) if math.isfinite(value)]
    return min(values, key=lambda value: rank_of(measure, value), default=None)


def first_at(record: RunRecord, measure: str, level: float) -> EpochReport | None:
    """Return the first epoch that is at least as good as ``level``, or None."""
    for report in record.epochs:
        value = value_of(report, measure)
        if value is not None and rank_of(measure, value) <= rank_of(measure, level):
            return report
    return None


def at_efforts(
    points: Sequence[tuple[float, float]], efforts: Sequence[float]
) -> list[float | None]:
    """Return the last value that a run had reached at each effort.

    Parameters
    ----------
    points : sequence of (effort, value)
        As from `course`.
    efforts : sequence of float
        In ascending order.

    Returns
    -------
    list of float or None
        None before the first value, and after the first effort at which the run had ended.
    """
    values: list[float | None] = []
    has_ended = not points
    for effort in efforts:
        reached = [value for spent, value in points if spent <= effort]
        values.append(reached[-1] if reached and not has_ended else None)
        has_ended = has_ended or len(reached) == len(points)
    return values
