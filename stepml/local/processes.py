"""Finds out whether a process still exists, which program it runs, and ends it."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

POLL_S = 0.02
HAS_PROC = Path("/proc/self/cmdline").exists()


def exists(pid: int) -> bool:
    """Return whether a process runs; one that has ended, and that nobody has waited for, does not.

    It is a process of this user.
    """
    # A child of this process remains a zombie until it is waited for.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # no process, or another user's
        return False
    return not _is_zombie(pid)


def has_ended(pid: int, wait_s: float) -> bool:
    """Return whether a process ends within ``wait_s``."""
    deadline = time.monotonic() + wait_s
    while exists(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def arguments(pid: int) -> list[str]:
    """Return the command line of a process; empty if it is a zombie or does not exist."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return []
    return text.removesuffix("\0").split("\0") if text else []


def _is_zombie(pid: int) -> bool:
    process = Path(f"/proc/{pid}")
    try:
        state = process.joinpath("stat").read_text().rpartition(")")[2].split()[0]
        # The first thread may have ended while others still hold the port.
        return state in "ZX" and len(list(process.joinpath("task").iterdir())) == 1
    except OSError:
        return HAS_PROC  # with /proc: it has just ended
