"""Reads the newest events of a job again and again, also those of executions that continue it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stepml.client.attempt_failures import epoch_child
from stepml.client.continuations import newest_continuation
from stepml.client.epochs import child_failure
from stepml.client.executions import events_after
from stepml.client.reading import in_background
from stepml.client.run_facts import RunFacts
from stepml.records.execution import Execution, ExecutionState
from stepml.records.failures import Failure
from stepml.records.history import CONTINUES, FailedTask, JobHistory, Phase, begins_phase


@dataclass(slots=True)
class _Followed:
    """An execution of the job: the first one, or one that continues it."""

    execution: Execution
    history: JobHistory = field(default_factory=JobHistory)


class JobEvents:
    """The state, the phase and the failed attempts of a job.

    Parameters
    ----------
    run : RunFacts
    is_brief : bool
        Whether a long history is read from its present phase on; earlier `failed_attempts` are
        unknown then.
    """

    def __init__(self, run: RunFacts, *, is_brief: bool = False) -> None:
        self._run = run
        self._is_last = begins_phase if is_brief else None
        self._first = self._newest = _Followed(run.execution)
        self._end: ExecutionState | None = None  # whose events have all been read
        self._retried: list[FailedTask] = []
        self._failed_attempts: list[Failure] = []

    def read(self) -> ExecutionState:
        """Read the new events, and return the state of the job; once it has ended, all are read."""
        state = self._read_at_once() if self._end is None else self._run.state
        if state.ended and state == self._end:
            return state
        if state.ended or self._end is not None:
            # What is read after the state has everything from before the end.
            self._take(self._new_events())
        if self._needs_continuation(state):
            self._find_continuation(state)
        self._end = state if state.ended else None
        return state

    @property
    def newest(self) -> Execution:
        """The newest execution of the job."""
        return self._newest.execution

    @property
    def position(self) -> tuple[str, int]:
        """The last event that has been read; another one is news."""
        return self._newest.execution.name, self._newest.history.last_event_id

    @property
    def phase(self) -> Phase:
        """The phase of the job."""
        phase = self._newest.history.phase
        # A continuation starts with the same states as a job, but the job already trains.
        return phase if self._newest is self._first or phase.has_epochs else Phase(CONTINUES)

    def failed_attempts(self) -> tuple[Failure, ...]:
        """Return the failures of the attempts at epochs that have been retried."""
        for task in self._retried[len(self._failed_attempts) :]:
            child = epoch_child(self._run.name, task.cause)
            found = child and self._failure_of(child)
            self._failed_attempts.append(found or task.failure)
        return tuple(self._failed_attempts)

    def _read_at_once(self) -> ExecutionState:
        """Read the state and the new events at the same time: pages show them soon."""
        events = in_background(self._new_events)
        state = self._run.state
        self._take(events.result())
        return state

    def _new_events(self) -> list[dict[str, Any]]:
        # Only of the newest execution: the earlier ones wait for it.
        followed = self._newest
        return events_after(
            self._run.connection,
            followed.execution,
            followed.history.last_event_id,
            self._is_last,
        )

    def _take(self, events: list[dict[str, Any]]) -> None:
        history = self._newest.history
        known = len(history.retried)
        history.read(events)
        self._retried += history.retried[known:]

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
            self._take(self._new_events())

    def _failure_of(self, child: str) -> Failure | None:
        run = self._run
        return child_failure(run.connection, run.stack, run.name, child)
