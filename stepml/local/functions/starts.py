"""The start of execution environments."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from stepml.local.functions.templates import Templates


@dataclass(frozen=True, slots=True)
class StartPolicy:
    """Limits on the start of environments, shared by all of them."""

    limit_s: float  # for INIT; after it, INIT is repeated within the invocation's time
    # Held during INIT. On AWS every environment has its own processors; here, dozens that start at
    # once would all exceed the limit.
    slots: threading.Semaphore
    templates: Templates
    least_s: float = 0.0  # of INIT; on a cloud, a start takes longer

    def prolonged(self, init_s: float) -> float:
        """Wait for the rest of the least time after an INIT of ``init_s``; return the whole.

        All environments may do so at once, so no slot is held.
        """
        time.sleep(max(0.0, self.least_s - init_s))
        return max(init_s, self.least_s)
