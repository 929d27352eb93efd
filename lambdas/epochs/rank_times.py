"""The times of a rank in all calls of its Task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lambdas.attempts.costs import Invocation
from lambdas.attempts.times import times_of
from lambdas.epochs.runs import RankRun
from lambdas.job_store.entries import Entry
from lambdas.job_store.marks import PausedTimes
from lambdas.logs import best_effort
from stepml.job.errors import ExecutorPausedError, WaitTimeoutError
from stepml.job.parts import FunctionTimes, together


@dataclass(frozen=True, slots=True)
class RankTimes:
    """The times of one rank in an attempt."""

    invocation: Invocation
    run: RankRun

    @contextmanager
    def kept_if_called_again(self) -> Iterator[None]:
        """Keep the times of this call if it ends in vain, and the Task calls the rank again."""
        try:
            yield
        except (ExecutorPausedError, WaitTimeoutError):
            with best_effort("keep the times", job_id=self.run.task.job_id):
                self._keep()
            raise

    def of_all_calls(self, cost_usd: float) -> FunctionTimes:
        """Return the times of all calls but those that were killed.

        ``cost_usd`` is the cost in the call's result.
        """
        task = self.run.task
        last = times_of(self.invocation, task, "rank", task.rank, cost_usd)
        before = self._entry.find_whole() if task.retries else None
        if before is None or before.attempt != task.attempt:
            return last
        return together(before.times, last)

    def _keep(self) -> None:
        task = self.run.task
        self._entry.save(PausedTimes(task.attempt, self.of_all_calls(0.0)))
        if self.run.store.report(task.epoch).exists():
            self._entry.delete()  # of a late copy: the epoch is over and has been cleared

    @property
    def _entry(self) -> Entry[PausedTimes]:
        task = self.run.task
        return self.run.store.paused_times(task.epoch, task.rank)
