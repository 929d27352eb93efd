"""Launches the process of the local AWS, which writes to a log file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stepml.state_directory import state_directory

LOG_LINES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Launch:
    """The way in which the process is started."""

    port: int  # of 127.0.0.1
    concurrency: int  # functions that run at once
    identity: str  # by which clients know it
    with_parent: bool  # whether it ends with this process, even if this is killed
    network: str | None = None  # "aws" or a file
    keep: Path | None = None  # directory for everything that it has

    def arguments(self) -> list[str]:
        """Return the arguments of ``python -m stepml.local``."""
        return [
            *("--port", str(self.port), "--concurrency", str(self.concurrency)),
            *("--id", self.identity),
            *(["--with-parent"] if self.with_parent else []),
            *([] if self.network is None else ["--network", self.network]),
            *([] if self.keep is None else ["--keep", str(self.keep)]),
        ]


def launch(how: Launch) -> subprocess.Popen[bytes]:
    """Start the process."""
    command = [sys.executable, "-m", "stepml.local", *how.arguments()]
    with log_path().open("wb") as log, _standard_input(how.with_parent) as stdin:
        # In its own session: Ctrl-C in the terminal is not for it.
        return subprocess.Popen(  # noqa: S603 — our own module, by our own interpreter
            command, stdin=stdin, stdout=log, stderr=log, start_new_session=True
        )


@contextlib.contextmanager
def _standard_input(with_parent: bool) -> Iterator[int]:
    if not with_parent:
        yield subprocess.DEVNULL
        return
    # Only the system closes the other end, when this process has ended.
    ours, _ = os.pipe()
    try:
        yield ours
    finally:
        os.close(ours)


def log_tail() -> str:
    """Return the last lines of the log."""
    lines = log_path().read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES_SHOWN:])


def log_path() -> Path:
    return state_directory() / "local.log"
