"""Records the server process of a state directory."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from stepml.os_errors import located
from stepml.state_directory import RECORD, state_directory

POLL_S = 0.02
SETTINGS = "local_settings.json"
SERVER_MODULE = "stepml.local"
HAS_PROC = Path("/proc/self/cmdline").exists()


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """The server started last from this state directory; it may have ended."""

    pid: int
    port: int  # of 127.0.0.1
    id: str  # in its command line and its status; no other server has it

    def write(self) -> None:
        with located(_path()):
            _path().write_text(json.dumps(asdict(self)), encoding="utf-8")

    def is_alive(self) -> bool:
        """Return whether its process is running, and not another one with the same id.

        On systems without /proc, the id is trusted.
        """
        return _exists(self.pid) and (self.is_confirmed() or not HAS_PROC)

    def is_confirmed(self) -> bool:
        """Return whether the process has the command line of the server."""
        return {SERVER_MODULE, self.id} <= set(_arguments(self.pid))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def has_ended(self, wait_s: float) -> bool:
        """Return whether the process ends within ``wait_s``."""
        deadline = time.monotonic() + wait_s
        while _exists(self.pid):  # not is_alive: an ending process has no command line
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def read_record() -> ServerRecord | None:
    """Return the record of this state directory, or None if there is none."""
    try:
        record = json.loads(_path().read_text(encoding="utf-8"))
        return ServerRecord(int(record["pid"]), int(record["port"]), str(record["id"]))
    except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
        return None


def remove_record() -> None:
    _path().unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the server that was started last; they outlive it."""

    keep: Path | None = None  # directory for everything that it has; None: it was in memory
    network: str | None = None  # "aws", or the path of a file

    @property
    def options(self) -> str:
        """The options of ``stepml local up`` for the same settings, each after a blank."""
        given = {"keep": self.keep, "network": self.network}
        return "".join(
            f" --{name} {shlex.quote(str(value))}" for name, value in given.items() if value
        )

    def write(self) -> None:
        texts = {"keep": self.keep and str(self.keep), "network": self.network}
        with located(_settings_path()):
            _settings_path().write_text(json.dumps(texts), encoding="utf-8")


def read_settings() -> Settings:
    """Return the settings of the server that was started last."""
    try:
        found = json.loads(_settings_path().read_text(encoding="utf-8"))
        keep, network = found["keep"], found["network"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Settings()
    return Settings(keep and Path(str(keep)), network and str(network))


def _settings_path() -> Path:
    return state_directory() / SETTINGS


def _path() -> Path:
    return state_directory() / RECORD


def _exists(pid: int) -> bool:
    # A child of this process remains a zombie until it is waited for.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # no process, or another user's
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Return whether a process has ended and its parent has not waited for it."""
    process = Path(f"/proc/{pid}")
    try:
        state = process.joinpath("stat").read_text().rpartition(")")[2].split()[0]
        # The first thread may have ended while others still hold the port.
        return state in "ZX" and len(list(process.joinpath("task").iterdir())) == 1
    except OSError:
        return HAS_PROC  # with /proc: it has just ended


def _arguments(pid: int) -> list[str]:
    """Return the command line of a process; empty if it is a zombie or does not exist."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []
