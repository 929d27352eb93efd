"""One server of a channel: it starts when a job needs it and again if it dies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stepml.local.channel_programs import CacheError, LocalProgram
from stepml.local.identity import HOST
from stepml.local.ports import port_of

TETHER = Path(__file__).with_name("tether.py")
END_WAIT_S = 10.0  # a killed process ends at once unless the kernel holds it
DYING_WAIT_S = 1.0
POLL_S = 0.01
LOG_LINES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """The state of a server."""

    name: str  # the channel
    url: str
    pid: int | None  # None while it does not run
    parameters: dict[str, str]  # of the template, with the server's address


class CacheServer:
    """The server of one channel: not started, running, or dead until the next job needs it.

    Parameters
    ----------
    program : LocalProgram
    reserved : socket
        Reserves the server's port.
    state : Path
        Directory with a folder for each server's log.
    starter : ThreadPoolExecutor
        One thread that lives as long as the server may: the kernel ends the server with it.
    start_wait_s : float
        Seconds that the server has to answer after its start.
    """

    def __init__(
        self,
        program: LocalProgram,
        reserved: socket.socket,
        state: Path,
        starter: ThreadPoolExecutor,
        start_wait_s: float,
    ) -> None:
        self._start_wait_s = start_wait_s
        self._program = program
        self._reserved = reserved
        self._port = port_of(reserved)
        self._directory = state / program.channel
        self._starter = starter
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._changing = threading.Lock()

    def status(self) -> CacheStatus:
        process = self._process
        is_running = process is not None and process.poll() is None
        return CacheStatus(
            self._program.channel,
            self._program.url(self._port),
            process.pid if process and is_running else None,
            self._program.parameters(self._port),
        )

    def require(self) -> None:
        """Start the server unless it runs and answers.

        Raises
        ------
        CacheError
            It cannot be used.
        """
        with self._changing:
            if self._is_closed:
                raise self._error("the local AWS is ending")
            process = self._process
            if process is None or process.poll() is not None:
                self._start()
            elif self._program.answering_pid(self._port) != process.pid:
                self._require_end(process)
                self._start()

    def close(self) -> None:
        """End the server and release its port."""
        with self._changing:
            self._is_closed = True
            self._kill()
            self._reserved.close()
            self._program.close()

    def _start(self) -> None:
        process = self._process = self._starter.submit(self._spawn).result()
        try:
            self._await_answer(process)
        except CacheError:
            self._kill()  # so that the next job starts a new one
            raise
        threading.Thread(target=self._replace, args=(process,), daemon=True).start()

    def _require_end(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for a silent server to end: a killed process closes its sockets before it ends.

        Raises
        ------
        CacheError
            It still runs. Other jobs may use it, so it is not killed.
        """
        try:
            process.wait(DYING_WAIT_S)
        except subprocess.TimeoutExpired:
            raise self._error(
                f"{self._program.program}, process {process.pid} on "
                f"{HOST}:{self._port}, does not answer; `stepml local down` ends it"
            ) from None

    def _replace(self, process: subprocess.Popen[bytes]) -> None:
        """Start a new server when ``process`` ends, as AWS does: running jobs recover."""
        process.wait()
        with self._changing, suppress(CacheError):
            if not self._is_closed and self._process is process:
                self._start()

    def _spawn(self) -> subprocess.Popen[bytes]:
        program = self._program.command(self._port, self._directory)
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

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_wait_s
        while self._program.answering_pid(self._port) != process.pid:
            if process.poll() is not None:
                raise self._error(f"{self._program.program} ended at once: {self._log_tail()}")
            if time.monotonic() > deadline:
                raise self._error(
                    f"{self._program.program} does not answer on {HOST}:{self._port} within "
                    f"{self._start_wait_s:g} s: {self._log_tail()}"
                )
            time.sleep(POLL_S)

    def _kill(self) -> None:
        process = self._process
        if process is not None:
            process.kill()  # it holds nothing worth saving
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_WAIT_S)

    @property
    def _log_path(self) -> Path:
        return self._directory / f"{self._program.channel}.log"

    def _log_tail(self) -> str:
        text = self._log_path.read_text(encoding="utf-8", errors="replace")
        return " | ".join(text.splitlines()[-LOG_LINES_SHOWN:]) or "it wrote nothing"

    def _error(self, reason: str) -> CacheError:
        return CacheError(f"exchange.channel {self._program.channel!r} cannot be used: {reason}")
