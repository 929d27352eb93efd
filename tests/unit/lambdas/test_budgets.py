"""Budgets and stragglers: jobs that end normally, and ranks that delay the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lambdas import calls
from lambdas.attempts.stragglers import find_stragglers
from lambdas.epochs import in_flight
from stepml.job import keys
from stepml.job.errors import ExecutorPausedError
from stepml.job.reports import EpochReport
from stepml.job.spec import Stop
from stepml.job.step import Step
from stepml.job.tasks import ExecutorResult
from stepml.ml.convergence import Spent, decide, spent_with
from storage.base import Buffer
from storage.metered import MeteredDurableStorage
from storage.testing.memory import MemoryStorage
from tests.support.clocks import HandClock
from tests.support.jobs import Job
from tests.support.running_aws import eventually

Costs = st.lists(st.floats(1e-6, 10), min_size=1, max_size=30)
FOREVER = 1000


class TimedJob(Job):
    """A job with attempts that begin at their real time."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.began = timedelta()  # ago
        self.slow: SlowStorage | None = None  # of rank 2
        self.looking: LookingStorage | None = None  # of rank 0

    def attempt(self, epoch: int) -> dict[str, Any]:
        started_at = (datetime.now(UTC) - self.began).isoformat()
        return super().attempt(epoch) | {"started_at": started_at}

    def execute(
        self,
        epoch: int,
        rank: int,
        remaining: Callable[[], float] = lambda: 900.0,
        storage: Any = None,
    ) -> ExecutorResult:
        own = {0: self.looking, 2: self.slow}.get(rank)
        return super().execute(epoch, rank, remaining, storage or own)

    def run(self) -> list[EpochReport]:
        """Run epochs in the loop of `Converged?` until one is the last."""
        reports: list[EpochReport] = []
        while not reports or reports[-1].decision == "continue":
            number = len(reports) + 1
            reports.append(self.reduce(number, self.execute_all(number)))
        return reports


class LookingStorage(MeteredDurableStorage):
    """Notes the keys that a rank has looked for."""

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self.looked_for: set[str] = set()

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        self.looked_for.update(keys)
        return super().load_many(keys)


class SlowStorage(MeteredDurableStorage):
    """Takes its time, once, while all others wait."""

    def __init__(
        self,
        inner: MemoryStorage,
        clock: HandClock,
        others: Sequence[str],
        merger_waits: Callable[[], bool],
    ) -> None:
        super().__init__(inner)
        self._clock, self._others, self._merger_waits = clock, others, merger_waits

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        if not self.requests["load"]:
            eventually(lambda: self.inner.find_many(self._others), set(self._others).__eq__)
            eventually(self._merger_waits, bool)
            self._clock.sleep(1.3)
        return super().load_many(keys)


def simulated(stop: Stop, costs: Sequence[float], seconds: Sequence[float]) -> list[Spent]:
    """Return the total spent after each epoch of a job, given the costs of its epochs."""
    previous: EpochReport | None = None
    spent: list[Spent] = []
    for epoch, (usd, took) in enumerate(zip(costs, seconds, strict=True), start=1):
        spent.append(spent_with(previous, took, usd))
        verdict = decide(stop, epoch, 1.0, previous, spent=spent[-1])
        if verdict.decision != "continue":
            return spent
        previous = EpochReport(
            epoch=epoch,
            decision=verdict.decision,
            reason=verdict.reason,
            next_epoch=epoch + 1,
            loss=1.0,
            metrics={},
            training_loss=1.0,
            best_loss=1.0,
            epochs_without_improvement=0,
            seconds=took,
            active_seconds=spent[-1].seconds,
            cost_usd=usd,
            total_cost_usd=spent[-1].cost_usd,
            executor_seconds=[],
            stragglers=[],
            called_again=[],
        )
    return spent


@given(Costs, st.floats(1e-6, 50))
def test_a_budget_holds_but_for_what_the_last_epoch_did_not_predict(
    costs: list[float], budget: float
) -> None:
    stop = Stop(max_epochs=FOREVER, max_cost_usd=budget)
    spent = simulated(stop, costs, [1.0] * len(costs))
    n = len(spent)
    unforeseen = max(0.0, costs[n - 1] - costs[n - 2]) if n > 1 else costs[0]
    assert spent[-1].cost_usd <= budget + unforeseen + 1e-6
    if n < len(costs):  # nor does it end if another epoch like the last fits
        assert spent[-1].cost_usd + costs[n - 1] > budget


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=30), st.integers(1, 500))
def test_so_does_one_of_time(seconds: list[float], budget: int) -> None:
    stop = Stop(max_epochs=FOREVER, max_seconds=budget)
    spent = simulated(stop, [0.01] * len(seconds), seconds)
    n = len(spent)
    unforeseen = max(0.0, seconds[n - 1] - seconds[n - 2]) if n > 1 else seconds[0]
    assert spent[-1].seconds <= budget + unforeseen + 0.001 * n


