"""CloudWatch Logs: writes the output of functions directly into moto's log groups."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from moto.logs.models import logs_backends

from stepml.local.functions import LogEvent

# moto's streams are not thread-safe; environments of one function share a group.
_writing = threading.Lock()


def log_writer(account_id: str, region: str) -> Callable[[str, str, Sequence[LogEvent]], None]:
    """Return a function that appends events to a log stream and creates it if necessary."""

    def write(log_group: str, log_stream: str, events: Sequence[LogEvent]) -> None:
        backend = logs_backends[account_id][region]
        with _writing:
            backend.ensure_log_group(log_group)
            backend.ensure_log_stream(log_group, log_stream)
            backend.put_log_events(
                log_group,
                log_stream,
                [{"timestamp": event.timestamp_ms, "message": event.message} for event in events],
            )

    return write
