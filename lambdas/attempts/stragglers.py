"""Ranks that delay an epoch, and the time that an attempt has worked on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from msgspec.structs import replace

from lambdas.attempts.fences import was_redriven
from lambdas.environment import seconds_since
from stepml.job.parts import FunctionTimes
from stepml.job.tasks import ExecutorResult, ReducerTask

LEAST_RANKS = 3  # of two ranks, either may be the slow one
TIMES_THE_MEDIAN = 1.5  # the threshold of MapReduce systems for backup tasks
LEAST_DIFFERENCE_S = 1.0  # a cold start, or a shard read again, does not make a straggler


def with_times(
    executors: Iterable[ExecutorResult], ranks: Iterable[FunctionTimes], *, waits: bool
) -> list[ExecutorResult]:
    """Return the results of ranks, in their order, with the facts that only their times have.

    ``waits`` says that ranks wait for each other whenever they exchange.
    """
    times = {each.index: each for each in ranks}
    return [
        _completed(each, times[each.rank], waits=waits) if each.rank in times else each
        for each in sorted(executors, key=lambda result: result.rank)
    ]


def _completed(result: ExecutorResult, times: FunctionTimes, *, waits: bool) -> ExecutorResult:
    waited_s = times.parts.communication_s if waits else 0.0
    return replace(
        result,
        retries=result.retries or times.calls - 1,
        waited_seconds=result.waited_seconds or waited_s,
    )


def find_stragglers(executors: Sequence[ExecutorResult]) -> list[int]:
    """Return the ranks that worked much longer than most.

    Waiting for peers does not count as work: in flight every rank takes as long as the slowest.
    With `async` no rank waits for the slowest; waits for turns, alike for all, are counted.
    """
    work = {result.rank: result.seconds - result.waited_seconds for result in executors}
    if len(work) < LEAST_RANKS:
        return []
    usual = median(work.values())
    limit = max(TIMES_THE_MEDIAN * usual, usual + LEAST_DIFFERENCE_S)
    return sorted(rank for rank, seconds in work.items() if seconds > limit)


def attempt_seconds(task: ReducerTask, reducer_s: float) -> float:
    """Return the seconds that the attempt has worked; ``reducer_s`` is the reducer's share.

    The restart of an attempt that was redriven alone, perhaps a day later, is not known. For such
    an attempt, the times of the slowest rank and of the reducer count.
    """
    if not was_redriven(task.attempt):
        return seconds_since(task.started_at)
    slowest = max((result.seconds for result in task.executors), default=0.0)
    return round(slowest + reducer_s, 3)
