"""The stopwatch of a function: its time by what it does, and its messages to a server.

Code that knows what it does says so with `timed`, at any depth: the innermost part counts. So no
time counts twice, and the parts add up. Without a stopwatch, `timed` does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from stepml.job.parts import Part, Parts, Traffic

_START: Part = "other"
_DIGITS = 5  # of seconds


class Stopwatch:
    """Counts from its birth on.

    Parameters
    ----------
    clock : callable
        Returns seconds.

    Attributes
    ----------
    messages : dict of str to Traffic
        By service, those that no storage counts.
    """

    __slots__ = ("_clock", "_part", "_seconds", "_since", "messages")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: dict[Part, float] = dict.fromkeys(Parts.__struct_fields__, 0.0)  # type: ignore[arg-type]
        self._part: Part = _START
        self._since = clock()
        self.messages: dict[str, Traffic] = {}

    def switch(self, part: Part) -> Part:
        """Count the time from now on as ``part``; return the part before."""
        now, before = self._clock(), self._part
        self._seconds[before] += now - self._since
        self._since, self._part = now, part
        return before

    def recount(self, part: Part) -> None:
        """Count the time since the last switch, and the time from now on, as ``part``."""
        self._part = part

    def move(self, seconds: float, source: Part, target: Part) -> None:
        """Count so many seconds of one part, if it has them, as another part."""
        moved = min(seconds, self._seconds[source])
        self._seconds[source] -= moved
        self._seconds[target] += moved

    def seconds(self, part: Part) -> float:
        """Return the seconds of one part up to the last switch."""
        return self._seconds[part]

    def parts(self) -> Parts:
        """Return the seconds of all parts up to now."""
        self.switch(self._part)
        return Parts(*(round(seconds, _DIGITS) for seconds in self._seconds.values()))


_current: ContextVar[Stopwatch | None] = ContextVar("stopwatch", default=None)


@contextmanager
def measuring(stopwatch: Stopwatch) -> Iterator[None]:
    """Let ``stopwatch`` count in this block."""
    token = _current.set(stopwatch)
    try:
        yield
    finally:
        _current.reset(token)


def current_stopwatch() -> Stopwatch | None:
    """Return the stopwatch that counts here, if any."""
    return _current.get()


class timed:  # noqa: N801 — a context like those of contextlib, and no call more than needed
    """A block whose time counts as one part, but for blocks within it.

    Attributes
    ----------
    stopwatch : Stopwatch or None
        That which counts here.
    """

    __slots__ = ("_before", "_part", "stopwatch")

    def __init__(self, part: Part) -> None:
        self._part = part

    def __enter__(self) -> Self:
        self.stopwatch = _current.get()
        if self.stopwatch is not None:
            self._before = self.stopwatch.switch(self._part)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.stopwatch is not None:
            self.stopwatch.switch(self._before)

    @property
    def seconds(self) -> float:
        """All seconds of the part up to the block's begin or end; 0 without a stopwatch."""
        return 0.0 if self.stopwatch is None else self.stopwatch.seconds(self._part)

    @property
    def before(self) -> Part | None:
        """The part around the block; None without a stopwatch."""
        return None if self.stopwatch is None else self._before


def note_message(service: str, *, requests: int = 1, sent: int = 0, received: int = 0) -> None:
    """Count a request to a service, or none, with the bytes of its values."""
    stopwatch = _current.get()
    if stopwatch is None:
        return
    known = stopwatch.messages.get(service, Traffic())
    stopwatch.messages[service] = replace(
        known,
        requests=known.requests + requests,
        sent_bytes=known.sent_bytes + sent,
        received_bytes=known.received_bytes + received,
    )
