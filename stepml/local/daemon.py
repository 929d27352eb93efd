"""Starts, finds and ends the local AWS as a background process."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from stepml.local import companion
from stepml.local.keeping.store import KeepError, require_usable
from stepml.local.launching import Launch, launch, log_tail
from stepml.local.locks import LockTimeoutError, exclusive
from stepml.local.network import AWS, Network, NetworkError, network_path, read_network
from stepml.local.ports import ENDPOINT, read_ports
from stepml.local.record import (
    ServerRecord,
    Settings,
    read_record,
    read_settings,
    remove_record,
)
from stepml.local.running import (
    FunctionEnvironment,
    LocalAwsError,
    LocalStatus,
    NotRunningError,
    UnresponsiveError,
    is_running,
    listener,
    require,
    status,
)
from stepml.local_identity import DEFAULT_CONCURRENCY, DEFAULT_PORT, HOST

__all__ = [
    "FunctionEnvironment",
    "KeepError",
    "LocalAwsError",
    "LocalStatus",
    "NetworkError",
    "NotRunningError",
    "PortTakenError",
    "UnresponsiveError",
    "down",
    "is_running",
    "read_settings",
    "require",
    "status",
    "up",
]

START_WAIT_S = 30.0
STOP_WAIT_S = 20.0  # of which function processes have a few to end by themselves
POLL_S = 0.02
# An `up` may wait for the first answer of a server, a `down` twice for its end.
LOCK_WAIT_S = START_WAIT_S + 2 * STOP_WAIT_S


class PortTakenError(LocalAwsError):
    """Another program listens on the port."""


def up(
    *,
    port: int | None = None,
    concurrency: int | None = None,
    network: str | None = None,
    keep: Path | None = None,
    wait_s: float = START_WAIT_S,
    with_parent: bool = False,
) -> LocalStatus:
    """Start the local AWS in the background, unless it is running, and wait until it answers.

    Parameters
    ----------
    port : int, optional
        Port of 127.0.0.1. Defaults to that of the running local AWS, else to that of the last one
        in ``keep``, else 4566.
    concurrency : int, optional
        Functions that may run at once; more are throttled. Defaults to the value of the running
        local AWS, else 1000.
    network : str, optional
        A file with the network of a cloud, or ``aws``. Defaults to that of the running local AWS,
        else to this machine's.
    keep : Path, optional
        Directory for everything that it has, also after its end. Defaults to that of the running
        local AWS, else to none.
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
        It is running with another port, concurrency, network or directory, or cannot end with this
        process; or it ended at once, or did not answer in time.
    KeepError
        ``keep`` cannot be used.
    NetworkError
        ``network`` has a mistake.
    """
    wanted = None if network is None else read_network(network_path(network))
    with _alone():
        running = status()
        if running is not None:
            _require_suitable(running, port, concurrency, with_parent)
            _require_network(running, wanted)
            _require_directory(running, keep)
            return running
        if keep is not None:
            require_usable(keep.absolute())
        how = Launch(
            port=port or read_ports(keep).get(ENDPOINT, DEFAULT_PORT),
            concurrency=DEFAULT_CONCURRENCY if concurrency is None else concurrency,
            identity=secrets.token_hex(16),
            with_parent=with_parent,
            network=network if network in (None, AWS) else str(network_path(network)),
            keep=None if keep is None else keep.absolute(),
        )
        return _start_and_wait(how, wait_s)


def down(*, wait_s: float = STOP_WAIT_S) -> bool:
    """End the local AWS, its function processes and its console; return whether it was running.

    Everything that it has stored is lost, unless it has a directory for that. It is ended even if
    it does not answer.

    Raises
    ------
    LocalAwsError
        It is still running after ``wait_s`` seconds.
    """
    with _alone():
        companion.end()
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


def _require_network(running: LocalStatus, wanted: Network | None) -> None:
    if wanted is not None and asdict(wanted) != running.network:
        raise LocalAwsError(
            "the local AWS is already running with another network; `stepml local down` ends it"
        )


def _require_directory(running: LocalStatus, keep: Path | None) -> None:
    if keep is not None and keep.absolute() != running.kept_in:
        kept_in = "in memory" if running.kept_in is None else f"with --keep {running.kept_in}"
        raise LocalAwsError(
            f"the local AWS is already running {kept_in}, not with --keep {keep}; "
            "`stepml local down` ends it"
        )


def _start_and_wait(how: Launch, wait_s: float) -> LocalStatus:
    _require_free(how.port)
    process = launch(how)
    try:
        ServerRecord(process.pid, how.port, how.identity).write()
        Settings(how.keep, how.network).write()
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
                f"port {port} of {HOST} is used by {listener(port) or 'another program'}; "
                "choose another with --port"
            ) from error
