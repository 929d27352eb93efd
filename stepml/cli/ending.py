"""Ends the local AWS, but no running jobs that nobody has been asked about."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stepml.cli.consent import can_ask, is_confirmed
from stepml.cli.errors import BadInputError

if TYPE_CHECKING:
    from stepml.cli.output import Output

JOBS_SHOWN = 3


class JobsRunningError(BadInputError):
    """Jobs are running on the local AWS, and would be lost."""


def require_consent(output: Output) -> None:
    """Ask on a terminal whether running jobs may be lost; refuse without a terminal.

    Raises
    ------
    JobsRunningError
        The answer is no, or nobody can be asked.
    """
    loss = loss_of_ending()
    if loss is None:
        return
    if not can_ask(output):
        raise JobsRunningError(f"{loss}; end it all the same with: stepml local down --yes")
    output.complaint(loss)
    if not is_confirmed("End it all the same?"):
        raise JobsRunningError("nothing was ended")


def loss_of_ending() -> str | None:
    """Return a line on the jobs that end with the local AWS, or None without any."""
    from stepml.client.connection import connect_local
    from stepml.client.running_jobs import running_jobs
    from stepml.local import daemon
    from stepml.records.errors import AccessError

    try:
        running = daemon.status()
        jobs = [] if running is None else running_jobs(connect_local(running.endpoint_url))
    except (daemon.UnresponsiveError, AccessError):
        return "the local AWS does not answer, so its running jobs are unknown and would be lost"
    if running is None or not jobs:
        return None
    return _loss(jobs, "would be lost" if running.kept_in is None else "would be interrupted")


def _loss(jobs: Sequence[str], fate: str) -> str:
    names = ", ".join(jobs[:JOBS_SHOWN]) + (", …" if len(jobs) > JOBS_SHOWN else "")
    many = "1 job is" if len(jobs) == 1 else f"{len(jobs)} jobs are"
    return f"{many} running on the local AWS and {fate}: {names}"


class Ending:
    """The signals that end a local AWS in the foreground."""

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self._last = signal.SIGTERM
        self._has_warned = False

    def set(self, number: int) -> None:
        self._last = signal.Signals(number)
        self._arrived.set()

    def wait(self, timeout_s: float, output: Output) -> bool:
        """Return whether to end; the first Ctrl-C while jobs are running only warns."""
        if not self._arrived.wait(timeout_s):
            return False
        if self._last == signal.SIGINT and not self._has_warned and (loss := loss_of_ending()):
            self._has_warned = True
            self._arrived.clear()
            output.complaint(f"{loss}; press Ctrl-C again to end it all the same")
            return False
        return True


@contextmanager
def ending_signals(foreground: bool) -> Iterator[Ending]:
    """Yield an `Ending`; with ``foreground``, Ctrl-C, SIGTERM and SIGHUP do nothing but set it."""
    ending = Ending()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if foreground else ()
    before = {number: signal.signal(number, lambda n, _: ending.set(n)) for number in numbers}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
