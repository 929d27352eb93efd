"""One server of a channel: it starts when a job needs it, and runs until the local AWS ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stepml.local.channel_programs import CacheError, CacheProgram, LocalProgram
from stepml.local.keeper import TRIES, Keeper
from stepml.local.ports import port_of
from stepml.local_identity import HOST

TETHER = Path(__file__).with_name("tether.py")
LOOK_S = 0.1  # between two looks at a silent process
LOG_LINES_SHOWN = 5
# A started process may need longer than a job waits: on a busy machine, a new start would not help.
PATIENCE = 6


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """The state of a server."""

    name: str  # the channel
    url: str
    pid: int | None  # None while it does not run
    parameters: dict[str, str]  # of the template, with the server's address


class CacheServer:
    """The server of one channel: not needed yet, or kept running.

    Parameters
    ----------
    program : LocalProgram
    reserved : socket
        Reserves the server's port.
    state : Path
        Directory with a folder for each server's log.
    start_wait_s : float
        Seconds that a job waits for an answer.
    """

    def __init__(
        self, program: LocalProgram, reserved: socket.socket, state: Path, start_wait_s: float
    ) -> None:
        self._start_wait_s = start_wait_s
        self._program = program
        self._reserved = reserved
        self._process = _Process(program, port_of(reserved), state / program.channel)
        self._keeper = Keeper(self._process, PATIENCE * start_wait_s)

    @property
    def port(self) -> int:
        return self._process.port

    def status(self) -> CacheStatus:
        port = self.port
        return CacheStatus(
            self._program.channel,
            self._program.url(port),
            self._keeper.pid,
            self._program.parameters(port),
        )

    def counts(self) -> dict[str, int]:
        """Return the figures of a cache by CloudWatch's names; {} while it does not run."""
        if self._keeper.pid is None or not isinstance(self._program, CacheProgram):
            return {}
        return self._program.counts(self.port)

    def require(self) -> None:
        """Start the server unless it runs and answers.

        Raises
        ------
        CacheError
            It cannot be used.
        """
        for _ in range(TRIES):
            process = self._keeper.require(self._start_wait_s)
            if process is None:
                raise self._not_running()
            if self._answers(process):
                return
        raise self._process.failure("ends again and again")

    def close(self) -> None:
        """End the server and release its port."""
        self._keeper.close()
        self._reserved.close()
        self._program.close()

    def _not_running(self) -> CacheError:
        if self._keeper.is_closed:
            return self._process.error("the local AWS is ending")
        return self._process.failure(f"does not answer within {self._start_wait_s:g} s")

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Return whether a server answers, or has ended: a killed process ends after its sockets.

        Raises
        ------
        CacheError
            It still runs. Other jobs may use it, so it is not killed.
        """
        deadline = time.monotonic() + self._start_wait_s  # the machine may be busy
        while not self._process.answers(process.pid):
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_S)
                return False
            if time.monotonic() > deadline:
                raise self._process.error(
                    f"{self._program.program}, process {process.pid} on "
                    f"{HOST}:{self._process.port}, does not answer; `stepml local down` ends it"
                )
        return True


class _Process:
    """The process of a channel's server; a `Server` for its keeper."""

    def __init__(self, program: LocalProgram, port: int, directory: Path) -> None:
        self.port = port
        self._program = program
        self._directory = directory

    def spawn(self) -> subprocess.Popen[bytes]:
        try:
            return self._spawn()
        except OSError as error:  # no room for its log, or no memory for a process
            raise self.error(f"{self._program.program} cannot be started: {error}") from error

    def _spawn(self) -> subprocess.Popen[bytes]:
        program = self._program.command(self.port, self._directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *program]
        with self._log_path.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 — a program of the person's own PATH
                command,
                env=self._program.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for the local AWS
            )

    def answers(self, pid: int) -> bool:
        return self._program.answering_pid(self.port) == pid

    def failure(self, reason: str) -> CacheError:
        return self.error(f"{self._program.program} {reason}: {self._log_tail()}")

    def error(self, reason: str) -> CacheError:
        return CacheError(f"exchange.channel {self._program.channel!r} cannot be used: {reason}")

    @property
    def _log_path(self) -> Path:
        return self._directory / f"{self._program.channel}.log"

    def _log_tail(self) -> str:
        try:
            text = self._log_path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return f"its log cannot be read: {error}"
        return " | ".join(text.splitlines()[-LOG_LINES_SHOWN:]) or "it wrote nothing"
