"""Logs: one JSON object a line, an event with fields; never data, vectors or secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from stepml.job import json_logs
from stepml.job.errors import StorageError

_logger = logging.getLogger("stepml")
_request_id: ContextVar[str] = ContextVar("request_id", default="")


def _configure() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(json_logs.JsonFormatter())
    _logger.handlers = [handler]
    _logger.setLevel(logging.INFO)
    _logger.propagate = False  # Lambda's own handler would print every line again


_configure()


@contextmanager
def of_request(request_id: str) -> Iterator[None]:
    """Let every event name the invocation in which it is written."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def log(message: str, **fields: Any) -> None:
    """Write one event; `stepml logs` selects by the fields ``job_id`` and ``rank``."""
    json_logs.log_event(_logger, message, **fields, **_request())


def log_begin(task: object) -> None:
    """Write which task the invocation has; so its log is found while it runs, or if it is lost."""
    named = {name: getattr(task, name, None) for name in json_logs.TASK_FIELDS}
    log(json_logs.BEGUN, **{json_logs.TASK: {k: v for k, v in named.items() if v is not None}})


def _request() -> dict[str, str]:
    request_id = _request_id.get()
    return {"request_id": request_id} if request_id else {}


@contextmanager
def best_effort(action: str, **fields: Any) -> Iterator[None]:
    """Log a failure of the storage during ``action`` instead of raising: the result is safe."""
    try:
        yield
    except StorageError as error:
        log(f"could not {action}", reason=str(error)[:1000], **fields)


def log_failure(error: Exception, **fields: Any) -> None:
    """Write the error of a handler, with the message that Step Functions will show."""
    json_logs.log_failure(_logger, "failed", error, **fields, **_request())
