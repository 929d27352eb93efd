"""When the parts of a page that are slow to draw show news of a job."""

from __future__ import annotations

import time
from collections.abc import Callable

from stepml.client.job_watch import JobLook

# Of rest for each epoch so far: the more there are, the less one more changes a curve.
EPOCH_S = 0.02
MOST_S = 3.0  # of rest


class Calm:
    """Lets charts of a long job rest: to draw them takes the processors from its functions.

    Parameters
    ----------
    clock : callable, optional
        Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._drawn: JobLook | None = None
        self._rests_until = 0.0

    def is_due(self, look: JobLook) -> bool:
        """Return whether to draw this look now; ask again at the next reading if not."""
        now, drawn = self._clock(), self._drawn
        if look is drawn:
            return False
        is_shown = drawn is not None and drawn.is_whole
        if is_shown and look.record.is_running and now < self._rests_until:
            return False
        self._drawn = look
        self._rests_until = now + min(EPOCH_S * look.finished, MOST_S)
        return True
