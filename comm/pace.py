"""The time of the first look in a wait."""

from __future__ import annotations

from storage.base import Clock


class Pace:
    """Delays the first look of a wait until the last look of an earlier wait that found nothing.

    A later look would make every step as slow as the slowest; an earlier one costs requests.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_s = self._in_vain_s = 0.0
        self._looks = 0
        self._look_s = 0.0

    def begin(self) -> float:
        """Begin a wait and return the delay before its first look, in seconds."""
        # After a look that found everything, nothing says how much too late it was.
        delay_s = self._in_vain_s if self._looks > 1 else self._in_vain_s / 2
        self._in_vain_s, self._looks = delay_s, 0
        self._began_s = self._clock.monotonic()
        return delay_s

    def look(self) -> None:
        """Note a look: the one before it found nothing."""
        if self._looks:
            self._in_vain_s = self._look_s
        self._looks += 1
        self._look_s = self._clock.monotonic() - self._began_s
