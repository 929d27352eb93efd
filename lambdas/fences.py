"""The fence: AWS ends executions but not their functions, so these look whether theirs has ended.

An attempt that began before the fence is over. One that was redriven by itself, which Step
Functions allows with an epoch as with any execution, still tells when it began at first: it has a
fence of its own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from lambdas.documents import Documents
from stepml.job import keys
from stepml.job.documents import decode, encode
from stepml.job.errors import AttemptStoppedError, StorageUnavailableError
from stepml.job.reports import Fence
from storage import DurableStorage

_MAX_CONFLICTS = 10  # only other ends of the same job write at the same time


class Attempted(Protocol):
    """A task that belongs to an attempt at an epoch."""

    @property
    def job_id(self) -> str: ...
    @property
    def attempt(self) -> str: ...
    @property
    def started_at(self) -> str: ...


def fence_key(job_id: str, attempt: str) -> str:
    """Return where the fence is that an attempt has to look at."""
    if was_redriven(attempt):
        return keys.attempt_fence(job_id, attempt)
    return keys.fence(job_id)


def was_redriven(attempt: str) -> bool:
    """Return whether an attempt goes on by itself; its start is then that of the first time."""
    return attempt.rpartition(".")[2] != "0"


def is_stopped(task: Attempted, fence: Fence) -> bool:
    """Return whether the attempt that ``task`` belongs to began before ``fence``."""
    return moment(task.started_at) <= moment(fence.until)


def require_not_stopped(task: Attempted, fence: Fence | None) -> None:
    """Raise `AttemptStoppedError` if the attempt that ``task`` belongs to is over."""
    if fence is not None and is_stopped(task, fence):
        raise AttemptStoppedError(
            f"the execution {fence.execution} ended ({fence.status}) at {fence.until}; this "
            f"attempt, begun at {task.started_at}, is over with it"
        )


def look_at_fence(task: Attempted, storage: DurableStorage) -> None:
    """Raise `AttemptStoppedError` if the attempt that ``task`` belongs to is over."""
    require_not_stopped(task, Documents(storage).find(fence_key(task.job_id, task.attempt), Fence))


def raise_fence(key: str, fence: Fence, storage: DurableStorage) -> Fence:
    """Write ``fence`` under ``key`` unless a later one stands, and return the one that stands.

    A notice that comes late must not take back what was said about a later end.
    """
    for _ in range(_MAX_CONFLICTS):
        stored, version = storage.load_version(key)
        if stored is not None:
            standing = decode(stored, Fence, key)
            if moment(standing.until) >= moment(fence.until):
                return standing
        if storage.compare_and_save(key, encode(fence), version):
            return fence
    raise StorageUnavailableError(f"{key} is replaced faster than it can be compared")


def moment(timestamp: str) -> datetime:
    """Return an ISO 8601 time."""
    found = datetime.fromisoformat(timestamp)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
