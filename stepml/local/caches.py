"""The servers of the channels redis, memcached and parameter_server, started when a job asks.

They are the real programs, on free loopback ports that are chosen, and kept, when the local AWS
starts: so the stack can name them before they run. They end with the local AWS, even if that is
killed.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

from stepml.local import parameter_server
from stepml.local.identity import HOST
from stepml.local.parameter_server import ParameterServerProgram

TETHER = Path(__file__).with_name("tether.py")
START_WAIT_S = 10.0
END_WAIT_S = 10.0  # a killed process is gone at once unless the kernel holds it
ANSWER_TIMEOUT_S = 1.0
DYING_WAIT_S = 1.0
POLL_S = 0.01
MEMCACHED_MB = 1024
LAST_PORT = 65535
LOG_LINES_SHOWN = 5


class CacheError(Exception):
    """A job asks for a server that cannot be had; the message names the field and the reason."""


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """A server as the status of the local AWS tells it."""

    name: str  # the channel
    url: str
    pid: int | None  # None while it is not started
    parameters: dict[str, str]  # of the template, which say where it is


class ServerProgram(Protocol):
    """A program that serves a channel."""

    @property
    def channel(self) -> str: ...
    @property
    def program(self) -> str: ...
    def url(self, port: int) -> str: ...
    def parameters(self, port: int) -> dict[str, str]: ...
    def command(self, port: int, directory: Path) -> list[str]: ...
    def environment(self) -> dict[str, str]: ...
    def answering_pid(self, port: int) -> int | None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CacheProgram:
    """Redis or Memcached."""

    channel: str  # its name in the job spec; also the URL's scheme
    program: str  # and the name of its Debian package
    parameter: str  # of the template, which takes the URL
    arguments: Callable[[int, Path], list[str]]  # from its port and directory
    question: bytes  # whose answer has the process id,
    answer: re.Pattern[bytes]  # … here

    def url(self, port: int) -> str:
        """Return the address of the server on ``port``, as functions are told."""
        return f"{self.channel}://{HOST}:{port}"

    def parameters(self, port: int) -> dict[str, str]:
        """Return the parameters of the template that say where it is."""
        return {self.parameter: self.url(port)}

    def command(self, port: int, directory: Path) -> list[str]:
        """Return program and arguments, or raise `CacheError` if it is not installed."""
        path = shutil.which(self.program)
        if path is None:
            raise CacheError(
                f"exchange.channel {self.channel!r} needs the program {self.program}, which is "
                f"not installed; on Debian: apt-get install {self.program}"
            )
        return [path, *self.arguments(port, directory)]

    def environment(self) -> dict[str, str]:
        """Return what its process finds."""
        return dict(os.environ)

    def answering_pid(self, port: int) -> int | None:
        """Return the process id of the server on ``port``, None if nothing that we know answers."""
        received = b""
        with (
            suppress(OSError),
            socket.create_connection((HOST, port), ANSWER_TIMEOUT_S) as connection,
        ):
            connection.sendall(self.question)
            while (found := self.answer.search(received)) is None:
                more = connection.recv(65536)
                received += more
                if not more or len(received) > 65536:
                    return None
            return int(found[1])
        return None

    def close(self) -> None:
        """Do nothing: its port is another's."""


def _redis_arguments(port: int, directory: Path) -> list[str]:
    return [
        *("--port", str(port), "--bind", HOST, "--dir", str(directory)),
        *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"),
    ]


def _memcached_arguments(port: int, directory: Path) -> list[str]:
    # As root it wants to be told a user; one with fewer rights would untie it from the local AWS.
    user = ["-u", pwd.getpwuid(0).pw_name] if os.geteuid() == 0 else []
    return ["-p", str(port), "-l", HOST, "-m", str(MEMCACHED_MB), *user]


PROGRAMS = (
    CacheProgram(
        "redis",
        "redis-server",
        "RedisUrl",
        _redis_arguments,
        b"INFO server\r\n",
        re.compile(rb"process_id:(\d+)\r\n"),
    ),
    CacheProgram(
        "memcached",
        "memcached",
        "MemcachedUrl",
        _memcached_arguments,
        b"stats\r\n",
        re.compile(rb"STAT pid (\d+)\r\n"),
    ),
)


