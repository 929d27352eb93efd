"""Keeps the process of a server running: starts it again whenever it ends."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from typing import Protocol

logger = logging.getLogger(__name__)

POLL_S = 0.01
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
# A request waits for this many starts, as a process may be killed while it starts.
TRIES = 3
END_WAIT_S = 10.0  # a killed process ends at once unless the kernel holds it


class Server(Protocol):
    """A program that runs as one process."""

    def spawn(self) -> subprocess.Popen[bytes]: ...
    def answers(self, pid: int) -> bool: ...
    def failure(self, reason: str) -> Exception:
        """Return the error for a process that did not start."""
        ...


class Keeper:
    """Starts a server at the first request, and again whenever it ends, until `close`.

    A failed start is repeated after a pause, which grows to five seconds. A server that has never
    answered is given up after three failed starts, until the next request.

    Parameters
    ----------
    server : Server
        Always started by the same thread, which lives as long as the process: the kernel may end a
        process with the thread that started it.
    patience_s : float
        Seconds that a process has to answer before it is replaced; twice as many after each
        failed start, as the machine may be busy.
    """

    def __init__(self, server: Server, patience_s: float) -> None:
        self._server = server
        self._patience_s = patience_s
        self._changed = threading.Condition()  # guards all that follows
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._has_answered = False  # the present process
        self._is_needed = False  # a process has answered, so jobs may use it
        self._is_closed = False
        self._n_requests = 0
        self._n_failures = 0
        self._last_failure = 0  # the number of the one at which requests give up
        self._failure: Exception | None = None  # the last one

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def pid(self) -> int | None:
        """The process id, or None while no process runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def require(self, wait_s: float) -> subprocess.Popen[bytes] | None:
        """Return the running process once it has answered.

        Return None if it is still starting after ``wait_s`` seconds, or the keeper is closed.

        Raises
        ------
        Exception
            The server's own error, after three failed starts.
        """
        with self._changed:
            self._n_requests += 1
            last = self._last_failure = self._n_failures + TRIES
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._keep, daemon=True)
                self._thread.start()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_decided(last), wait_s)
            if self._is_up():
                return self._process
            if self._failure is not None and self._n_failures >= last:
                raise self._failure
            return None

    def close(self) -> None:
        """End the process for good."""
        with self._changed:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()  # it holds nothing worth saving
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(END_WAIT_S)

    def _is_decided(self, last_failure: int) -> bool:
        return self._is_closed or self._is_up() or self._n_failures >= last_failure

    def _is_up(self) -> bool:
        return self._has_answered and not self._is_closed and self.pid is not None

    def _keep(self) -> None:
        n_failed = 0  # in a row
        while self._goes_on():
            try:
                self._run_once(self._patience_s * 2**n_failed)
                n_failed = 0
            except Exception as error:  # nothing else would start the server again
                n_failed += 1
                self._record(error, min(FIRST_PAUSE_S * 2 ** (n_failed - 1), LONGEST_PAUSE_S))

    def _goes_on(self) -> bool:
        with self._changed:
            is_wanted = self._is_needed or self._n_failures < self._last_failure
            if self._is_closed or not is_wanted:
                self._thread = None
                return False
            return True

    def _run_once(self, patience_s: float) -> None:
        """Start the server, and return when it has ended."""
        with self._changed:
            if self._is_closed:
                return
            process = self._process = self._server.spawn()
        try:
            self._await_answer(process, patience_s)
            with self._changed:
                self._has_answered = self._is_needed = True
                self._changed.notify_all()
            process.wait()
        finally:
            self._has_answered = False
            process.kill()
            process.wait(END_WAIT_S)

    def _await_answer(self, process: subprocess.Popen[bytes], patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while not self._server.answers(process.pid):
            if process.poll() is not None:
                raise self._server.failure("ended at once")
            if time.monotonic() > deadline:
                raise self._server.failure(f"does not answer within {patience_s:g} s")
            time.sleep(POLL_S)

    def _record(self, error: Exception, pause_s: float) -> None:
        """Record a failed start and pause; a request ends the pause."""
        with self._changed:
            if self._is_closed:
                return
            logger.warning("%s; next start in %g s", error, pause_s)
            self._n_failures += 1
            self._failure = error
            self._changed.notify_all()
            requests = self._n_requests
            self._changed.wait_for(lambda: self._is_closed or self._n_requests != requests, pause_s)
