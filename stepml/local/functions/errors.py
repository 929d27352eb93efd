"""Errors of the function pool.

::

    Exception
    ├── TooManyRequestsError   the account's concurrency is exhausted; retry later
    ├── RequestTooLargeError   the payload exceeds Lambda's limit; never retry
    ├── NotWantedError         inside the package: nobody waits for a start that was queued
    └── SandboxError           inside the package: a process ended before it answered
        ├── SandboxExitedError     it exited, crashed or was killed
        ├── SandboxTimeoutError    it did not answer in time
        ├── InitFailedError        its runtime client could not load the handler
        └── EventNotTakenError     a warm process died before it read the event
"""

from __future__ import annotations


class TooManyRequestsError(Exception):
    """Lambda's ``TooManyRequestsException``: nothing has run; a later call may succeed."""

    reason = "ConcurrentInvocationLimitExceeded"


class RequestTooLargeError(Exception):
    """Lambda's ``RequestTooLargeException``: the payload exceeds the limit."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"Request must be smaller than {limit_bytes} bytes for the InvokeFunction operation; "
            f"it has {size_bytes} bytes"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class NotWantedError(Exception):
    """A start was dropped in the queue, as nobody waits for its result; nothing has run."""

    def __init__(self) -> None:
        super().__init__("nobody waits for this invocation any more")


class SandboxError(Exception):
    """A function's process ended, or had to be ended, before it answered."""


class SandboxExitedError(SandboxError):
    """The process has ended; ``reason`` is Lambda's text, empty for a clean exit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason or "exit status 0")
        self.reason = reason


class EventNotTakenError(SandboxError):
    """A warm process died before it read its event, so another process can run it."""


class SandboxTimeoutError(SandboxError):
    """The process did not send its next request in time."""


class InitFailedError(SandboxError):
    """The runtime client cannot load the handler; ``payload`` is its error object."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload.decode(errors="replace"))
        self.payload = payload
