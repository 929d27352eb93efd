"""Watches a job until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from stepml.client.arguments import checked_timeout
from stepml.client.attempt_failures import epoch_child
from stepml.client.connection import is_throttled
from stepml.client.continuations import newest_continuation
from stepml.client.epochs import child_failure
from stepml.client.executions import events_after
from stepml.client.function_waits import FunctionWait
from stepml.client.run_facts import RunFacts
from stepml.job.reports import DatasetFacts, EpochReport
from stepml.records.errors import AccessError
from stepml.records.execution import Execution, ExecutionState
from stepml.records.failures import Failure
from stepml.records.history import CONTINUES, FailedTask, JobHistory, Phase

Sleep = Callable[[float], None]
MAX_PAUSE_S = 30.0  # between two requests to a service that throttles


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a job at one moment."""

    state: ExecutionState
    phase: Phase
    epochs: tuple[EpochReport, ...]  # all so far
    failed_attempts: tuple[Failure, ...]  # at epochs; each has been retried
    dataset: DatasetFacts | None = None  # None before the data are partitioned
    # The other running jobs of the stack while this one waits for functions; None if it does not.
    waits_beside: tuple[str, ...] | None = None


def watch(
    run: RunFacts,
    sleep: Sleep = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Snapshot]:
    """Yield snapshots until the job has ended; the last one is complete.

    Every execution ends: its state machine has a time limit in every state.

    Raises
    ------
    ExecutionNotFoundError
        There is no such job.
    AccessError
        The services can no longer be reached.
    """
    watcher = Watcher(run, clock)
    while True:
        snapshot = watcher.look()
        if snapshot is not None:
            yield snapshot
            if snapshot.state.ended:
                return
        sleep(watcher.pause_s)


async def until_ended(run: RunFacts, notify: Callable[[Snapshot], object]) -> None:
    """Return when the job has ended, without blocking the event loop; see `watch` for errors.

    Parameters
    ----------
    run : RunFacts
    notify : callable
        Called with every `Snapshot` of the job, in another thread.
    """
    import asyncio  # which takes long, and the command line does not need it

    watcher = Watcher(run)

    def look() -> bool:
        snapshot = watcher.look()
        if snapshot is not None:
            notify(snapshot)
        return snapshot is not None and snapshot.state.ended

    while not await asyncio.to_thread(look):
        await asyncio.sleep(watcher.pause_s)


def sleep_within(timeout_s: float | None, name: str) -> Sleep:
    """Return a sleep that ends at a time limit, and after it raises `TimeoutError`.

    Parameters
    ----------
    timeout_s : float or None
        From now on; None: no limit.
    name : str
        The job's id, for the error.
    """
    limit_s = checked_timeout(timeout_s)
    if limit_s is None:
        return time.sleep
    deadline = time.monotonic() + limit_s

    def sleep(seconds: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"{name} has not ended after {limit_s:g} seconds; it goes on")
        time.sleep(min(seconds, left_s))

    return sleep


@dataclass(slots=True)
class _Followed:
    """An execution of the job: the first one, or one that continues it."""

    execution: Execution
    history: JobHistory = field(default_factory=JobHistory)


class Watcher:
    """Looks at a job again and again.

    Attributes
    ----------
    pause_s : float
        Seconds to wait before the next look: more if the services throttle.
    """

    def __init__(self, run: RunFacts, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._first = self._newest = _Followed(run.execution)
        self._epochs: list[EpochReport] = []
        self._retried: list[FailedTask] = []
        self._failed_attempts: list[Failure] = []
        self._dataset: DatasetFacts | None = None
        self._wait = FunctionWait(run.connection, run.stack, run.name, clock)
        self.pause_s = run.connection.poll_s

    def look(self) -> Snapshot | None:
        """Return the state of the job, or None if the services throttle; see `watch` for errors."""
        try:
            snapshot = self._look()
        except AccessError as error:
            if not is_throttled(error):
                raise
            self.pause_s = min(2 * self.pause_s, MAX_PAUSE_S)
            return None
        self.pause_s = self._run.connection.poll_s
        return snapshot

    def _look(self) -> Snapshot:
        # The state is read first, so that the following reads find everything from before the end.
        state = self._run.state
        self._read_history()
        if self._needs_continuation(state):
            self._find_continuation(state)
        phase = self._phase()
        if phase.has_epochs:
            self._dataset = self._dataset or self._run.dataset
            self._read_epochs()
        self._explain_failures()
        failed, progress = tuple(self._failed_attempts), (phase, len(self._epochs))
        beside = None if state.ended else self._wait.others(self._newest.execution.arn, progress)
        return Snapshot(state, phase, tuple(self._epochs), failed, self._dataset, beside)

    def _read_history(self) -> None:
        # Only of the newest execution: the earlier ones wait for it.
        followed = self._newest
        events = events_after(
            self._run.connection, followed.execution, followed.history.last_event_id
        )
        known = len(followed.history.retried)
        followed.history.read(events)
        self._retried += followed.history.retried[known:]

    def _needs_continuation(self, state: ExecutionState) -> bool:
        history = self._newest.history
        if history.phase.state == CONTINUES:
            return True
        # A continuation that has ended while the job goes on may be replaced by a retry.
        return self._newest is not self._first and history.ended and not state.ended

    def _find_continuation(self, state: ExecutionState) -> None:
        found = newest_continuation(self._run.connection, self._run.stack, state)
        if found is not None and found != self._newest.execution:
            if self._newest.history.last_failed is not None:  # the next one retries it
                self._retried.append(self._newest.history.last_failed)
            self._newest = _Followed(found)
            self._read_history()

    def _phase(self) -> Phase:
        phase = self._newest.history.phase
        # A continuation starts with the same states as a job, but the job already trains.
        return phase if self._newest is self._first or phase.has_epochs else Phase(CONTINUES)

    def _explain_failures(self) -> None:
        for task in self._retried[len(self._failed_attempts) :]:
            child = epoch_child(self._run.name, task.cause)
            found = child and self._failure_of(child)
            self._failed_attempts.append(found or task.failure)

    def _failure_of(self, child: str) -> Failure | None:
        run = self._run
        return child_failure(run.connection, run.stack, run.name, child)

    def _read_epochs(self) -> None:
        # Continue after a report of a last epoch: it may be of a job that this one has resumed.
        while (report := self._run.epoch_report(self._next_epoch)) is not None:
            self._epochs.append(report)

    @property
    def _next_epoch(self) -> int:
        return self._epochs[-1].next_epoch if self._epochs else 1
