"""The pace of the parts of a page that are slow to draw."""

from __future__ import annotations

import time
from collections.abc import Callable

from stepml.client.job_watch import JobLook

FEW = 25  # epochs, of which charts are drawn at once
# Seconds of rest for each epoch beyond `FEW`: another one changes a long curve less.
EPOCH_S = 0.02
MOST_S = 3.0  # of rest


class Calm:
    """Lets charts of a long job rest after news, so that tables and head come first.

    To draw charts of hundreds of epochs at each new one takes the processors from the job.

    Parameters
    ----------
    clock : callable, optional
        Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._drawn: JobLook | None = None
        self._news_at: float | None = None  # of those that are not drawn

    def is_due(self, look: JobLook) -> bool:
        """Return whether to draw this look now; ask again at the next reading if not."""
        if look is self._drawn:
            return False
        now = self._clock()
        if self._news_at is None:
            self._news_at = now
        is_shown = self._drawn is not None and self._drawn.is_whole
        rest_s = min(EPOCH_S * (look.finished - FEW), MOST_S)
        if is_shown and look.record.is_running and now < self._news_at + rest_s:
            return False
        self._drawn, self._news_at = look, None
        return True
