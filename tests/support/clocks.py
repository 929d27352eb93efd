"""Clocks that no load of the machine can bend."""

from __future__ import annotations

import time


class HandClock:
    """A clock that advances only in `sleep`, or when a test sets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


class TickingClock(HandClock):
    """A clock that also advances at every look, for code whose waits block in a service."""

    def __init__(self, tick_s: float) -> None:
        super().__init__()
        self._tick_s = tick_s

    def monotonic(self) -> float:
        self.now += self._tick_s
        return self.now


class StandingClock(HandClock):
    """A clock that stands still while its users really sleep: no limit of time is ever reached."""

    def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds)
