"""Watches a job until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stepml.client.arguments import checked_timeout
from stepml.client.connection import is_throttled
from stepml.client.epoch_reports import EpochReports
from stepml.client.function_waits import FunctionWait
from stepml.client.job_events import JobEvents
from stepml.client.run_facts import RunFacts
from stepml.job.reports import DatasetFacts, EpochReport
from stepml.records.errors import AccessError
from stepml.records.execution import ExecutionState
from stepml.records.failures import Failure
from stepml.records.history import Phase

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


class Watcher:
    """Looks at a job again and again.

    Attributes
    ----------
    pause_s : float
        Seconds to wait before the next look: more if the services throttle.
    """

    def __init__(self, run: RunFacts, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._events = JobEvents(run)
        self._reports = EpochReports(run)
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
        state = self._events.read()
        phase = self._events.phase
        if phase.has_epochs:
            self._dataset = self._dataset or self._run.dataset
            self._reports.read_next()
        epochs, failed = self._reports.in_order(), self._events.failed_attempts()
        progress = (phase, len(epochs))
        beside = None if state.ended else self._wait.others(self._events.newest.arn, progress)
        return Snapshot(state, phase, epochs, failed, self._dataset, beside)
