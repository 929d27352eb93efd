"""Two jobs whose ranks wait for each other, in an account without functions for both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lambdas.attempts.timing import Timing
from lambdas.attempts.turns import TURN_S, Turns
from lambdas.environment import Deadline
from lambdas.executor import execute
from stepml.job import keys
from stepml.job.errors import WaitTimeoutError
from stepml.job.tasks import ExecutorResult, ExecutorTask
from storage.testing.memory import MemoryStorage
from tests.support.jobs import PATIENT, Job

SOON = Timing(first_wait_s=0.3, wait_s=0.3)


def gradient_job(job_id: str, storage: MemoryStorage, **spec: object) -> Job:
    job = Job(job_id, storage, algorithm={"name": "gradient_averaging", "batch_size": 16}, **spec)
    job.initialised()
    job.timing = SOON
    return job


def called_again(job: Job, rank: int) -> ExecutorResult:
    task = ExecutorTask(rank=rank, retries=1, **job.attempt(1))
    return execute(task, job.storage, Deadline(lambda: 900.0), job.timing)


def test_a_rank_without_peers_returns_its_function_and_its_job_has_the_turn() -> None:
    storage = MemoryStorage()
    first, second = gradient_job("first", storage), gradient_job("second", storage)
    with pytest.raises(WaitTimeoutError, match=r"rank 1's contribution .*other jobs may hold"):
        first.execute(1, 0)
    with pytest.raises(WaitTimeoutError):
        second.execute(1, 0)
    with pytest.raises(WaitTimeoutError, match="job 'first' gets the account's functions first"):
        called_again(second, 0)
    with pytest.raises(WaitTimeoutError, match="rank 1's contribution"):  # not sent away
        called_again(first, 0)


def test_the_turn_ends_with_its_job() -> None:
    storage = MemoryStorage()
    first, second = gradient_job("first", storage), gradient_job("second", storage)
    with pytest.raises(WaitTimeoutError):
        first.execute(1, 0)
    first.timing = second.timing = PATIENT
    first.epoch(1)
    first.finalise(1)
    Turns(storage, "second").require()
    second.epoch(1)


def test_ranks_that_wait_for_nobody_need_no_turn() -> None:
    storage = MemoryStorage()
    first = gradient_job("first", storage)
    with pytest.raises(WaitTimeoutError):
        first.execute(1, 0)
    alone = Job("alone", storage)
    alone.initialised()
    called_again(alone, 0)


class Clock:
    """A wall clock that a test advances."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def test_a_turn_is_over_after_a_while_even_if_its_job_still_waits() -> None:
    clock, storage = Clock(), MemoryStorage()
    first, second = (Turns(storage, name, clock) for name in ("first", "second"))
    second.require()  # there is no turn
    assert first.take().job_id == "first"
    clock.sleep(TURN_S - 1)
    assert second.take().job_id == "first"
    turn = first.take()  # not prolonged
    clock.sleep(2)
    second.require()
    assert first.take() == turn  # the others have as much time
    second.require()
    clock.sleep(TURN_S)
    assert first.take() != turn
    clock.sleep(TURN_S + 1)
    assert second.take().job_id == "second"
    first.end()  # of another job's turn: nothing
    with pytest.raises(WaitTimeoutError):
        first.require()


def test_a_damaged_turn_is_nobodys() -> None:
    storage = MemoryStorage()
    storage.save(keys.functions_turn(), b"no document")
    turns = Turns(storage, "job")
    turns.require()
    assert turns.take().job_id == "job"
