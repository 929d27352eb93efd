"""Logs of a parameter server: events with fields, as JSON on standard error."""

from __future__ import annotations

import logging
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial

from stepml.job import json_logs
from storage.base import Clock

BURST = 20  # lines of one message and level
BURST_S = 10.0  # in this time; the other lines are counted
_MOST_KNOWN = 1000
# Their lines at level debug are long, and some show headers of requests.
_OTHERS = ("boto3", "botocore", "s3transfer", "urllib3", "grpc")

logger = logging.getLogger("stepml.ps_server")
log = partial(json_logs.log_event, logger)
log_failure = partial(json_logs.log_failure, logger)


class RateLimit(logging.Filter):
    """Drops repeated lines, with which anybody who can connect could fill the disk.

    The first line after a burst has the number of dropped ones in the field ``left_out``.
    """

    def __init__(self, clock: Clock = time) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int], _Burst] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock.monotonic()
        with self._lock:
            if len(self._seen) > _MOST_KNOWN:  # our messages are constants, others' may not be
                self._seen.clear()
            burst = self._seen.setdefault((str(record.msg), record.levelno), _Burst(now))
            if now - burst.began >= BURST_S:
                left_out, burst.began, burst.lines = burst.lines - BURST, now, 0
                if left_out > 0:
                    record.fields = {**getattr(record, "fields", {}), "left_out": left_out}
            burst.lines += 1
            return burst.lines <= BURST


@dataclass(slots=True)
class _Burst:
    began: float
    lines: int = 0


def configure(level: str) -> None:
    """Write all events from ``level`` on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_logs.JsonFormatter(has_time=True))
    handler.addFilter(RateLimit())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _OTHERS:
        logging.getLogger(name).setLevel(logging.WARNING)