def test_a_job_ends_before_it_costs_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    # Time is free: a busy machine would take more of it.
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")
    job = TimedJob(stop={"max_epochs": FOREVER, "max_cost_usd": 0.002})
    job.initialised()
    reports = job.run()
    assert 2 <= len(reports) <= 7  # 11 transitions alone cost $0.000275
    assert reports[-1].decision == "finished"
    assert reports[-1].reason.startswith("max_cost_usd 0.002: ")
    assert reports[-1].total_cost_usd <= 0.002
    assert job.finalise(len(reports)).epochs == len(reports)
    assert job.storage.find_many([keys.model("job")])


@pytest.mark.parametrize("stop", [{"max_cost_usd": 1e-9}, {"max_seconds": 1}])
def test_the_first_epoch_always_runs(stop: dict[str, Any]) -> None:
    job = TimedJob(stop={"max_epochs": FOREVER} | stop)
    job.began = timedelta(seconds=2)
    job.initialised()
    (report,) = job.run()
    (field,) = stop
    assert report.decision == "finished"
    assert report.reason.startswith(field)


def test_a_pause_between_attempts_is_no_active_time() -> None:
    job = TimedJob(stop={"max_epochs": FOREVER, "max_seconds": 100_000})
    job.initialised()
    job.began = timedelta(seconds=10_000)
    first = job.reduce(1, job.execute_all(1))
    assert 10_000 <= first.active_seconds < 11_000
    job.retries = 1  # RunEpoch began another attempt the next day, with its own start time
    second = job.reduce(2, job.execute_all(2))
    assert 20_000 <= second.active_seconds < 21_000
    # The epoch's execution was redriven by itself the next day: it reports its first start time.
    job.began, job.redrives = timedelta(days=1), 1
    results = [replace(result, seconds=2000.0 + result.rank) for result in job.execute_all(3)]
    third = job.reduce(3, results)
    assert third.decision == "continue"
    assert 2002 <= third.seconds < 3000  # the slowest rank's, and the reducer's
    assert third.active_seconds == pytest.approx(second.active_seconds + third.seconds)


@pytest.mark.parametrize("algorithm", ["model_averaging", "gradient_averaging"])
def test_a_paused_rank_counts_from_the_epochs_start_unless_that_was_redriven(
    algorithm: str,
) -> None:
    job = TimedJob(algorithm={"name": algorithm, "batch_size": 20})
    job.initialised()
    _pause_all(job)
    job.began = timedelta(seconds=10_000)
    results = job.execute_all(1)
    assert min(result.seconds for result in results) >= 10_000
    job = TimedJob(algorithm={"name": algorithm, "batch_size": 20})
    job.initialised()
    _pause_all(job)
    job.began, job.redrives = timedelta(days=1), 1
    assert max(result.seconds for result in job.execute_all(1)) < 1000


def _pause_all(job: Job) -> None:
    def paused(rank: int) -> None:
        left = iter((900.0,))  # at the call's start; at the first batch, time is nearly over
        with pytest.raises(ExecutorPausedError):
            job.execute(1, rank, lambda: next(left, 12.0))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(paused, range(3)))


@pytest.mark.parametrize(
    ("work", "found"),
    [
        ([10, 10, 10], []),
        ([10, 10, 15], []),  # not more than half as much again
        ([10, 10, 15.1], [2]),
        ([0.1, 0.1, 0.1, 1.05], []),  # ten times as much, but less than a second
        ([0.1, 1.2, 0.1, 0.1], [1]),
        ([10, 90], []),  # two ranks do not suffice
        ([90], []),
        ([9, 30, 10, 11, 40], [1, 4]),
        ([], []),
    ],
)
def test_stragglers_take_much_longer_than_most(work: list[float], found: list[int]) -> None:
    alone = [ExecutorResult(rank=rank, seconds=s) for rank, s in enumerate(work)]
    assert find_stragglers(alone) == found
    longest = max(work, default=0.0) + 5  # in flight, all take equally long
    waited = [
        ExecutorResult(rank=rank, seconds=longest, waited_seconds=longest - s)
        for rank, s in enumerate(work)
    ]
    assert find_stragglers(waited[::-1]) == found


@pytest.mark.parametrize("algorithm", ["model_averaging", "gradient_averaging"])
def test_a_slow_rank_is_named_in_the_report(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    for module in (calls, in_flight):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=sleep))
    job = TimedJob(workers=4, algorithm={"name": algorithm, "batch_size": 20})
    job.initialised()
    assert job.reduce(1, job.execute_all(1)).stragglers == []
    in_step = algorithm == "gradient_averaging"
    others = [
        keys.contribution(job.exchanged(), Step(2, 1 if in_step else 0), 0, rank)
        for rank in (
            (1, 3) if in_step else (0, 1)
        )  # in a step, rank 0 merges; or one after another
    ]
    awaited = keys.contribution(job.exchanged(), Step(2, 1), 0, 2)
    job.looking = looking = LookingStorage(job.storage)
    job.slow = SlowStorage(
        job.storage, clock, others, lambda: not in_step or awaited in looking.looked_for
    )
    report = job.reduce(2, job.execute_all(2))
    assert report.stragglers == [2]
    waited_for_it = [seconds > 1.2 for seconds in report.executor_seconds]
    assert all(waited_for_it) == in_step
