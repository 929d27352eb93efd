"""Fences: AWS ends executions but not their functions, so functions check whether theirs has ended.

The job's fence is a moment: attempts that began before it are over, as the job has ended. Beside
it, each attempt whose own execution has ended has a fence: other attempts may go on. A damaged
fence counts as absent: at worst, functions work in vain.

A job that has ended may be redriven before everything of its earlier part has been cleared. So each
attempt that is not the first at its epoch leaves a sign before it exchanges anything, and a
function that clears behind an end looks for a later sign first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from lambdas.job_store import JobStore
from lambdas.job_store.entries import Entry
from lambdas.job_store.marks import Resumed
from stepml.job.errors import AttemptStoppedError
from stepml.job.reports import Fence
from storage.base import Buffer


class Attempted(Protocol):
    """A task that belongs to an attempt at an epoch."""

    @property
    def job_id(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def attempt(self) -> str: ...
    @property
    def started_at(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Fences:
    """The fences that end one attempt."""

    store: JobStore
    task: Attempted

    @property
    def keys(self) -> list[str]:
        """The keys of all fences of this attempt."""
        return [each.key for each in self._entries]

    def has_job_ended(self, found: Mapping[str, Buffer]) -> bool:
        """Return whether the job has ended since the attempt began, and does not go on.

        ``found`` is the result of loading `keys`.
        """
        fence = self.store.fence.read_whole(found)
        return fence is not None and self._is_over(fence) and not goes_on(self.store, fence.until)

    def error(self, found: Mapping[str, Buffer]) -> AttemptStoppedError | None:
        """Return the error that ends the attempt, or None; ``found`` as for `has_job_ended`."""
        for entry in self._entries:
            fence = entry.read_whole(found)
            if fence is not None and self._is_over(fence):
                return AttemptStoppedError(
                    f"the execution {fence.execution} ended ({fence.status}) at {fence.until}; "
                    f"this attempt, begun at {self.task.started_at}, is over with it"
                )
        return None

    def require_open(self, found: Mapping[str, Buffer]) -> None:
        """Raise `AttemptStoppedError` if the attempt is over; ``found`` as for `has_job_ended`."""
        if error := self.error(found):
            raise error

    def begin(self, found: Mapping[str, Buffer]) -> None:
        """Raise `AttemptStoppedError` if the attempt is over, or leave a sign that the job goes on.

        ``found`` as for `has_job_ended`. The first attempt at an epoch leaves none, unless the job
        has ended before.
        """
        self.require_open(found)
        if self.store.fence.key not in found and _is_first(self.task.attempt):
            return
        # An attempt that was redriven alone reports its first start time.
        is_late = was_redriven(self.task.attempt)
        mine = Resumed(datetime.now(UTC).isoformat() if is_late else self.task.started_at)
        self.store.resumed.replace(mine, unless=lambda last: moment(last.at) >= moment(mine.at))

    def look(self) -> None:
        """Load the fences; then as `begin`."""
        self.begin(self.store.storage.load_many(self.keys))

    def comes_too_late(self) -> bool:
        """Return whether the value just written to the channel is useless and nobody clears it.

        The end of an epoch, or of a job, is published before its exchange is cleared. So after a
        write, either this is true or the value will be cleared.
        """
        report = self.store.report(self.task.epoch).key
        found = self.store.storage.load_many([report, *self.keys])
        return report in found or self.has_job_ended(found)

    @property
    def _entries(self) -> list[Entry[Fence]]:
        own = self.store.attempt_fence(self.task.attempt)
        # An epoch's execution can be redriven alone, without the job's. Its tasks still have the
        # first start time, so the job's fence says nothing about them.
        return [own] if was_redriven(self.task.attempt) else [own, self.store.fence]

    def _is_over(self, fence: Fence) -> bool:
        return moment(self.task.started_at) <= moment(fence.until)


def was_redriven(attempt: str) -> bool:
    """Return whether the attempt's execution was redriven alone, without the job's.

    Its start time is then that of the first run.
    """
    return attempt.rpartition(".")[2] != "0"


def goes_on(store: JobStore, ended_at: str) -> bool:
    """Return whether an attempt of the job has begun since ``ended_at`` (ISO 8601)."""
    resumed = store.resumed.find_whole()
    return resumed is not None and moment(resumed.at) > moment(ended_at)


def _is_first(attempt: str) -> bool:
    """Return whether no attempt at the epoch came before; see ``RunEpoch`` for the names."""
    return attempt.endswith("-r0-t0.0")


def raise_fence(entry: Entry[Fence], fence: Fence) -> Fence:
    """Write ``fence`` unless a later one is stored, and return the stored one.

    A late notice must not move a fence back.
    """
    return entry.replace(fence, unless=lambda stored: moment(stored.until) >= moment(fence.until))


def moment(timestamp: str) -> datetime:
    """Return an ISO 8601 time."""
    found = datetime.fromisoformat(timestamp)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
