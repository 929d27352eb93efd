"""One at a time: what processes of this machine must not do to a state directory together."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from stepml.local.paths import state_directory

POLL_S = 0.05


class LockTimeoutError(Exception):
    """Another process has held the lock for too long."""


@contextmanager
def exclusive(name: str, wait_s: float) -> Iterator[None]:
    """Hold a lock of the state directory; it ends with the process that holds it.

    Raises
    ------
    LockTimeoutError
        Another process still holds it after ``wait_s``.
    """
    path = state_directory() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:  # never removed: two processes could hold two files of one name
        deadline = time.monotonic() + wait_s
        while not try_lock(file):
            if time.monotonic() > deadline:
                raise LockTimeoutError(f"another process holds {path} for more than {wait_s:g} s")
            time.sleep(POLL_S)
        yield


def try_lock(file: IO[bytes]) -> bool:
    """Return whether the lock on an open file is this process's now; closing it gives it back."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
