"""Logs of a parameter server: one JSON object a line, an event with fields; never vectors."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from storage.base import Clock

BURST = 20  # lines of one message and level
BURST_S = 10.0  # in this time; the rest of them is counted
_MOST_KNOWN = 1000
# What they log at level debug is long, and some of it is headers of requests.
_OTHERS = ("boto3", "botocore", "s3transfer", "urllib3", "grpc")

logger = logging.getLogger("stepml.ps_server")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class RateLimit(logging.Filter):
    """Drops lines of which there are too many: whoever can connect could fill the disk.

    The first one after that tells how many of them there were, in the field ``left_out``.
    """

    def __init__(self, clock: Clock = time) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int], _Burst] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock.monotonic()
        with self._lock:
            if len(self._seen) > _MOST_KNOWN:  # messages are constants, those of others may not be
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
    """Have everything from ``level`` on written to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    handler.addFilter(RateLimit())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _OTHERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def log(message: str, **fields: Any) -> None:
    """Write one event."""
    logger.info(message, extra={"fields": fields})


def log_failure(message: str, error: BaseException, **fields: Any) -> None:
    """Write that something failed which ends nothing."""
    told = {"error": type(error).__name__, "reason": str(error)[:1000], **fields}
    logger.error(message, extra={"fields": told})
