"""A program that runs beside the local AWS of this state directory, and ends with it: the console.

The program writes one line of JSON when it is ready, with the ``url`` at which it serves.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from stepml.local.processes import HAS_PROC, arguments, exists, has_ended
from stepml.local.running import LocalAwsError
from stepml.os_errors import located
from stepml.state_directory import state_directory

START_WAIT_S = 60.0
END_WAIT_S = 10.0
TETHER = Path(__file__).with_name("tether.py")


@dataclass(frozen=True, slots=True)
class Companion:
    """A program beside the local AWS; it may have ended."""

    pid: int
    url: str
    command: list[str]

    @property
    def is_running(self) -> bool:
        """Whether its process runs, and not another program with the same id.

        On systems without /proc, the id is trusted.
        """
        return exists(self.pid) and (arguments(self.pid) == self.command or not HAS_PROC)


def running() -> Companion | None:
    """Return the program that was started, if it runs."""
    try:
        found = Companion(**json.loads(_record().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return found if found.is_running else None


def start(command: Sequence[str], with_parent: bool) -> Companion:
    """Start a program, unless it runs, and wait until it is ready.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    with_parent : bool
        Whether it ends with this thread, even if this is killed.

    Raises
    ------
    LocalAwsError
        It has ended at once, or was not ready in time; the message has its last lines.
    """
    if (found := running()) is not None:
        return found
    process = _launch(command, with_parent)
    try:
        companion = Companion(process.pid, _ready(process), list(command))
        with located(_record()):
            _record().write_text(json.dumps(asdict(companion)), encoding="utf-8")
    except BaseException:  # also at Ctrl-C: the caller would not know of the process
        process.kill()
        process.wait()
        raise
    process.returncode = 0  # it outlives this process, which must not wait for it
    return companion


def end() -> bool:
    """End the program; return whether it was running."""
    found = running()
    _record().unlink(missing_ok=True)
    if found is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, number)
        if has_ended(found.pid, END_WAIT_S):
            break
    return True


def log_path() -> Path:
    """Return the file of what it complains of."""
    return state_directory() / "console.log"


def _launch(command: Sequence[str], with_parent: bool) -> subprocess.Popen[bytes]:
    tether = [sys.executable, str(TETHER), str(os.getpid())] if with_parent else []
    with log_path().open("wb") as log:
        return subprocess.Popen(  # noqa: S603 — our own program, by our own interpreter
            [*tether, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal is not for it
        )


def _ready(process: subprocess.Popen[bytes]) -> str:
    line = _first_line(process.stdout) if process.stdout else b""
    try:
        return str(json.loads(line)["url"])
    except (ValueError, TypeError, KeyError):
        said = log_path().read_text(encoding="utf-8", errors="replace").strip()
        reason = said or line.decode(errors="replace").strip() or "it has said nothing"
        raise LocalAwsError(f"the console did not start: {reason}") from None


def _first_line(stream: IO[bytes]) -> bytes:
    with stream:  # it writes no second one
        is_ready, _, _ = select.select([stream], [], [], START_WAIT_S)
        return stream.readline() if is_ready else b""


def _record() -> Path:
    return state_directory() / "console.json"
