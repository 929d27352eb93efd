"""Ranks that keep an epoch waiting, and how long an attempt has worked on it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from lambdas.environment import seconds_since
from lambdas.fences import was_redriven
from stepml.job.tasks import ExecutorResult, ReducerTask

LEAST_RANKS = 3  # of two, either may be the slow one
TIMES_THE_MEDIAN = 1.5  # as MapReduce systems choose whom to start a second time
LEAST_DIFFERENCE_S = 1.0  # a cold start, or a shard read anew, makes nobody a straggler


def find_stragglers(executors: Sequence[ExecutorResult]) -> list[int]:
    """Return the ranks whose own work took much longer than that of most.

    Waiting for others is no work: in flight every rank takes as long as the slowest. With `async`
    nobody waits for the slowest, and all wait alike for their turns, which is left in.
    """
    work = {result.rank: result.seconds - result.waited_seconds for result in executors}
    if len(work) < LEAST_RANKS:
        return []
    usual = median(work.values())
    limit = max(TIMES_THE_MEDIAN * usual, usual + LEAST_DIFFERENCE_S)
    return sorted(rank for rank, seconds in work.items() if seconds > limit)


def attempt_seconds(task: ReducerTask, reducer_s: float) -> float:
    """Return how long the attempt has worked until now; the reducer, for ``reducer_s``.

    Of one that was redriven by itself, perhaps a day later, nobody knows when it went on: there it
    is the slowest rank's time and the reducer's.
    """
    if not was_redriven(task.attempt):
        return seconds_since(task.started_at)
    slowest = max((result.seconds for result in task.executors), default=0.0)
    return round(slowest + reducer_s, 3)