def template_parameters(caches: Iterable[CacheStatus], concurrency: int) -> dict[str, str]:
    """Return the parameters of ``templates/template.yaml`` that say what is here.

    Parameters
    ----------
    caches : iterable of CacheStatus
    concurrency : int
        Functions that run at once.
    """
    parameters = {"AccountConcurrency": str(concurrency)}
    for cache in caches:
        parameters |= cache.parameters
    return parameters


class Caches:
    """All servers of a local AWS.

    Parameters
    ----------
    port : int
        Of the local AWS; theirs are the first free ones above.
    state : Path
        Directory for their logs.
    start_wait_s : float
        How long a server may take to answer.
    """

    def __init__(self, port: int, state: Path, *, start_wait_s: float = START_WAIT_S) -> None:
        # A server is tied to the thread that starts it: to one that lives as long as this.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="caches")
        self._servers: dict[str, _CacheServer] = {}
        health = _reserve(port + len(PROGRAMS) + 2)
        server = ParameterServerProgram(health, state / parameter_server.CHANNEL)
        programs: list[ServerProgram] = [*PROGRAMS, server]
        for program in programs:
            reserved = _reserve(port + 1)
            port = reserved.getsockname()[1]
            self._servers[program.channel] = _CacheServer(
                program, reserved, state, self._starter, start_wait_s
            )

    def start_for(self, execution_input: str | None) -> None:
        """Have the server run that an execution with this input, a JSON text, asks for.

        Raises
        ------
        CacheError
            Its program is not installed, or does not start.
        """
        server = self._servers.get(_channel(execution_input))
        if server is not None:
            server.require()

    def statuses(self) -> list[CacheStatus]:
        return [server.status() for server in self._servers.values()]

    def close(self) -> None:
        """End all servers and give back their ports."""
        for server in self._servers.values():
            server.close()
        self._starter.shutdown()


class _CacheServer:
    """One server: not started, running, or dead until it is required again."""

    def __init__(
        self,
        program: ServerProgram,
        reserved: socket.socket,
        state: Path,
        starter: ThreadPoolExecutor,
        start_wait_s: float,
    ) -> None:
        self._start_wait_s = start_wait_s
        self._program = program
        self._reserved = reserved
        self._port: int = reserved.getsockname()[1]
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
            self._kill()  # so that the next job gets a new one
            raise
        threading.Thread(target=self._replace, args=(process,), daemon=True).start()

    def _require_end(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a silent server: a killed one closes its sockets before it is gone.

        Raises
        ------
        CacheError
            It still runs. Other jobs may be using it, so it is not ended for this one.
        """
        try:
            process.wait(DYING_WAIT_S)
        except subprocess.TimeoutExpired:
            raise self._error(
                f"{self._program.program}, process {process.pid} on "
                f"{HOST}:{self._port}, does not answer; `stepml local down` ends it"
            ) from None

    def _replace(self, process: subprocess.Popen[bytes]) -> None:
        """Start a new server when ``process`` ends: jobs under way heal, as they do on AWS."""
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
                start_new_session=True,  # Ctrl-C in the terminal is the local AWS's
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
            process.kill()  # it holds nothing that is worth saving
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


def _channel(execution_input: str | None) -> str:
    """Return ``exchange.channel`` of a job, empty for anything else."""
    value = json.loads(execution_input or "{}")
    for field in ("exchange", "channel"):
        value = value.get(field) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _reserve(first: int) -> socket.socket:
    """Return a socket that keeps the first free port from ``first`` on for one of our servers.

    It does not listen and lets its port be used again: a server that does the same, as all of
    ours do, may bind it, and the system gives it to nobody who asks for any free port.
    """
    for port in chain(range(first, LAST_PORT + 1), [0]):
        reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            reserved.bind((HOST, port))
        except OSError:
            reserved.close()
            continue
        # Only now: before, it would share the port with another one that is kept like this.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return reserved
    raise OSError(f"no port of {HOST} is free")
