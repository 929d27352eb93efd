"""Costs that a sandbox remembers, and the time of calls that failed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from lambdas import calls
from lambdas.attempts.costs import Invocation
from lambdas.calls import (
    MOST_JOBS,
    MOST_S,
    RUNTIME_S,
    Sandbox,
    current_call,
    lost_seconds,
    seconds_of_process,
)
from stepml.job.errors import (
    DataSetDamagedError,
    ExecutorPausedError,
    MissingContributionError,
    StepMLError,
    StorageFullError,
    StorageUnavailableError,
    WaitTimeoutError,
)
from stepml.job.prices import GB_SECOND_USD, INVOCATION_USD, PUT_USD, TRANSITION_USD
from stepml.job.tasks import ExecutorTask, JobTask
from storage.testing.memory import MemoryStorage
from tests.support.clocks import HandClock

SECOND_USD = GB_SECOND_USD  # with a gigabyte
NEARLY = 1e-9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[HandClock]:
    """Give functions a gigabyte, and a clock that stands still."""
    clock = HandClock()
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
    monkeypatch.setattr(calls, "time", SimpleNamespace(monotonic=clock.monotonic))
    yield clock


def rank(epoch: int = 1, attempt: int = 0, job_id: str = "job") -> ExecutorTask:
    name = f"{job_id}-e{epoch}-r0-t{attempt}.0"
    return ExecutorTask(
        job_id=job_id, epoch=epoch, rank=0, attempt=name, started_at="2026-01-02T03:04:05Z"
    )


def works(sandbox: Sandbox, clock: HandClock, task: object, seconds: float = 1.0) -> float:
    """Return the cost in the result of a call."""
    with sandbox.call(task):
        clock.sleep(seconds - RUNTIME_S)
        return Invocation.begin(MemoryStorage()).cost_usd()


def fails(sandbox: Sandbox, clock: HandClock, task: object, error: Exception) -> None:
    with pytest.raises(type(error)), sandbox.call(task):
        clock.sleep(1.0 - RUNTIME_S)
        raise error


def usd(seconds: float, n_calls: int = 1) -> object:
    return pytest.approx(seconds * SECOND_USD + n_calls * INVOCATION_USD, abs=2e-8)


def test_the_start_of_a_sandbox_is_billed_with_its_first_call(clock: HandClock) -> None:
    sandbox = Sandbox()
    sandbox.started(2.5)
    assert works(sandbox, clock, rank()) == usd(3.5)
    assert works(sandbox, clock, rank()) == usd(1.0)


@pytest.mark.parametrize(
    "error", [MissingContributionError([1], "epoch 1"), ValueError("x"), StorageFullError("full")]
)
def test_the_next_attempt_carries_the_cost_of_a_call_that_failed(
    clock: HandClock, error: Exception
) -> None:
    sandbox = Sandbox()
    fails(sandbox, clock, rank(attempt=0), error)
    assert works(sandbox, clock, rank(job_id="other")) == usd(1.0)
    assert works(sandbox, clock, rank(attempt=1)) == usd(2.0, 2)
    assert works(sandbox, clock, rank(epoch=2)) == usd(1.0)


@pytest.mark.parametrize(
    "error",
    [ExecutorPausedError("p"), StorageUnavailableError("s"), WaitTimeoutError(["x"], 1.0)],
)
def test_a_call_that_its_state_repeats_is_counted_there(
    clock: HandClock, error: StepMLError
) -> None:
    sandbox = Sandbox()
    fails(sandbox, clock, rank(), error)
    assert works(sandbox, clock, rank()) == usd(1.0)


def test_results_of_an_attempt_that_failed_are_paid_by_the_next_one(clock: HandClock) -> None:
    sandbox = Sandbox()
    works(sandbox, clock, rank(attempt=0))
    works(sandbox, clock, rank(attempt=0))
    assert works(sandbox, clock, rank(attempt=1)) == usd(3.0, 3)
    assert works(sandbox, clock, rank(attempt=2)) == usd(4.0, 4)
    assert works(sandbox, clock, rank(epoch=2)) == usd(1.0)  # the last attempt came through
    assert works(sandbox, clock, rank(epoch=3)) == usd(1.0)


def test_work_after_the_result_is_paid_by_the_next_call(clock: HandClock) -> None:
    sandbox, storage = Sandbox(), MemoryStorage()
    with sandbox.call(rank()):
        invocation = Invocation.begin(storage)
        clock.sleep(1.0 - RUNTIME_S)
        assert invocation.cost_usd(then_usd=PUT_USD) == pytest.approx(
            SECOND_USD + INVOCATION_USD + PUT_USD, abs=2e-8
        )
        invocation.storage.save("report", b"written")
        invocation.storage.clear("exchanged/")
        clock.sleep(0.5)
    after = works(sandbox, clock, rank(epoch=2))
    assert after == pytest.approx(1.5 * SECOND_USD + INVOCATION_USD + PUT_USD, abs=2e-8)


def test_data_that_are_made_in_vain_are_paid_by_the_function_that_made_them(
    clock: HandClock,
) -> None:
    sandbox, task = Sandbox(), JobTask(job_id="job")
    fails(sandbox, clock, task, DataSetDamagedError("gone"))
    assert works(sandbox, clock, task) == usd(2.0, 2)
    assert works(sandbox, clock, task) == usd(1.0)


def test_a_sandbox_remembers_a_limited_number_of_jobs(clock: HandClock) -> None:
    sandbox = Sandbox()
    for number in range(MOST_JOBS + 1):
        fails(sandbox, clock, rank(job_id=f"job-{number}"), ValueError())
    assert works(sandbox, clock, rank(attempt=1, job_id="job-0")) == usd(1.0)
    assert works(sandbox, clock, rank(attempt=1, job_id=f"job-{MOST_JOBS}")) == usd(2.0, 2)


def test_a_call_outside_lambda_owes_nothing(clock: HandClock) -> None:
    with Sandbox().call(rank()) as call:
        assert current_call() is call
    assert current_call() is not call


@pytest.mark.parametrize(
    ("retries", "since_s", "lost_s"),
    [
        (0, 500.0, 0.0),  # it waited for its turn in a Map
        (1, 2.0, 0.0),  # a crash at once, or a pause of up to a second after throttling
        (1, 302.0, 300.0),
        (1, 9000.0, MOST_S),  # redriven much later
        (3, 14.0 + 600.0, 600.0),
        (3, 7.0, 0.0),  # throttled: up to 1, 2 and 4 s
        (20, 600.0, 0.0),  # throttled: up to 30 s each
        (20, 600.0 + 5000.0, 5000.0),  # paused
    ],
)
def test_failed_calls_took_the_time_since_the_state_was_entered_without_pauses(
    retries: int, since_s: float, lost_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "seconds_since", lambda entered_at: since_s)
    assert lost_seconds(retries, "2026-01-02T03:04:05Z") == pytest.approx(lost_s)
    assert lost_seconds(retries, "") == 0
    own_start_s = 1e6  # of the sandbox of this call
    assert lost_seconds(retries, "2026-01-02T03:04:05Z", own_start_s) == 0


def test_the_time_of_failed_calls_is_on_the_bill(clock: HandClock) -> None:
    entered = datetime.now(UTC) - timedelta(seconds=102)
    task = JobTask(job_id="job", retries=1, entered_at=entered.isoformat())
    with Sandbox().call(task):
        clock.sleep(1.0 - RUNTIME_S)
        cost_usd = Invocation.begin(MemoryStorage(), task).cost_usd()
    least = 101 * SECOND_USD + 2 * INVOCATION_USD + TRANSITION_USD
    assert least - NEARLY <= cost_usd < least + 500 * SECOND_USD  # the machine may be slow


def test_a_process_knows_its_age() -> None:
    before = time.monotonic()
    age = seconds_of_process()
    assert age > 0
    time.sleep(0.05)
    assert seconds_of_process() - age >= 0.05 - 2 / os.sysconf("SC_CLK_TCK")
    assert seconds_of_process() - age <= time.monotonic() - before + 0.1
