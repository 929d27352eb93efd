"""Log records as JSON, one object a line: an event with fields, never data or secrets."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

METRICS = "_aws"  # the field by which a line declares metrics to CloudWatch
# The first line of a function about a task, and the field of it that names the task: the lines of
# `stepml logs` name their job in a field of their own.
BEGUN, TASK = "begun", "task"
# A task's fields there, as far as it has them; the last two tell the calls of a state apart.
TASK_FIELDS = ("job_id", "epoch", "rank", "range", "chunk", "slice", "retries", "entered_at")


def log_event(logger: logging.Logger, message: str, /, **fields: Any) -> None:
    """Write an event with fields."""
    logger.info(message, extra={"fields": fields})


def log_failure(
    logger: logging.Logger, message: str, error: BaseException, /, **fields: Any
) -> None:
    """Write an error with its class, and the beginning of its message."""
    fields = {"error": type(error).__name__, "reason": str(error)[:1000], **fields}
    logger.error(message, extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """Formats a record with the ``fields`` of its ``extra`` and its error's trace.

    Parameters
    ----------
    has_time : bool
        Whether a line begins with the time, in the field ``at``.
    """

    def __init__(self, *, has_time: bool = False) -> None:
        super().__init__()
        self._has_time = has_time

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {}
        if self._has_time:
            at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            line["at"] = at.replace("+00:00", "Z")
        fields = getattr(record, "fields", {})
        line |= {"level": record.levelname, "message": record.getMessage(), **fields}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
