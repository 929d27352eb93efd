"""Locks of a state directory, for the processes of this machine."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from stepml.state_directory import state_directory

POLL_S = 0.05


class LockTimeoutError(Exception):
    """Another process holds the lock for too long."""


@contextmanager
def exclusive(name: str, wait_s: float) -> Iterator[None]:
    """Hold a lock of the state directory; the system releases it if the process ends.

    Raises
    ------
    LockTimeoutError
        Another process still holds it after ``wait_s`` seconds.
    """
    path = state_directory() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:  # never removed, or two processes could lock different files
        deadline = time.monotonic() + wait_s
        while not try_lock(file):
            if time.monotonic() > deadline:
                raise LockTimeoutError(f"another process has held {path} for {wait_s:g} s")
            time.sleep(POLL_S)
        yield


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed; return False if another process has locked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
