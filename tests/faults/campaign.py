"""Jobs under faults, several at once, and their results."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any

from tests.faults.placements import COPIES, LATE, Fault
from tests.faults.settings import Setting
from tests.faults.stack import FaultyStack
from tests.support.running_aws import eventually

MOST_S = 200.0  # that a job may take longer than undisturbed, for each of its faults
AT_ONCE = 5  # jobs; ranks of more would look for each other while they wait for a processor


@dataclass(frozen=True)
class Strike:
    """A job and its faults."""

    name: str
    setting: Setting
    faults: Sequence[Fault]
    stack: FaultyStack
    options: Mapping[str, Any] = field(default_factory=dict)  # of the algorithm, and ``epochs``
    ends: str = ""  # required status before any redrive; empty: any
    says: str = ""  # required text in its cause
    is_mended: bool = False  # restore damaged and lost objects before the redrive


@dataclass
class Outcome:
    """The result of a job under faults."""

    strike: Strike
    status: str = ""
    cause: str = ""
    first_status: str = ""  # before it was redriven
    first_cause: str = ""
    struck: set[str] = field(default_factory=set)  # names of faults
    differing: list[str] = field(default_factory=list)  # keys with other bits
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0  # until its first end
    calm_s: float = 0.0  # of the undisturbed job

    @property
    def came_through(self) -> bool:
        return self.status == "SUCCEEDED" and not self.differing and not self.left

    @property
    def is_late(self) -> bool:
        return self.seconds > self.calm_s + MOST_S * len(self.strike.faults)

    def complaints(self) -> list[str]:
        """Return a description of each defect."""
        name, wanted = self.strike.name, self.strike
        # With async, it depends on the ranks' order which of them reaches a place.
        is_reached = wanted.setting.has_fixed_bits
        certain = {fault.name for fault in wanted.faults if is_reached and fault.is_certain}
        missed = sorted(certain - self.struck)
        said = f"{self.first_status}: {self.first_cause}"
        ended = self.first_status or self.status
        as_expected = ended == wanted.ends and wanted.says in self.first_cause
        as_expected |= not (is_reached or self.struck)  # it met no fault
        return [
            *([] if as_expected or not wanted.ends else [f"{name} was {said}, not as expected"]),
            *([] if self.status == "SUCCEEDED" else [f"{name} is {self.status}: {self.cause}"]),
            *([] if self.status == "SUCCEEDED" or not self.first_cause else [f"before: {said}"]),
            *(f"{name}: other bits under {key}" for key in self.differing),
            *(f"{name}: left behind: {key}" for key in self.left),
            *(f"{name}: never struck: {fault}" for fault in missed),
            *([f"{name} took {self.seconds:.0f} s, not {self.calm_s:.0f}"] if self.is_late else []),
        ]


class Campaign:
    """Runs jobs under faults, and compares them with undisturbed ones."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._rows = count(1)
        self._references: dict[str, Future[tuple[dict[str, bytes], float]]] = {}
        self._lock = Lock()

    def writes(self, setting: Setting, stack: FaultyStack) -> list[dict[str, Any]]:
        """Return the writes of an undisturbed job of ``setting``."""
        self._expected(setting, stack, {})
        return stack.writes(f"{setting.name}-undisturbed")

    def submit(self, strike: Strike) -> Future[Outcome]:
        """Run a job under faults as soon as there is room for it."""
        return self._pool.submit(self.run, strike)

    def run(self, strike: Strike) -> Outcome:
        """Run a job under faults, redrive it once if necessary, and compare."""
        expected, calm_s = self._expected(strike.setting, strike.stack, strike.options)
        outcome = Outcome(strike, calm_s=calm_s)
        self.outcomes.append(outcome)
        execution, began = self._start(strike), time.monotonic()
        self._end(outcome, strike.stack.ended(execution))
        outcome.seconds = time.monotonic() - began
        if outcome.status in ("FAILED", "ABORTED"):
            outcome.first_status, outcome.first_cause = outcome.status, outcome.cause
            self._await_cleaning(strike)
            if strike.is_mended:
                strike.stack.put_back(strike.name)
            self._end(outcome, strike.stack.redriven(execution, strike.name))
        outcome.struck = {*strike.stack.notes(strike.name, "claims")}
        self._await_copies(outcome)
        if outcome.status == "SUCCEEDED":
            bits = strike.stack.bits(strike.name)
            names = bits.keys() | expected.keys() if strike.setting.has_fixed_bits else ()
            outcome.differing = sorted(n for n in names if bits.get(n) != expected.get(n))
            outcome.left = strike.stack.left_behind(strike.name)
        return outcome

    def close(self) -> None:
        """Cancel jobs that have not begun, and wait for the rest."""
        self._pool.shutdown(cancel_futures=True)

    def _expected(
        self, setting: Setting, stack: FaultyStack, options: Mapping[str, Any]
    ) -> tuple[dict[str, bytes], float]:
        """Return the bits and the seconds of an undisturbed job, which runs once."""
        tag = "-".join(f"{name}-{value}" for name, value in options.items()).replace("_", "-")
        name = f"{setting.name}-undisturbed{'-' if tag else ''}{tag}"
        with self._lock:
            is_first = name not in self._references
            reference = self._references.setdefault(name, Future())
        if is_first:
            try:
                reference.set_result(self._undisturbed(Strike(name, setting, (), stack, options)))
            except BaseException as error:
                reference.set_exception(error)
        return reference.result()

    def _undisturbed(self, strike: Strike) -> tuple[dict[str, bytes], float]:
        execution, began = self._start(strike), time.monotonic()
        ended = strike.stack.ended(execution)
        assert ended["status"] == "SUCCEEDED", ended
        return strike.stack.bits(strike.name), time.monotonic() - began

    def _start(self, strike: Strike) -> str:
        faults = [fault.planned() for fault in strike.faults]
        strike.stack.place(strike.name, strike.setting.channel, faults)
        rows = strike.stack.upload_rows(next(self._rows))
        return strike.stack.start(strike.setting.job(rows, **strike.options), strike.name)

    def _end(self, outcome: Outcome, ended: Mapping[str, Any]) -> None:
        outcome.status, outcome.cause = ended["status"], ended.get("cause", "")

    def _await_cleaning(self, strike: Strike) -> None:
        """Wait until the ended job is cleaned up, or until a fault lets the clean-up wait."""
        late = {fault.name for fault in strike.faults if fault.action == LATE}
        if late:
            eventually(lambda: strike.stack.notes(strike.name, "claims").keys(), late.issubset)
        else:
            strike.stack.tidied(strike.name)

    def _await_copies(self, outcome: Outcome) -> None:
        strike = outcome.strike
        made = {f.name for f in strike.faults if f.action in COPIES} & outcome.struck
        eventually(lambda: strike.stack.notes(strike.name, "copies").keys(), made.issubset)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return a table of the jobs, their faults and their results."""
    struck = [
        (fault.moment, fault.action)
        for outcome in outcomes
        for fault in outcome.strike.faults
        if fault.name in outcome.struck
    ]
    table = sorted(Counter(struck).items())
    lines = [f"  {moment:7} {action:14} {number:4}" for (moment, action), number in table]
    through = sum(outcome.came_through for outcome in outcomes)
    redriven = sum(bool(outcome.first_status) for outcome in outcomes)
    total = (
        f"{len(struck)} faults in {len(outcomes)} jobs; {through} came through with every bit as "
        f"it was and nothing left behind, {redriven} of all after a redrive"
    )
    return "\n".join(["Faults injected:", *lines, total])
