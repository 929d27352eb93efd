"""The local AWS as a background process: start it, ask for it, end it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
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
from stepml.local.locks import LockTimeoutError, exclusive
from stepml.local.paths import state_directory
from stepml.local.record import ServerRecord, read_record, remove_record

START_WAIT_S = 30.0
STOP_WAIT_S = 20.0  # function processes get a few seconds of it to end by themselves
POLL_S = 0.02
STATUS_TIMEOUT_S = 5.0
NAMING_TIMEOUT_S = 1.0  # only to word an error better
# One `up` may wait for the first answer of a server, one `down` twice for its end.
LOCK_WAIT_S = START_WAIT_S + 2 * STOP_WAIT_S
LOG_LINES_SHOWN = 20


class LocalAwsError(Exception):
    """The local AWS cannot be started or stopped; the message says why."""


class PortTakenError(LocalAwsError):
    """Something else listens on the port."""


class UnresponsiveError(LocalAwsError):
    """The process of the local AWS is there and does not answer."""


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
    log_path: Path  # what the server has written


def up(
    *,
    port: int | None = None,
    concurrency: int | None = None,
    wait_s: float = START_WAIT_S,
    with_parent: bool = False,
) -> LocalStatus:
    """Start the local AWS in the background, unless it runs already, and wait until it answers.

    Parameters
    ----------
    port : int, optional
        Of 127.0.0.1; left out, that of the one that runs, else 4566.
    concurrency : int, optional
        How many functions run at once, more are throttled; left out, as many as the one that runs
        allows, else 1000.
    wait_s : float
        How long to wait for its first answer.
    with_parent : bool
        Whether it ends with this process, even if that is killed.

    Raises
    ------
    PortTakenError
        Something else listens on ``port``.
    UnresponsiveError
        It runs already, and does not answer.
    LocalAwsError
        It runs already on another port, with another concurrency or by itself; or it ended at
        once, or did not answer in time.
    """
    with _alone():
        running = status()
        if running is not None:
            if with_parent:
                raise LocalAwsError(
                    f"the local AWS already runs, on port {running.port}, so it cannot end with "
                    "this command; `stepml local down` ends it"
                )
            _require_same("on port", running.port, port)
            _require_same("with --concurrency", running.concurrency, concurrency)
            return running
        port = DEFAULT_PORT if port is None else port
        concurrency = DEFAULT_CONCURRENCY if concurrency is None else concurrency
        _require_free(port)
        process = _start(port, concurrency, with_parent)
        ServerRecord(process.pid, port).write()
        try:
            return _await_answer(process, wait_s)
        except BaseException:  # also Ctrl-C: nobody would know of it
            process.kill()
            process.wait()
            remove_record()
            raise


def status() -> LocalStatus | None:
    """Return the local AWS that was started from this state directory, None if none runs.

    The server itself confirms its process id, so a left-over record never names another process.

    Raises
    ------
    UnresponsiveError
        Its process is there and does not answer.
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
    """Return whether there is a local AWS of this state directory, even if it does not answer."""
    try:
        return status() is not None
    except UnresponsiveError:
        return True


def down(*, wait_s: float = STOP_WAIT_S) -> bool:
    """End the local AWS and its function processes; return whether there was one.

    Everything that it stored is gone with it. One that does not answer is ended as well.

    Raises
    ------
    LocalAwsError
        It is still there after ``wait_s``.
    """
    with _alone():
        record = read_record()
        if record is None:
            return False
        # One that does not listen yet, or any more, is told by its command line alone.
        was_running = record.is_confirmed() or is_running()
        if was_running:
            _end(record, wait_s)
        remove_record()
        return was_running


def _end(record: ServerRecord, wait_s: float) -> None:
    record.signal(signal.SIGTERM)
    if record.has_ended(wait_s):
        return
    # Its functions notice that their server is gone, and end by themselves.
    record.signal(signal.SIGKILL)
    if not record.has_ended(wait_s):
        raise LocalAwsError(f"process {record.pid} is still there after {wait_s:g} s")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep another `up` or `down` of this state directory out."""
    try:
        with exclusive("local", LOCK_WAIT_S):
            yield
    except LockTimeoutError as error:
        raise LocalAwsError(f"another `stepml local` is at work: {error}") from error


def _require_same(running_with: str, running: int, wanted: int | None) -> None:
    if wanted is not None and wanted != running:
        raise LocalAwsError(
            f"the local AWS already runs {running_with} {running}, so not {running_with} {wanted}; "
            "`stepml local down` ends it"
        )


def _start(port: int, concurrency: int, with_parent: bool) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        *("-m", "stepml.local", "--port", str(port), "--concurrency", str(concurrency)),
        *(["--with-parent"] if with_parent else []),
    ]
    with _log_path().open("wb") as log, _standard_input(with_parent) as stdin:
        # A session of its own: Ctrl-C in the terminal that started it is not meant for it.
        return subprocess.Popen(  # noqa: S603 — our own module, by our own interpreter
            command, stdin=stdin, stdout=log, stderr=log, start_new_session=True
        )


@contextlib.contextmanager
def _standard_input(with_parent: bool) -> Iterator[int]:
    if not with_parent:
        yield subprocess.DEVNULL
        return
    # Nobody closes the other end: the system does when this process ends, however that happens.
    ours, _ = os.pipe()
    try:
        yield ours
    finally:
        os.close(ours)


def _await_answer(process: subprocess.Popen[bytes], wait_s: float) -> LocalStatus:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LocalAwsError(f"the local AWS ended at once:\n{_log_tail()}")
        running = _status_if_told()
        if running is not None:
            # It outlives this process, which must not wait for it.
            process.returncode = 0
            return running
        time.sleep(POLL_S)
    raise LocalAwsError(f"the local AWS did not answer within {wait_s:g} s:\n{_log_tail()}")


def _status_if_told() -> LocalStatus | None:
    with contextlib.suppress(UnresponsiveError):  # a busy machine: it is asked again
        return status()
    return None


def _require_free(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server does: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortTakenError(
                f"port {port} of {HOST} is taken by {_who_listens(port)}; "
                "choose another with --port"
            ) from error


def _who_listens(port: int) -> str:
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
        log_path=_log_path(),
    )


def _log_tail() -> str:
    lines = _log_path().read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES_SHOWN:])


def _log_path() -> Path:
    return state_directory() / "local.log"
