"""One process of a function, watched by the thread that waits for it.

The waiting caller reads the process's log, checks its memory and sees its exit in one ``poll``, so
no other thread is needed.
"""

from __future__ import annotations

import math
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from stepml.local.functions.errors import SandboxExitedError, SandboxTimeoutError
from stepml.local.functions.memory import peak_memory_mb
from stepml.local.functions.runtime_api import Connection, RuntimeApi, RuntimeRequest
from stepml.local.functions.templates import Process

TICK_S = 0.1  # between two checks of the memory and the log of a running process
OUTPUT_BYTES = 1024 * 1024  # more than a pipe holds
KILL_WAIT_S = 10.0  # a killed process ends at once unless the kernel holds it


class Sandbox:
    """A running process of a function.

    Parameters
    ----------
    process : Process
        Closed with the sandbox.
    api : RuntimeApi
        The listener for the process's requests.
    memory_mb : int
        The limit; above it, the process is killed.
    on_output : callable
        Receives the standard output and error of the process.
    """

    def __init__(
        self,
        process: Process,
        api: RuntimeApi,
        memory_mb: int,
        on_output: Callable[[bytes], None],
    ) -> None:
        self._process = process
        self._api = api
        self._memory_mb = memory_mb
        self._on_output = on_output
        self._connections: dict[int, Connection] = {}
        self.peak_memory_mb = 0.0  # at the last check; 0 if the system does not report it
        self._poll = select.poll()
        for fd in (self._api.fileno(), process.output_fd, process.exit_fd):
            self._poll.register(fd, select.POLLIN)

    @property
    def seconds(self) -> float:
        """Time since the process began; its template may have started before."""
        return time.monotonic() - self._process.began

    @property
    def pid(self) -> int:
        return self._process.pid

    def next_request(self, deadline: float) -> RuntimeRequest:
        """Wait for the next request of the runtime client.

        Parameters
        ----------
        deadline : float
            By the clock of :func:`time.monotonic`. A request that has already arrived is returned
            even after it.

        Raises
        ------
        SandboxExitedError
            The process has ended, or was killed because it used too much memory.
        SandboxTimeoutError
            The deadline has passed; the process is still running.
        """
        next_check = time.monotonic() + TICK_S
        while True:
            remaining_s = deadline - time.monotonic()
            wait_s = max(0.0, min(remaining_s, TICK_S))
            events = self._poll.poll(math.ceil(wait_s * 1000))
            request = self._take(events)
            if request is not None:
                return request
            if remaining_s <= 0:
                raise SandboxTimeoutError
            if time.monotonic() >= next_check:
                self.check_memory()
                self._on_output(b"")  # writes log lines that are due
                next_check = time.monotonic() + TICK_S

    def check_memory(self) -> None:
        """Record the peak of the process's memory.

        Raises
        ------
        SandboxExitedError
            It exceeded the limit, so the process has been killed.
        """
        self.peak_memory_mb = peak_memory_mb(self.pid) or self.peak_memory_mb
        if self.peak_memory_mb > self._memory_mb:
            self.signal(signal.SIGKILL)
            raise SandboxExitedError(self._exit_reason())

    def drain_output(self) -> None:
        """Read all output so far; one read empties the pipe."""
        self._read_output()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children, unless it was closed."""
        self._process.signal(number)

    def close(self) -> None:
        """Kill the process, wait for it and release its resources, but not the listener."""
        self._process.close()
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _take(self, events: list[tuple[int, int]]) -> RuntimeRequest | None:
        ready = {fd for fd, _ in events}
        if self._process.output_fd in ready:
            self._read_output()
        if self._api.fileno() in ready:
            self._accept()
        for fd in ready & self._connections.keys():
            request = self._receive(fd)
            if request is not None:
                return request
        # Only without other events: an answer sent before the exit still counts.
        is_silent = ready.isdisjoint({self._api.fileno(), *self._connections})
        if is_silent and self._process.exit_fd in ready:
            raise SandboxExitedError(self._exit_reason())
        return None

    def _exit_reason(self) -> str:
        self.signal(signal.SIGKILL)  # also ends its children
        self._process.wait(KILL_WAIT_S)
        self.drain_output()
        code = self._process.returncode
        assert code is not None, "the kernel holds a killed process"
        if code >= 0:
            return f"exit status {code}" if code else ""
        return f"signal: {(signal.strsignal(-code) or str(-code)).lower()}"

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionError):  # it may be closed already
            connection = self._api.accept()
            self._connections[connection.fileno()] = connection
            self._poll.register(connection.fileno(), select.POLLIN)

    def _receive(self, fd: int) -> RuntimeRequest | None:
        try:
            return self._connections[fd].receive()
        except ConnectionError:  # the next poll sees its exit or a new connection
            self._poll.unregister(fd)
            self._connections.pop(fd).close()
            return None

    def _read_output(self) -> None:
        try:
            data = os.read(self._process.output_fd, OUTPUT_BYTES)
        except BlockingIOError:
            return
        if data:
            self._on_output(data)
        else:
            with suppress(KeyError):  # the end may be read again after the exit
                self._poll.unregister(self._process.output_fd)
