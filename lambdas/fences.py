"""Fences: AWS ends executions but not their functions, so these look whether theirs has ended.

The job's fence is a moment: attempts that began before it are over, as the job has ended. Beside
it, each attempt that has ended by itself has a fence of its own: others may go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from stepml.job import keys
from stepml.job.documents import decode, encode
from stepml.job.errors import (
    AttemptStoppedError,
    DamagedValueError,
    StorageUnavailableError,
)
from stepml.job.reports import Fence
from storage import DurableStorage
from storage.base import Buffer

_MAX_CONFLICTS = 10  # only other ends of the same job write at the same time


class Attempted(Protocol):
    """A task that belongs to an attempt at an epoch."""

    @property
    def job_id(self) -> str: ...
    @property
    def attempt(self) -> str: ...
    @property
    def started_at(self) -> str: ...


def fence_keys(task: Attempted) -> list[str]:
    """Return where the fences are at which an attempt has to look.

    An attempt that was redriven by itself, which Step Functions allows with an epoch as with any
    execution, still tells when it began at first: the job's fence says nothing about it.
    """
    own = keys.attempt_fence(task.job_id, task.attempt)
    return [own] if was_redriven(task.attempt) else [own, keys.fence(task.job_id)]


def was_redriven(attempt: str) -> bool:
    """Return whether an attempt goes on by itself; its start is then that of the first time."""
    return attempt.rpartition(".")[2] != "0"


def has_job_ended(task: Attempted, found: Mapping[str, Buffer]) -> bool:
    """Return whether the job has ended since the attempt began.

    ``found`` holds what lies under `fence_keys`.
    """
    key = keys.fence(task.job_id)
    return key in found and _is_behind(task, decode(found[key], Fence, key))


def require_not_stopped(task: Attempted, found: Mapping[str, Buffer]) -> None:
    """Raise `AttemptStoppedError` if the attempt is over; ``found`` as for `has_job_ended`."""
    for key in fence_keys(task):
        fence = decode(found[key], Fence, key) if key in found else None
        if fence is not None and _is_behind(task, fence):
            raise AttemptStoppedError(
                f"the execution {fence.execution} ended ({fence.status}) at {fence.until}; this "
                f"attempt, begun at {task.started_at}, is over with it"
            )


def look_at_fences(task: Attempted, storage: DurableStorage) -> None:
    """Raise `AttemptStoppedError` if the attempt that ``task`` belongs to is over."""
    require_not_stopped(task, storage.load_many(fence_keys(task)))


def comes_too_late(task: Attempted, epoch: int, storage: DurableStorage) -> bool:
    """Return whether nobody needs what was just written to the channel, and nobody clears it.

    Whoever ends an epoch, or a job, first says so and then clears. Asked after a write, either the
    answer is yes, or the write is cleared.
    """
    report = keys.epoch_report(task.job_id, epoch)
    found = storage.load_many([report, *fence_keys(task)])
    return report in found or has_job_ended(task, found)


def raise_fence(key: str, fence: Fence, storage: DurableStorage) -> Fence:
    """Write ``fence`` under ``key`` unless a later one stands, and return the one that stands.

    A notice that comes late must not take back what was said about a later end.
    """
    for _ in range(_MAX_CONFLICTS):
        stored, version = storage.load_version(key)
        standing = None if stored is None else _whole(stored, key)
        if standing is not None and moment(standing.until) >= moment(fence.until):
            return standing
        if storage.compare_and_save(key, encode(fence), version):
            return fence
    raise StorageUnavailableError(f"{key} is replaced faster than it can be compared")


def _whole(data: Buffer, key: str) -> Fence | None:
    try:
        return decode(data, Fence, key)
    except DamagedValueError:  # to be replaced: functions refuse to go on with it
        return None


def _is_behind(task: Attempted, fence: Fence) -> bool:
    return moment(task.started_at) <= moment(fence.until)


def moment(timestamp: str) -> datetime:
    """Return an ISO 8601 time."""
    found = datetime.fromisoformat(timestamp)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
