"""The environment of a function: its storages, cached while it is warm, and its deadline."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Protocol

from storage import DurableStorage, open_durable
from storage.s3 import S3Storage


class LambdaContext(Protocol):
    """The part of Lambda's context object that handlers use."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


durable: Callable[[], DurableStorage] = cache(open_durable)


@cache
def bucket(name: str) -> DurableStorage:
    """Return the objects of any bucket, such as the one with the data."""
    return S3Storage(name)


class Deadline:
    """The time by which a handler has to return, so that its function is not killed.

    Parameters
    ----------
    remaining_s : callable
        Seconds until the function is killed.
    """

    MARGIN_S = 15.0  # saving progress takes less, even of a large model on a busy store

    def __init__(self, remaining_s: Callable[[], float]) -> None:
        self._remaining_s = remaining_s
        self._all_s = remaining_s()
        # A function with a short time-out still works for nine tenths of it.
        self._margin_s = min(self.MARGIN_S, 0.1 * self._all_s)

    @classmethod
    def of(cls, context: LambdaContext) -> Deadline:
        """Return the deadline of the invocation that ``context`` belongs to."""
        return cls(lambda: context.get_remaining_time_in_millis() / 1000)

    def must_save(self) -> bool:
        """Return whether it is time to save the progress and stop."""
        return self._remaining_s() < self._margin_s

    def is_half_over(self) -> bool:
        """Return whether half of the time is over: long work begins in another call."""
        return self._remaining_s() < 0.5 * self._all_s

    def is_over(self) -> bool:
        """Return whether even a wait has to end: half of the margin is over."""
        return self._remaining_s() < 0.5 * self._margin_s


def memory_mb() -> int:
    """Return the memory of this function, in MB."""
    return int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024"))


def seconds_since(started_at: str) -> float:
    """Return the seconds from an ISO 8601 time to now."""
    elapsed = datetime.now(UTC) - datetime.fromisoformat(started_at)
    return round(elapsed.total_seconds(), 3)
