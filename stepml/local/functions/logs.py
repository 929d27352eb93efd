"""Turns a function's output into CloudWatch events, with a tail for each invocation."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

TAIL_BYTES = 4096  # LogType=Tail returns the last 4 KB of an invocation's log
# CloudWatch Logs refuses events above 1 MB; Lambda itself cuts lines at 256 KB.
MAX_EVENT_BYTES = 256 * 1024
# The most that is held back during an invocation; PutLogEvents accepts 1 MB or 10,000 events.
MAX_PENDING_EVENTS = 1000
MAX_PENDING_BYTES = 512 * 1024
MAX_PENDING_MS = 1000


class LogEvent(NamedTuple):
    """One line of a log stream."""

    timestamp_ms: int  # milliseconds since 1970
    message: str  # ends with a line break, as Lambda's do


WriteLogs = Callable[[str, str, Sequence[LogEvent]], None]  # (log group, log stream, events)


class EnvironmentLog:
    """The log stream of one execution environment.

    Parameters
    ----------
    write : callable
        Receives ``(log_group, log_stream, events)``; called at the latest by :meth:`flush`.
    group, stream : str
    """

    def __init__(self, write: WriteLogs, group: str, stream: str) -> None:
        self._write = write
        self._group = group
        self._stream = stream
        self._events: list[LogEvent] = []
        self._pending_bytes = 0
        self._unfinished = b""  # the beginning of a line
        self._tail = b""

    @property
    def stream(self) -> str:
        return self._stream

    @property
    def tail(self) -> bytes:
        """The last 4 KB since :meth:`begin`."""
        return self._tail

    def begin(self) -> None:
        """Start the tail of a new invocation."""
        self._tail = b""

    def add_output(self, data: bytes) -> None:
        """Add output of the process; an unfinished line waits for its end."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            self._add(line)
        if len(self._unfinished) >= MAX_EVENT_BYTES:
            self.end_line()
        if self._is_write_due():
            self.flush()

    def add_line(self, line: str) -> None:
        """Add a line of the platform's own (START, END, REPORT …)."""
        self.end_line()
        self._add(line.encode())

    def end_line(self) -> None:
        if self._unfinished:
            line, self._unfinished = self._unfinished, b""
            self._add(line)

    def flush(self) -> None:
        """Write every finished line to the log group."""
        if self._events:
            events, self._events, self._pending_bytes = self._events, [], 0
            self._write(self._group, self._stream, events)

    def _is_write_due(self) -> bool:
        return bool(self._events) and (
            len(self._events) >= MAX_PENDING_EVENTS
            or self._pending_bytes >= MAX_PENDING_BYTES
            or _now_ms() - self._events[0].timestamp_ms >= MAX_PENDING_MS
        )

    def _add(self, line: bytes) -> None:
        # awslambdaric separates the lines of a stack trace by \r, to keep them in one event.
        line = line.rstrip(b"\r").replace(b"\r", b"\n")
        self._tail = (self._tail + line + b"\n")[-TAIL_BYTES:]
        now_ms = _now_ms()
        for start in range(0, len(line) or 1, MAX_EVENT_BYTES):
            message = line[start : start + MAX_EVENT_BYTES].decode(errors="replace") + "\n"
            self._events.append(LogEvent(now_ms, message))
        self._pending_bytes += len(line)


def new_stream_name() -> str:
    """Return a name for an environment's log stream, in Lambda's form."""
    return f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{uuid.uuid4().hex}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
