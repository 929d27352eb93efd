"""Finds the running local AWS of this state directory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepml.local.cache_server import CacheStatus
from stepml.local.launching import log_path
from stepml.local.record import ServerRecord, read_record, read_settings
from stepml.local_identity import (
    DEFAULT_PORT,
    HOST,
    AnotherProgramError,
    NoAnswerError,
    ask,
    endpoint_url,
)

STATUS_TIMEOUT_S = 5.0
NAMING_TIMEOUT_S = 1.0  # for a detail of an error message


class LocalAwsError(Exception):
    """The local AWS cannot be started, used or stopped; the message says why."""


class NotRunningError(LocalAwsError):
    """The local AWS of this state directory does not run."""


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
    servers: tuple[CacheStatus, ...]  # those that stacks have made
    log_path: Path  # of the server
    id: str  # of the server; no other has it
    network: dict[str, Any] | None  # of a cloud, as `Network`; None: this machine's
    kept_in: Path | None  # the directory for everything that it has; None: it is in memory
    kept_bytes: int  # in that directory


def status() -> LocalStatus | None:
    """Return the status of this state directory's local AWS, or None if it is not running.

    The server confirms the id in its record, so no other program is taken for it.

    Raises
    ------
    UnresponsiveError
        Its process exists but does not answer.
    """
    record = read_record()
    if record is None:
        return None
    try:
        answer = ask(endpoint_url(record.port), STATUS_TIMEOUT_S)
    except AnotherProgramError:
        return None
    except NoAnswerError as error:
        if not record.is_alive():
            return None
        raise UnresponsiveError(
            f"process {record.pid}, the local AWS on port {record.port}, does not answer "
            f"({error}); `stepml local down --yes` ends it"
        ) from error
    return None if answer is None or answer["id"] != record.id else _status(answer)


def is_running() -> bool:
    """Return whether this state directory's local AWS exists, even if it does not answer."""
    try:
        return status() is not None
    except UnresponsiveError:
        return True


def require() -> LocalStatus:
    """Return the status of this state directory's local AWS.

    Raises
    ------
    NotRunningError
        It is not running; the message says how to start it, on a port that is free.
    UnresponsiveError
        Its process exists but does not answer.
    """
    running = status()
    if running is not None:
        return running
    record = read_record() or ServerRecord(0, DEFAULT_PORT, "")
    other = listener(record.port)
    if other is None:
        port = "" if record.port == DEFAULT_PORT else f" --port {record.port}"
        raise NotRunningError(
            "the local AWS is not running; start it with: "
            f"stepml local up{port}{read_settings().options}"
        )
    raise NotRunningError(
        f"the local AWS is not running, and port {record.port} of {HOST} is used by {other}; "
        "start it on another port: stepml local up --port PORT"
    )


def listener(port: int) -> str | None:
    """Return a description of the program that listens on ``port``, or None if there is none."""
    try:
        answer = ask(endpoint_url(port), NAMING_TIMEOUT_S)
    except (AnotherProgramError, NoAnswerError):
        return "another program"
    return None if answer is None else "another local AWS"


def _status(answer: dict[str, Any]) -> LocalStatus:
    keep = answer.get("keep")
    return LocalStatus(
        port=answer["port"],
        pid=answer["pid"],
        endpoint_url=endpoint_url(answer["port"]),
        concurrency=answer["concurrency"],
        uptime_s=time.time() - answer["started_at"],
        environments=tuple(FunctionEnvironment(**item) for item in answer["environments"]),
        caches=tuple(CacheStatus(**item) for item in answer.get("caches", ())),
        servers=tuple(CacheStatus(**item) for item in answer.get("servers", ())),
        log_path=log_path(),
        id=str(answer["id"]),
        network=answer.get("network"),
        kept_in=None if keep is None else Path(keep["directory"]),
        kept_bytes=0 if keep is None else keep["size_bytes"],
    )
