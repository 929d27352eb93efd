"""Runs a program in this process, which is killed as soon as its parent ends.

``python tether.py PARENT PROGRAM ARGUMENT …``; the parent is the *thread* that started it, in the
process PARENT. A file of its own, as it is run by itself: nothing of ``stepml`` is imported.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; it outlasts exec


def main(parent: str, program: str, *arguments: str) -> None:
    """Become ``program``, unless the parent has ended already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(parent):  # it ended before it could be tied to
        sys.exit(1)
    os.execv(program, [program, *arguments])  # noqa: S606 — that is what it is for


if __name__ == "__main__":
    main(*sys.argv[1:])
