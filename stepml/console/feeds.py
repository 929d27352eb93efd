"""Facts that pages show and that change: each is read once for all the pages that show it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from stepml.console.apart import apart
from stepml.console.defects import LOG, Worded, defect
from stepml.job.errors import StepMLError

T = TypeVar("T")
MAX_PAUSE_S = 5.0  # between two attempts to read what cannot be read


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """The present knowledge of a fact.

    Attributes
    ----------
    value : T or None
        As it was read last; None before it has been read.
    error : StepMLError or None
        Why it could not be read again: ``value`` is old then.
    read_at : datetime or None
        The time of ``value``.
    """

    value: T | None = None
    error: StepMLError | None = None
    read_at: datetime | None = None


Hear = Callable[[Reading[T]], object]


class Feed(Generic[T]):
    """A fact, which is read again and again while somebody follows it. For one event loop.

    Parameters
    ----------
    read : callable
        Reads the fact, in another thread.
    pause_s : callable
        Returns the seconds until a value is read again; None: it can no longer change.
    worded : callable
        Returns the error to show for one of ``read``.
    """

    def __init__(
        self,
        read: Callable[[], T],
        pause_s: Callable[[T], float | None],
        worded: Worded = defect,
    ) -> None:
        self._read, self._pause_s, self._worded = read, pause_s, worded
        self._followers: list[Hear[T]] = []
        self._task: asyncio.Task[None] | None = None
        self._again = asyncio.Event()
        self.reading: Reading[T] = Reading()

    @property
    def is_followed(self) -> bool:
        """Whether anybody follows the fact."""
        return bool(self._followers)

    def follow(self, hear: Hear[T]) -> Callable[[], None]:
        """Call ``hear`` with the present reading and each new one; return the end of it."""
        self._followers.append(hear)
        if self.reading != Reading():
            hear(self.reading)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_reading())

        def leave() -> None:
            with suppress(ValueError):  # it has left before
                self._followers.remove(hear)
            if not self._followers and self._task is not None:
                self._task.cancel()
                self._task = None

        return leave

    def refresh(self) -> None:
        """Read the fact now, as somebody has changed it."""
        self._again.set()
        if self._followers and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._keep_reading())

    async def _keep_reading(self) -> None:
        failures = 0
        while True:
            self._again.clear()
            try:
                value = await apart(self._read)
            except Exception as error:
                self._tell(replace(self.reading, error=self._worded(error)))
                pause_s: float | None = min(2.0**failures, MAX_PAUSE_S)
                failures += 1
            else:
                failures = 0
                self._tell(Reading(value, read_at=datetime.now(UTC)))
                pause_s = self._pause_s(value)
            if pause_s is None and not self._again.is_set():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), pause_s)

    def _tell(self, reading: Reading[T]) -> None:
        before, self.reading = self.reading, reading
        if before.read_at and (before.value, str(before.error)) == (
            reading.value,
            str(reading.error),
        ):
            return
        for hear in list(self._followers):
            try:
                hear(reading)
            except Exception as error:  # the others go on
                LOG.error("%s", self._worded(error))
