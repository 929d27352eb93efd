"""The times and the traffic of one call of a function."""

from __future__ import annotations

from lambdas.attempts.costs import DIGITS, Invocation
from lambdas.attempts.fences import was_redriven
from lambdas.environment import seconds_since
from stepml.job.parts import FunctionTimes, Role
from stepml.job.tasks import EvaluationTask, ExecutorTask, MergerTask, ReducerTask

_DIGITS = 4  # of seconds
Attempt = EvaluationTask | ExecutorTask | MergerTask | ReducerTask


def times_of(
    invocation: Invocation, task: Attempt, role: Role, index: int, cost_usd: float
) -> FunctionTimes:
    """Return the times of a call so far.

    Parameters
    ----------
    invocation : Invocation
    task : task of an attempt
    role : {"rank", "merger", "evaluator", "reducer"}
    index : int
        The rank, chunk or slice; 0 for the reducer.
    cost_usd : float
        The cost in the call's result.
    """
    call = invocation.call
    # An attempt that was redriven alone has the start time of its first run, perhaps a day ago.
    since = task.entered_at if was_redriven(task.attempt) else task.started_at
    return FunctionTimes(
        role,
        index,
        start=round(max(0.0, seconds_since(since) - call.seconds), _DIGITS) if since else 0.0,
        parts=call.stopwatch.parts(),
        is_cold=call.init_s > 0,
        init=round(call.init_s, _DIGITS),
        calls=1 + task.retries,
        cost_usd=cost_usd,
        requests_usd=round(invocation.storage.cost_usd, DIGITS),
        lost_usd=round(call.owed_usd + invocation.retried_usd, DIGITS),
        traffic=invocation.traffic,
    )
