"""Trackers: callbacks that write the curves of runs with a tracking tool, each epoch once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import RLock
from typing import TYPE_CHECKING

from stepml.client.callbacks import Callback
from stepml.tracking.facts import Parameter, parameters, tags

if TYPE_CHECKING:
    from stepml.client import Failure, Run
    from stepml.job.reports import EpochReport, JobReport
    from stepml.reports.run_record import RunRecord


class RunLog(ABC):
    """The record of one run in a tracking tool."""

    epochs: set[int]  # those that are written, also by an earlier watch

    @abstractmethod
    def describe(self, parameters: Mapping[str, Parameter], tags: Mapping[str, str]) -> None:
        """Write the fields and the tags of the job; those that are there stay as they are."""

    @abstractmethod
    def write_epoch(self, report: EpochReport, ended_at: datetime) -> None:
        """Write the numbers of an epoch, so that readers see them at once."""

    @abstractmethod
    def write_failed_attempt(self, failure: Failure) -> None:
        """Write a failed attempt at an epoch, unless it is there already."""

    @abstractmethod
    def end(self, run: Run, result: JobReport | None) -> None:
        """Write the end of the job, and its model if it has one."""


@dataclass
class _Followed:
    """A run that is watched: its log, and the epochs that are still to be written."""

    log: RunLog | None = None  # None until it could be opened
    ended_at: dict[int, datetime] = field(default_factory=dict)  # epochs before the watch
    waiting: list[tuple[EpochReport, datetime]] = field(default_factory=list)
    is_described: bool = False


class Tracker(Callback):
    """Writes runs with a tracking tool; one tracker may follow several runs, each in a thread.

    Each epoch is written once, also if several threads watch a run, or it is resumed. If writing
    fails, the next epoch writes what is missing.
    """

    def __init__(self) -> None:
        self._runs: dict[str, _Followed] = {}  # by ARN
        self._locks: dict[str, RLock] = {}

    @abstractmethod
    def open(self, run: Run, record: RunRecord) -> RunLog:
        """Return the log of a run, a new one or that of an earlier watch."""

    def on_start(self, run: Run) -> None:
        with self._lock_of(run):
            self._runs[run.arn] = followed = _Followed()
            self._log_of(run, followed)

    def on_epoch(self, run: Run, report: EpochReport) -> None:
        with self._lock_of(run):
            followed = self._runs.get(run.arn)
            if followed is None:  # another thread has written all of the run
                return
            ended_at = followed.ended_at.get(report.epoch, datetime.now(UTC))
            followed.waiting.append((report, ended_at))
            self._write_waiting(run, followed)

    def on_failed_attempt(self, run: Run, failure: Failure) -> None:
        with self._lock_of(run):
            if (followed := self._runs.get(run.arn)) is not None:
                self._log_of(run, followed).write_failed_attempt(failure)

    def on_end(self, run: Run, result: JobReport | None) -> None:
        with self._lock_of(run):
            followed = self._runs.pop(run.arn, None)
            if followed is not None:
                self._write_waiting(run, followed)
                self._log_of(run, followed).end(run, result)

    def _lock_of(self, run: Run) -> RLock:
        return self._locks.setdefault(run.arn, RLock())

    def _log_of(self, run: Run, followed: _Followed) -> RunLog:
        if followed.log is None:
            record = run.record
            followed.ended_at = _ends(record)
            followed.log = self.open(run, record)
        return followed.log

    def _write_waiting(self, run: Run, followed: _Followed) -> None:
        log = self._log_of(run, followed)
        if not followed.is_described:  # not before: now all fields are chosen
            record = run.record
            log.describe(parameters(record.spec), tags(record))
            followed.is_described = True
        while followed.waiting:
            report, ended_at = followed.waiting[0]
            if report.epoch not in log.epochs:
                log.write_epoch(report, ended_at)
                log.epochs.add(report.epoch)
            followed.waiting.pop(0)


def _ends(record: RunRecord) -> dict[int, datetime]:
    """Return when the finished epochs ended; those of a job that is resumed, at the start."""
    ends = {each.epoch: each.ended_at for each in record.attempts if each.report is not None}
    found = {epoch: ended_at for epoch, ended_at in ends.items() if ended_at is not None}
    resumed = None if record.spec is None else record.spec.resumed
    if resumed is not None and record.started_at is not None:
        taken_over = range(1, (resumed.epoch or 0) + 1)
        found = dict.fromkeys(taken_over, record.started_at) | found
    return found
