"""Records the server process of a state directory."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

from stepml.local.processes import HAS_PROC, arguments, exists, has_ended
from stepml.os_errors import located
from stepml.state_directory import RECORD, state_directory

SETTINGS = "local_settings.json"
SERVER_MODULE = "stepml.local"


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
        return exists(self.pid) and (self.is_confirmed() or not HAS_PROC)

    def is_confirmed(self) -> bool:
        """Return whether the process has the command line of the server."""
        return {SERVER_MODULE, self.id} <= set(arguments(self.pid))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def has_ended(self, wait_s: float) -> bool:
        """Return whether the process ends within ``wait_s``."""
        return has_ended(self.pid, wait_s)  # not is_alive: an ending one has no command line


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
