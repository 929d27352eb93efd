"""Looks at one job again and again for a page that stays open."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

from stepml.client.epoch_reports import EpochReports
from stepml.client.function_waits import FunctionWait
from stepml.client.job_attempts import JobAttempts
from stepml.client.job_events import JobEvents
from stepml.client.reading import in_background
from stepml.client.run_facts import RunFacts
from stepml.client.run_records import planned_at, record_at
from stepml.client.watching import Snapshot
from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job
from stepml.job.reports import DatasetFacts, EpochReport, JobReport
from stepml.job.spec import JobSpec
from stepml.records.errors import AccessError, ReportUnreadableError
from stepml.records.execution import ExecutionState
from stepml.records.failures import Failure
from stepml.records.history import Phase
from stepml.reports.run_record import RunRecord

LOOK_S = 0.3  # for a look, about


@dataclass(frozen=True, slots=True, eq=False)
class JobLook:
    """All that a page shows of a job at one moment. Without news, it is the same object.

    Attributes
    ----------
    state : ExecutionState
    phase : Phase
    record : RunRecord
        With all attempts, and the reports and failures that have been read.
    epochs : tuple of EpochReport
        All that have been read, in their order, also those taken over from another job; without
        the times of single functions, see `Run.functions_of`.
    finished : int
        The number of finished epochs.
    waits_beside : tuple of str or None
        The other running jobs of the stack while this one waits for functions.
    is_whole : bool
        Whether all has been read; if not, the next look has more, the newest first.
    """

    state: ExecutionState
    phase: Phase
    record: RunRecord
    epochs: tuple[EpochReport, ...]
    finished: int
    waits_beside: tuple[str, ...] | None
    is_whole: bool

    @property
    def snapshot(self) -> Snapshot:
        """The state as `Run.watch` yields it."""
        last = {each.epoch: each.number for each in self.record.attempts}
        retried = (each for each in self.record.attempts if each.number < last[each.epoch])
        failed = tuple(each.failure for each in retried if each.failure is not None)
        return Snapshot(
            self.state, self.phase, self.epochs, failed, self.record.dataset, self.waits_beside
        )

    def _parts(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)


class JobWatch:
    """Looks at a job; what can no longer change is read once. Several threads may use one.

    Parameters
    ----------
    run : RunFacts
    clock : callable, optional
        Returns the time in seconds.
    """

    def __init__(self, run: RunFacts, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._clock = clock
        self._events = JobEvents(run, is_brief=True)
        self._reports = EpochReports(run, with_functions=False)
        self._attempts = JobAttempts(run)
        self._wait = FunctionWait(run.connection, run.stack, run.name, clock)
        self._facts = _Facts(run)
        self._position: object = None  # of the events when the attempts were read
        self._last: JobLook | None = None
        self._looking = Lock()

    def look(self, within_s: float = LOOK_S) -> JobLook:
        """Return the present state of the job.

        Parameters
        ----------
        within_s : float
            After so many seconds no further reports are read; see `JobLook.is_whole`.

        Raises
        ------
        ExecutionNotFoundError
            There is no such job.
        AccessError
            The services cannot be reached or refuse.
        """
        with self._looking:
            look = self._look(self._clock() + within_s)
            if self._last is None or self._last._parts() != look._parts():
                self._last = look
            return self._last

    def _look(self, deadline: float) -> JobLook:
        state = self._events.read()
        phase = self._events.phase
        self._read_attempts(state)
        self._facts.read(state, phase)
        final = self._facts.final
        finished = self._finished(state, phase, final)
        is_whole = self._read_documents(finished, final, lambda: self._clock() < deadline)
        record = record_at(
            self._run,
            state,
            final,
            spec=self._facts.spec,
            attempts=self._attempts.in_order(self._reports),
            dataset=self._facts.dataset,
            failure=self._facts.failure,
        )
        beside = None if state.ended else self._beside(phase, finished)
        return JobLook(state, phase, record, self._reports.in_order(), finished, beside, is_whole)

    def _read_attempts(self, state: ExecutionState) -> None:
        """Read the attempts if there are news: each of them begins and ends with events."""
        position = (self._events.position, state.status, state.redrives)
        if position == self._position and not (self._attempts.are_open and state.ended):
            return
        ahead = in_background(self._read_ahead)
        self._attempts.read(state)
        ahead.result()
        self._position = position

    def _read_ahead(self) -> None:
        """Read the report of the first epoch that had not finished at the last look."""
        if self._last is not None and self._events.phase.has_epochs:
            with suppress(AccessError, ReportUnreadableError):  # raised if it is needed
                self._reports.read_ahead(self._last.finished + 1)

    def _finished(self, state: ExecutionState, phase: Phase, final: JobReport | None) -> int:
        if final is not None:
            return final.epochs
        resumed = _resumed_epochs(state.job) if phase.has_epochs else 0
        return max(self._attempts.last_finished, resumed)

    def _read_documents(
        self, finished: int, final: JobReport | None, in_time: Callable[[], bool]
    ) -> bool:
        if final is not None:
            self._reports.add(final.history)
        has_reports = self._reports.read_newest(finished, in_time)
        return self._attempts.explain(in_time) and has_reports

    def _beside(self, phase: Phase, finished: int) -> tuple[str, ...] | None:
        return self._wait.others(self._events.newest.arn, (phase, finished))


class _Facts:
    """The documents of a job, each read until it can no longer change."""

    def __init__(self, run: RunFacts) -> None:
        self._run = run
        self._ended: ExecutionState | None = None  # whose end has been read
        self._is_planned = False
        self.final: JobReport | None = None
        self.failure: Failure | None = None
        self.spec: JobSpec | None = None
        self.dataset: DatasetFacts | None = None

    def read(self, state: ExecutionState, phase: Phase) -> None:
        """Read what is missing."""
        if state != self._ended:
            self.final = self._run.result if state.ended else None
            self.failure = self._run.failure_of(state)
            self._ended = state if state.ended else None
        if self.final is None and not self._is_planned:
            self.spec = planned_at(self._run, state)
            self.dataset = self._run.dataset
            # From the first epoch on, nothing of it changes.
            self._is_planned = phase.has_epochs or state.ended


def _resumed_epochs(job: str) -> int:
    """Return the number of epochs that ``job`` takes from another job, if it says so."""
    with suppress(InvalidJobError):
        resumed = parse_job(job).resumed
        return 0 if resumed is None else resumed.epoch or 0
    return 0
