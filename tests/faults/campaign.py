"""A campaign: every place of small jobs is struck, on every algorithm and channel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from botocore.exceptions import ClientError

from tests.faults.placements import COPIES, Fault, Planner, StruckJob, points
from tests.faults.stack import FaultyStack
from tests.running_aws import eventually

EPOCHS = 4
AT_ONCE = 10  # jobs; a Task that is to be tried again waits most of its time

LOGISTIC = {"name": "logistic_regression"}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "model_averaging": {
        "model": LOGISTIC,
        "algorithm": {"name": "model_averaging", "learning_rate": 0.5, "batch_size": 25},
    },
    "admm": {
        "model": LOGISTIC,
        "algorithm": {
            "name": "admm",
            "local_iterations": 5,
            "absolute_tolerance": 0,
            "relative_tolerance": 0,
        },
    },
    "expectation_maximisation": {
        "model": {"name": "kmeans", "n_clusters": 6},
        "algorithm": {"name": "expectation_maximisation"},
    },
    "gradient_averaging": {
        "model": LOGISTIC,
        "algorithm": {
            "name": "gradient_averaging",
            "learning_rate": 0.1,
            "batch_size": 25,
            "optimiser": "adam",
        },
    },
}


@dataclass(frozen=True)
class Setting:
    """One algorithm on one channel."""

    algorithm: str
    channel: str
    pattern: str

    @property
    def name(self) -> str:
        return f"{self.algorithm}-{self.channel}".replace("_", "-")

    @property
    def in_flight(self) -> bool:
        return self.algorithm == "gradient_averaging"

    def job(self, uri: str, **fields: Any) -> dict[str, Any]:
        """Return a small job."""
        return {
            "data": {"uri": uri, "format": "csv", "label": "label", "standardise": True},
            "workers": 3,
            **ALGORITHMS[self.algorithm],
            "exchange": {"channel": self.channel, "pattern": self.pattern},
            "stop": {"max_epochs": EPOCHS},
            **fields,
        }


SETTINGS = [
    Setting("model_averaging", "s3", "reduce"),
    Setting("model_averaging", "redis", "reduce_scatter"),
    Setting("admm", "s3", "reduce_scatter"),
    Setting("admm", "redis", "reduce"),
    Setting("expectation_maximisation", "s3", "reduce"),
    Setting("expectation_maximisation", "redis", "reduce_scatter"),
    Setting("gradient_averaging", "s3", "reduce"),
    Setting("gradient_averaging", "redis", "reduce_scatter"),
]


@dataclass
class Outcome:
    """What became of a job that was struck."""

    name: str
    faults: list[Fault]
    status: str = ""
    cause: str = ""
    first_cause: str = ""  # why the execution had to be redriven
    struck: set[str] = field(default_factory=set)  # names of faults
    differing: list[str] = field(default_factory=list)  # keys with other bits
    left: list[str] = field(default_factory=list)

    @property
    def came_through(self) -> bool:
        return self.status == "SUCCEEDED" and not self.differing and not self.left

    def complaints(self) -> list[str]:
        """Return what is wrong, in words."""
        missed = sorted({fault.name for fault in self.faults} - self.struck)
        why = self.cause or self.first_cause
        return [
            *([] if self.status == "SUCCEEDED" else [f"{self.name} is {self.status}: {why}"]),
            *(f"{self.name}: other bits under {key}" for key in self.differing),
            *(f"{self.name}: left behind: {key}" for key in self.left),
            *(f"{self.name}: never struck: {fault}" for fault in missed),
        ]


class Campaign:
    """All struck jobs of all settings, several at once."""

    def __init__(self, stack: FaultyStack, extras: int) -> None:
        self.stack = stack
        self._extras = extras
        self.outcomes: list[Outcome] = []
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._rows = count(1)
        self._bits: dict[Setting, dict[str, bytes]] = {}
        self._running: dict[Setting, list[Future[Outcome]]] = {}

    def begin(self, settings: Sequence[Setting]) -> None:
        """Run all ``settings`` undisturbed, then start the jobs that are struck."""
        self._bits = dict(zip(settings, self._pool.map(self._undisturbed, settings), strict=True))
        planner = Planner(self._extras)
        plans = {
            setting: planner.plan(
                points(self.stack.writes(setting.name)),
                setting.channel,
                in_flight=setting.in_flight,
            )
            for setting in settings
        }
        for setting, jobs in plans.items():
            self._running[setting] = [
                self._pool.submit(self._strike, setting, f"{setting.name}-{number}", job)
                for number, job in enumerate(jobs)
            ]

    def outcomes_of(self, setting: Setting) -> list[Outcome]:
        """Wait for the struck jobs of a setting."""
        outcomes = [each.result() for each in self._running.pop(setting)]
        self.outcomes += outcomes
        return outcomes

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _undisturbed(self, setting: Setting) -> dict[str, bytes]:
        ended = self.stack.ended(self._start(setting, setting.name))
        assert ended["status"] == "SUCCEEDED", ended
        return self.stack.bits(setting.name)

    def _start(self, setting: Setting, name: str, faults: Sequence[Fault] = ()) -> str:
        self.stack.place(name, setting.channel, [fault.planned() for fault in faults])
        rows = self.stack.upload_rows(next(self._rows))
        return self.stack.start(setting.job(rows), name)

    def _strike(self, setting: Setting, name: str, job: StruckJob) -> Outcome:
        outcome = Outcome(name, job.faults)
        execution = self._start(setting, name, job.faults)
        ended = self.stack.ended(execution)
        if ended["status"] == "FAILED":
            outcome.first_cause = ended["cause"]
            with suppress(ClientError):  # then it stays failed
                ended = self.stack.redriven(execution)
        outcome.status, outcome.cause = ended["status"], ended.get("cause", "")
        outcome.struck = {*self.stack.notes(name, "claims")}
        self._await_copies(name, outcome)
        if outcome.status == "SUCCEEDED":
            bits, expected = self.stack.bits(name), self._bits[setting]
            keys = bits.keys() | expected.keys()
            outcome.differing = sorted(k for k in keys if bits.get(k) != expected.get(k))
            outcome.left = self.stack.left_behind(name)
        return outcome

    def _await_copies(self, name: str, outcome: Outcome) -> None:
        made = {f.name for f in outcome.faults if f.action in COPIES} & outcome.struck
        eventually(lambda: self.stack.notes(name, "copies"), lambda copies: made <= copies.keys())


def summary(outcomes: list[Outcome]) -> str:
    """Return what was done and what came of it, as a table."""
    struck = [
        (fault.moment, fault.action)
        for outcome in outcomes
        for fault in outcome.faults
        if fault.name in outcome.struck
    ]
    lines = [
        f"  {moment:7} {action:12} {n:4}" for (moment, action), n in sorted(Counter(struck).items())
    ]
    through = sum(outcome.came_through for outcome in outcomes)
    redriven = sum(bool(outcome.first_cause) for outcome in outcomes)
    total = (
        f"{len(struck)} faults in {len(outcomes)} jobs, of which {through} came through with every "
        f"bit as it was and nothing left behind ({redriven} after a redrive)"
    )
    return "\n".join(["Faults injected:", *lines, total])
