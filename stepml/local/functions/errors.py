"""Errors of the function pool.

::

    Exception
    ├── TooManyRequestsError   the account's concurrency is used up; try again later
    ├── RequestTooLargeError   the payload is over Lambda's limit; never try again
    └── SandboxError           inside the package: how a process ended before it answered
        ├── SandboxExitedError     it exited, crashed or was killed
        ├── SandboxTimeoutError    it did not answer in time
        ├── InitFailedError        its runtime client could not load the handler
        └── EventNotTakenError     a warm one died before it had read the event
"""

from __future__ import annotations


class TooManyRequestsError(Exception):
    """Lambda's ``TooManyRequestsException``: nothing has started; a later call may succeed."""

    reason = "ConcurrentInvocationLimitExceeded"


class RequestTooLargeError(Exception):
    """Lambda's ``RequestTooLargeException``: the payload will never be accepted."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"Request must be smaller than {limit_bytes} bytes for the InvokeFunction operation; "
            f"it has {size_bytes} bytes"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class SandboxError(Exception):
    """A function's process ended, or had to be ended, before it answered."""


class SandboxExitedError(SandboxError):
    """The process is gone; ``reason`` is worded as Lambda does, empty for a clean exit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason or "exit status 0")
        self.reason = reason


class EventNotTakenError(SandboxError):
    """A warm process died before it had read its event; another one can be given it."""


class SandboxTimeoutError(SandboxError):
    """The process did not ask for the next thing in time."""


class InitFailedError(SandboxError):
    """The runtime client cannot load the handler; ``payload`` is its error object."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload.decode(errors="replace"))
        self.payload = payload
