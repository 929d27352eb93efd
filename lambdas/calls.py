"""Calls of a function by Lambda, and the costs that a sandbox remembers between them.

Lambda bills the start of a sandbox with its first call. A call that fails has no result that could
carry its cost, and the results of a failed attempt are lost. Both happen in a sandbox that is
mostly called again, so it adds such costs to the next call for the same job. Costs of a sandbox
that was killed go with it; `lost_seconds` estimates those of a state's earlier calls.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambdas.environment import memory_mb, seconds_since
from stepml.job.errors import ExecutorPausedError, StorageUnavailableError, WaitTimeoutError
from stepml.job.prices import function_usd
from stepml.job.stopwatch import Stopwatch, measuring

MOST_JOBS = 64  # that a sandbox remembers
MOST_S = 900.0  # of a call
RUNTIME_S = 0.002  # of each call: Lambda's runtime around the handler
CRASHES = 3  # after which a state retries no more; then calls were throttled, or paused
_SHORTEST_INIT_S = 0.001  # the system counts in steps of 0.01 s
LONGEST_PAUSE_S = 30.0  # between calls that were throttled
# After these the state calls its function again, and that call counts the time of this one.
_RETRIED = (ExecutorPausedError, StorageUnavailableError, WaitTimeoutError)


@dataclass(slots=True)
class Debts:
    """Costs of one job in a sandbox, in US dollars."""

    epoch: int = 0
    attempt: str = ""  # the last one at this epoch
    owed: float = 0.0  # carried by no result
    carried: float = 0.0  # by results of the attempt

    def take(self, epoch: int, attempt: str) -> float:
        """Return the debt that a call of an attempt takes over as it begins."""
        if (epoch, attempt) != (self.epoch, self.attempt):
            if epoch == self.epoch:  # the attempt before has failed, with all its results
                self.owed += self.carried
            self.epoch, self.attempt, self.carried = epoch, attempt, 0.0
        owed, self.owed = self.owed, 0.0
        return owed


@dataclass(slots=True)
class Call:
    """One call of a function."""

    began: float  # by time.monotonic
    init_s: float = 0.0  # the start of the sandbox, if this is its first call
    owed_usd: float = 0.0  # from earlier calls
    carried_usd: float = 0.0  # by its result
    requests_usd: Callable[[], float] = float  # so far
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def seconds(self) -> float:
        """Time since it began, without the start of the sandbox."""
        return time.monotonic() - self.began

    @property
    def cost_usd(self) -> float:
        """Its cost so far, with what earlier calls owe."""
        billed_s = self.init_s + self.seconds + RUNTIME_S
        return function_usd(billed_s, memory_mb()) + self.requests_usd() + self.owed_usd


class Sandbox:
    """The memory of a sandbox."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._init_s = 0.0
        self._debts: OrderedDict[str, Debts] = OrderedDict()

    def started(self, init_s: float) -> None:
        """Set the time of its start, which is billed with the first call."""
        self._init_s = init_s

    @contextmanager
    def call(self, task: Any) -> Iterator[Call]:
        """Remember the part of a call's cost that its result does not carry."""
        debts = self._debts_of(getattr(task, "job_id", ""))
        attempt = getattr(task, "attempt", "")
        init_s = self._take_init_s()
        owed_usd = debts.take(task.epoch if attempt else debts.epoch, attempt)
        call = Call(time.monotonic(), init_s, owed_usd)
        token = _call.set(call)
        try:
            with measuring(call.stopwatch):
                yield call
        except Exception as error:
            if type(error) not in _RETRIED:
                debts.owed += call.cost_usd
            raise
        else:
            debts.carried += call.carried_usd
            debts.owed += call.cost_usd - call.carried_usd
        finally:
            _call.reset(token)

    def _take_init_s(self) -> float:
        """Return the time of its start if this is its first call, else 0."""
        if os.getpid() != self._process:  # forked, on the local AWS, with this module loaded
            self._process = os.getpid()
            self._init_s = max(_SHORTEST_INIT_S, seconds_of_process())
        init_s, self._init_s = self._init_s, 0.0
        return init_s

    def _debts_of(self, job_id: str) -> Debts:
        debts = self._debts.setdefault(job_id, Debts())
        self._debts.move_to_end(job_id)
        if len(self._debts) > MOST_JOBS:
            self._debts.popitem(last=False)
        return debts


_call: ContextVar[Call | None] = ContextVar("call", default=None)


def current_call() -> Call:
    """Return the call that is being answered; outside Lambda, one that begins now."""
    return _call.get() or Call(time.monotonic())


def lost_seconds(retries: int, entered_at: str, init_s: float = 0.0) -> float:
    """Return the time of a state's earlier calls, which have failed, without the pauses between.

    The pauses are as long as the state machines say after a crash; calls that were throttled are
    not billed, and come after pauses of up to half a minute.

    Parameters
    ----------
    retries : int
        Number of earlier calls.
    entered_at : str
        When the state was entered, ISO 8601; empty: unknown.
    init_s : float
        The start of the sandbox of this call.
    """
    if not retries or not entered_at:
        return 0.0
    pauses_s = 2 * (2.0**retries - 1) if retries <= CRASHES else LONGEST_PAUSE_S * retries
    return min(MOST_S * retries, max(0.0, seconds_since(entered_at) - init_s - pauses_s))


def seconds_of_process() -> float:
    """Return the time since this process began, or 0 on systems without /proc."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    began_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22: since the machine's start
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began_s)
