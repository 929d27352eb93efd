"""The local AWS as a background process: start it, ask for it, end it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from stepml.local.identity import (
    DEFAULT_CONCURRENCY,
    DEFAULT_PORT,
    HOST,
    STATUS_PATH,
    endpoint_url,
)
from stepml.local.paths import state_directory

START_WAIT_S = 30.0
STOP_WAIT_S = 20.0  # function processes get a few seconds of it to end by themselves
POLL_S = 0.02
STATUS_TIMEOUT_S = 5.0
LOG_LINES_SHOWN = 20


class LocalAwsError(Exception):
    """The local AWS cannot be started or stopped; the message says why."""


class PortTakenError(LocalAwsError):
    """Something else listens on the port."""


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
    log_path: Path  # what the server has written


def up(
    *,
    port: int = DEFAULT_PORT,
    concurrency: int = DEFAULT_CONCURRENCY,
    wait_s: float = START_WAIT_S,
    with_parent: bool = False,
) -> LocalStatus:
    """Start the local AWS in the background, unless it runs already, and wait until it answers.

    Parameters
    ----------
    port : int
        Of 127.0.0.1.
    concurrency : int
        How many functions run at once; more are throttled.
    wait_s : float
        How long to wait for its first answer.
    with_parent : bool
        Whether it ends with this process, even if that is killed.

    Raises
    ------
    PortTakenError
        Something else listens on ``port``.
    LocalAwsError
        It runs already on another port, ended at once, or did not answer in time.
    """
    running = status()
    if running is not None:
        if running.port != port:
            raise LocalAwsError(
                f"the local AWS already runs on port {running.port}, so not on {port}; "
                "`stepml local down` ends it"
            )
        return running
    _require_free(port)
    directory = state_directory()
    directory.mkdir(parents=True, exist_ok=True)
    process = _start(port, concurrency, with_parent)
    _record_path().write_text(json.dumps({"pid": process.pid, "port": port}), encoding="utf-8")
    return _await_answer(process, wait_s)


def status() -> LocalStatus | None:
    """Return the local AWS that was started from this state directory, None if none runs.

    The server itself confirms its process id, so a left-over record never names another process.
    """
    record = _read_record()
    if record is None:
        return None
    answer = _ask(record["port"])
    return None if answer is None or answer["pid"] != record["pid"] else _status(answer)


def down(*, wait_s: float = STOP_WAIT_S) -> bool:
    """End the local AWS and its function processes; return whether there was one.

    Everything that it stored is gone with it.

    Raises
    ------
    LocalAwsError
        It is still there after ``wait_s``.
    """
    running = status()
    if running is None:
        _record_path().unlink(missing_ok=True)
        return False
    _signal(running.pid, signal.SIGTERM)
    if not _has_ended(running.pid, wait_s):
        # Its functions notice that their server is gone, and end by themselves.
        _signal(running.pid, signal.SIGKILL)
        if not _has_ended(running.pid, wait_s):
            raise LocalAwsError(f"process {running.pid} is still there after {wait_s:g} s")
    _record_path().unlink(missing_ok=True)
    return True


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
            _record_path().unlink(missing_ok=True)
            raise LocalAwsError(f"the local AWS ended at once:\n{_log_tail()}")
        running = status()
        if running is not None:
            # It outlives this process, which must not wait for it.
            process.returncode = 0
            return running
        time.sleep(POLL_S)
    process.kill()
    process.wait()
    _record_path().unlink(missing_ok=True)
    raise LocalAwsError(f"the local AWS did not answer within {wait_s:g} s:\n{_log_tail()}")


def _require_free(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server does: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            what = "another local AWS" if _ask(port) is not None else "another program"
            raise PortTakenError(
                f"port {port} of {HOST} is taken by {what}; choose another with --port"
            ) from error


def _ask(port: int) -> dict[str, Any] | None:
    """Return what the local AWS on ``port`` says of itself, None if there is none."""
    url = f"{endpoint_url(port)}{STATUS_PATH}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=STATUS_TIMEOUT_S) as response:
            answer = json.load(response)
    except (OSError, HTTPException, ValueError):
        return None
    return answer if isinstance(answer, dict) and "pid" in answer else None


def _status(answer: dict[str, Any]) -> LocalStatus:
    return LocalStatus(
        port=answer["port"],
        pid=answer["pid"],
        endpoint_url=endpoint_url(answer["port"]),
        concurrency=answer["concurrency"],
        uptime_s=time.time() - answer["started_at"],
        environments=tuple(FunctionEnvironment(**item) for item in answer["environments"]),
        log_path=_log_path(),
    )


def _has_ended(pid: int, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if not _is_alive(pid):
            return True
        time.sleep(POLL_S)
    return False


def _is_alive(pid: int) -> bool:
    # If this process started it, it stays a zombie until it is waited for.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has just ended, which is what was wanted


def _read_record() -> dict[str, int] | None:
    try:
        record = json.loads(_record_path().read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) and {"pid", "port"} <= record.keys() else None


def _log_tail() -> str:
    lines = _log_path().read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES_SHOWN:])


def _record_path() -> Path:
    return state_directory() / "local.json"


def _log_path() -> Path:
    return state_directory() / "local.log"
