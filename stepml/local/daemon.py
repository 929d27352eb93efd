"""Starts, finds and ends the local AWS as a background process."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepml.local.answers import NoAnswerError, ask
from stepml.local.cache_server import CacheStatus
from stepml.local.identity import (
    DEFAULT_CONCURRENCY,
    DEFAULT_PORT,
    HOST,
    endpoint_url,
)
from stepml.local.launching import launch, log_path, log_tail
from stepml.local.locks import LockTimeoutError, exclusive
from stepml.local.record import ServerRecord, read_record, remove_record

START_WAIT_S = 30.0
STOP_WAIT_S = 20.0  # of which function processes have a few to end by themselves
POLL_S = 0.02
STATUS_TIMEOUT_S = 5.0
NAMING_TIMEOUT_S = 1.0  # for a detail of an error message
# An `up` may wait for the first answer of a server, a `down` twice for its end.
LOCK_WAIT_S = START_WAIT_S + 2 * STOP_WAIT_S


class LocalAwsError(Exception):
    """The local AWS cannot be started or stopped; the message says why."""


class PortTakenError(LocalAwsError):
    """Another program listens on the port."""


class UnresponsiveError(LocalAwsError):
    """The process of the local AWS exists but does not answer."""


@dataclass(frozen=True, slots=True)
class FunctionEnvironment:
    """A process that runs a function."""

    function: str  # the function's name
    pid: int | None  # None while it is being started
    state: str  # starting, busy or idle


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """A running local AWS."""

    port: int  # of 127.0.0.1
    pid: int  # of the server
    endpoint_url: str  # for AWS_ENDPOINT_URL and --endpoint-url
    concurrency: int  # functions that may run at once
    uptime_s: float
    environments: tuple[FunctionEnvironment, ...]  # processes of functions
    caches: tuple[CacheStatus, ...]  # servers of channels, running or not
    log_path: Path  # of the server


def up(
    *,
    port: int | None = None,
    concurrency: int | None = None,
    wait_s: float = START_WAIT_S,
    with_parent: bool = False,
) -> LocalStatus:
    """Start the local AWS in the background, unless it is running, and wait until it answers.

    Parameters
    ----------
    port : int, optional
        Port of 127.0.0.1. Defaults to that of the running local AWS, else 4566.
    concurrency : int, optional
        Functions that may run at once; more are throttled. Defaults to the value of the running
        local AWS, else 1000.
    wait_s : float
        Seconds to wait for its first answer.
    with_parent : bool
        Whether it ends with this process, even if this is killed.

    Raises
    ------
    PortTakenError
        Another program listens on ``port``.
    UnresponsiveError
        It is running but does not answer.
    LocalAwsError
        It is running with another port or concurrency, or cannot end with this process; or it
        ended at once, or did not answer in time.
    """
    with _alone():
        running = status()
        if running is not None:
            _require_suitable(running, port, concurrency, with_parent)
            return running
        return _start_and_wait(
            DEFAULT_PORT if port is None else port,
            DEFAULT_CONCURRENCY if concurrency is None else concurrency,
            with_parent,
            wait_s,
        )


def status() -> LocalStatus | None:
    """Return the status of this state directory's local AWS, or None if it is not running.

    The server confirms its process id, so an old record never refers to another process.

    Raises
    ------
    UnresponsiveError
        Its process exists but does not answer.
    """
    record = read_record()
    if record is None:
        return None
    try:
        answer = ask(record.port, STATUS_TIMEOUT_S)
    except NoAnswerError as error:
        if not record.is_alive():
            return None
        raise UnresponsiveError(
            f"process {record.pid}, the local AWS on port {record.port}, does not answer "
            f"({error}); `stepml local down` ends it"
        ) from error
    return None if answer is None or answer["pid"] != record.pid else _status(answer)


def is_running() -> bool:
    """Return whether this state directory's local AWS exists, even if it does not answer."""
    try:
        return status() is not None
    except UnresponsiveError:
        return True


def down(*, wait_s: float = STOP_WAIT_S) -> bool:
    """End the local AWS and its function processes; return whether it was running.

    Everything that it has stored is lost. It is ended even if it does not answer.

    Raises
    ------
    LocalAwsError
        It is still running after ``wait_s`` seconds.
    """
    with _alone():
        record = read_record()
        if record is None:
            return False
        # While it starts or ends, it does not listen; then its command line identifies it.
        was_running = record.is_confirmed() or is_running()
        if was_running:
            _end(record, wait_s)
        remove_record()
        return was_running


def _end(record: ServerRecord, wait_s: float) -> None:
    record.signal(signal.SIGTERM)
    if record.has_ended(wait_s):
        return
    # Its functions notice that their server has ended, and end by themselves.
    record.signal(signal.SIGKILL)
    if not record.has_ended(wait_s):
        raise LocalAwsError(f"process {record.pid} is still running after {wait_s:g} s")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Exclude any other `up` or `down` of this state directory."""
    try:
        with exclusive("local", LOCK_WAIT_S):
            yield
    except LockTimeoutError as error:
        raise LocalAwsError(f"another `stepml local` is running: {error}") from error


def _require_suitable(
    running: LocalStatus, port: int | None, concurrency: int | None, with_parent: bool
) -> None:
    if with_parent:
        raise LocalAwsError(
            f"the local AWS is already running on port {running.port} and cannot end with "
            "this command; `stepml local down` ends it"
        )
    _require_same("on port", running.port, port)
    _require_same("with --concurrency", running.concurrency, concurrency)


def _require_same(running_with: str, running: int, wanted: int | None) -> None:
    if wanted is not None and wanted != running:
        raise LocalAwsError(
            f"the local AWS is already running {running_with} {running}, not {running_with} "
            f"{wanted}; `stepml local down` ends it"
        )


def _start_and_wait(port: int, concurrency: int, with_parent: bool, wait_s: float) -> LocalStatus:
    _require_free(port)
    process = launch(port, concurrency, with_parent)
    ServerRecord(process.pid, port).write()
    try:
        return _await_answer(process, wait_s)
    except BaseException:  # also at Ctrl-C: the caller would not know of the process
        process.kill()
        process.wait()
        remove_record()
        raise


def _await_answer(process: subprocess.Popen[bytes], wait_s: float) -> LocalStatus:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LocalAwsError(f"the local AWS ended at once:\n{log_tail()}")
        running = _status_if_answered()
        if running is not None:
            # It outlives this process, which must not wait for it.
            process.returncode = 0
            return running
        time.sleep(POLL_S)
    raise LocalAwsError(f"the local AWS did not answer within {wait_s:g} s:\n{log_tail()}")


def _status_if_answered() -> LocalStatus | None:
    with contextlib.suppress(UnresponsiveError):  # on a busy machine; the next try may succeed
        return status()
    return None


def _require_free(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As in the server: a port with connections that are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortTakenError(
                f"port {port} of {HOST} is used by {_listener(port)}; choose another with --port"
            ) from error


def _listener(port: int) -> str:
    with contextlib.suppress(NoAnswerError):
        if ask(port, NAMING_TIMEOUT_S) is not None:
            return "another local AWS"
    return "another program"


def _status(answer: dict[str, Any]) -> LocalStatus:
    return LocalStatus(
        port=answer["port"],
        pid=answer["pid"],
        endpoint_url=endpoint_url(answer["port"]),
        concurrency=answer["concurrency"],
        uptime_s=time.time() - answer["started_at"],
        environments=tuple(FunctionEnvironment(**item) for item in answer["environments"]),
        caches=tuple(CacheStatus(**item) for item in answer.get("caches", ())),
        log_path=log_path(),
    )
