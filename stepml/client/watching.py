"""Watches a job until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stepml.client.attempt_failures import epoch_child
from stepml.client.connection import is_throttled
from stepml.client.function_waits import FunctionWait
from stepml.job.reports import DatasetFacts, EpochReport
from stepml.records.errors import AccessError
from stepml.records.execution import Execution, ExecutionState
from stepml.records.failures import Failure
from stepml.records.history import CONTINUES, FailedTask, JobHistory, Phase

if TYPE_CHECKING:
    from stepml.client.client import Client

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
    client: Client,
    execution: Execution,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Snapshot]:
    """Yield snapshots until the execution has ended; the last one is complete.

    Every execution ends: its state machine has a time limit in every state.

    Raises
    ------
    ExecutionNotFoundError
        There is no such execution.
    AccessError
        The services can no longer be reached.
    """
    watcher = _Watcher(client, execution, clock)
    pause_s = client.connection.poll_s
    while True:
        try:
            snapshot = watcher.look()
            pause_s = client.connection.poll_s
        except AccessError as error:
            if not is_throttled(error):
                raise
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
        else:
            yield snapshot
            if snapshot.state.ended:
                return
        sleep(pause_s)


@dataclass(slots=True)
class _Followed:
    """An execution of the job: the first one, or one that continues it."""

    execution: Execution
    history: JobHistory = field(default_factory=JobHistory)


class _Watcher:
    def __init__(self, client: Client, execution: Execution, clock: Callable[[], float]) -> None:
        self._client = client
        self._execution = execution
        self._first = self._newest = _Followed(execution)
        self._epochs: list[EpochReport] = []
        self._retried: list[FailedTask] = []
        self._failed_attempts: list[Failure] = []
        self._dataset: DatasetFacts | None = None
        self._wait = FunctionWait(client.connection, client.stack, execution.name, clock)

    def look(self) -> Snapshot:
        # The state is read first, so that the following reads find everything from before the end.
        state = self._client.describe(self._execution)
        self._read_history()
        if self._needs_continuation(state):
            self._find_continuation(state)
        phase = self._phase()
        if phase.has_epochs:
            self._dataset = self._dataset or self._client.dataset_facts(self._execution)
            self._read_epochs()
        self._explain_failures()
        failed, progress = tuple(self._failed_attempts), (phase, len(self._epochs))
        beside = None if state.ended else self._wait.others(self._newest.execution.arn, progress)
        return Snapshot(state, phase, tuple(self._epochs), failed, self._dataset, beside)

    def _read_history(self) -> None:
        # Only of the newest execution: the earlier ones wait for it.
        followed = self._newest
        events = self._client.events_after(followed.execution, followed.history.last_event_id)
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
        found = self._client.newest_continuation(state)
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
            child = epoch_child(self._execution.name, task.cause)
            found = child and self._client.failure_of_attempt(self._execution, child)
            self._failed_attempts.append(found or task.failure)

    def _read_epochs(self) -> None:
        # Continue after a report of a last epoch: it may be of a job that this one has resumed.
        while (report := self._client.epoch_report(self._execution, self._next_epoch)) is not None:
            self._epochs.append(report)

    @property
    def _next_epoch(self) -> int:
        return self._epochs[-1].next_epoch if self._epochs else 1
