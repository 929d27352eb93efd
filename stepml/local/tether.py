"""Runs a program in this process, which the kernel kills when its parent ends.

``python tether.py PARENT PROGRAM ARGUMENT …``. The parent is the *thread* that started it, in the
process PARENT. The file is run by its path and imports nothing of ``stepml``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; remains in force after exec


def main(parent: str, program: str, *arguments: str) -> None:
    """Become ``program``, unless the parent has already ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(parent):  # it ended before prctl
        sys.exit(1)
    os.execv(program, [program, *arguments])  # noqa: S606 — that is what it is for


if __name__ == "__main__":
    main(*sys.argv[1:])
