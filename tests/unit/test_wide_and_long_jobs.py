"""Jobs of many workers, of many epochs, and those that go on where others were."""

from __future__ import annotations

from typing import Any

import pytest

from lambdas.prepare import HANDOVER_VARIABLE, continued_job, epochs_an_execution, go_on
from lambdas.resumption import finished_epochs
from lambdas.workforce import MOST_IN_FLIGHT, Workforce, refuse_too_wide
from stepml.job import keys
from stepml.job.errors import (
    InvalidJobError,
    InvalidTaskError,
    NotAvailableError,
    NotEnoughConcurrencyError,
)
from stepml.job.parse import parse_job
from stepml.job.tasks import Continued
from storage.memory import MemoryStorage
from tests.unit.jobs import Job, contents

ALGORITHMS = ("model_averaging", "admm", "gradient_averaging")


@pytest.mark.parametrize("world_size", [1, 2, 40, 41, 80, 100, 1600])
def test_every_rank_is_started_once(world_size: int) -> None:
    force = Workforce(world_size, 1000)
    assert [*force.ranks, *(rank for group in force.groups for rank in group)] == [
        *range(world_size)
    ]
    assert bool(force.ranks) != bool(force.groups)
    assert max(map(len, force.groups), default=0) <= 40
    assert len(force.groups) <= 40


@pytest.mark.parametrize(
    ("concurrency", "ranks", "groups"), [(1, 1, 1), (10, 10, 1), (50, 40, 2), (1000, 40, 25)]
)
def test_no_more_run_at_once_than_the_account_runs(
    concurrency: int, ranks: int, groups: int
) -> None:
    force = Workforce(1600, concurrency)
    assert (force.ranks_at_once, force.groups_at_once) == (ranks, groups)


@pytest.mark.parametrize("world_size", [41, 90, 100, 399])
def test_ranks_that_wait_for_each_other_can_all_run(world_size: int) -> None:
    force = Workforce(world_size, concurrency=world_size)
    assert force.groups_at_once >= len(force.groups)


def job_of(workers: int, **fields: Any) -> Any:
    return parse_job(Job(workers=workers, **fields).spec)


def test_what_cannot_exchange_in_flight_is_refused_by_name() -> None:
    flight = {"algorithm": {"name": "gradient_averaging"}}
    refuse_too_wide(job_of(10, **flight), 10)
    with pytest.raises(NotEnoughConcurrencyError, match=r"workers: .* at most 10, got 11"):
        refuse_too_wide(job_of(11, **flight), 10)
    with pytest.raises(NotAvailableError, match=f"at most {MOST_IN_FLIGHT}, got 401"):
        refuse_too_wide(job_of(401, **flight), 1000)
    refuse_too_wide(job_of(1600), 10)  # they run in turns
    refuse_too_wide(job_of(11, **flight, exchange={"pattern": "async"}), 10)


@pytest.mark.parametrize("tasks", [0, 5, 1641])
def test_a_history_has_room_for_an_executions_epochs(tasks: int) -> None:
    epochs = epochs_an_execution(tasks)
    assert epochs > 500
    assert 8 * tasks + 18 * epochs < 25_000


def test_a_continuation_begins_behind_what_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HANDOVER_VARIABLE, "3")
    job = Job(stop={"max_epochs": 3})
    first = job.initialised()
    assert (first.progress.next_epoch, first.handover_epoch) == (1, 4)
    job.epoch(1)
    job.epoch(2)
    given = {"job_id": "job", "run": first.run, "next_epoch": 2}
    continued = continued_job({"continues": given, "AWS_STEP_FUNCTIONS_STARTED": "arn"})
    assert continued == Continued(**given)
    state = go_on(continued, job.storage, 1000)
    assert (state.progress.epoch, state.progress.next_epoch, state.handover_epoch) == (2, 3, 6)
    assert state.progress.decision == "continue"
    assert (state.ranges, state.shards, state.ranks) == ([], [], [0, 1, 2])
    job.epoch(3)
    assert go_on(continued, job.storage, 1000).progress.decision == "stopped"
    with pytest.raises(InvalidTaskError, match=r"continues\.run"):
        go_on(Continued(**given | {"run": "another"}), job.storage, 1000)


def test_a_job_is_no_continuation() -> None:
    assert continued_job(Job().spec) is None
    assert continued_job("a job as text") is None
    with pytest.raises(InvalidTaskError):
        continued_job({"continues": {"job_id": "job"}})


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_finished_epochs_are_counted_up_to_the_first_gap(count: int) -> None:
    storage = MemoryStorage()
    for epoch in [*range(1, count + 1), count + 2]:
        storage.save(keys.epoch_report("job", epoch), b"")
    assert finished_epochs(storage, "job") == count
    assert finished_epochs(storage, "job", min(count, 3)) == count


def job_after(source: Job, epochs: int | None = None, **spec: Any) -> Job:
    job = Job("next", source.storage, **{**source.spec, **spec})
    job.spec["resume_from"] = {"job": source.job_id, "epoch": epochs}
    return job


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_resumed_job_comes_to_the_bits_of_a_whole_one(algorithm: str) -> None:
    source = Job(algorithm={"name": algorithm}, stop={"max_epochs": 4})
    source.initialised()
    for epoch in range(1, 5):
        source.epoch(epoch)
    job = job_after(source, 2)
    state = job.initialised()
    assert (state.progress.epoch, state.progress.next_epoch) == (2, 3)
    assert [job.epoch(epoch).epoch for epoch in (3, 4)] == [3, 4]
    assert job.state_bits(4) == source.state_bits(4)
    assert [report.epoch for report in job.finalise(4).history] == [1, 2, 3, 4]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_resumed_job_may_have_another_world_size(algorithm: str) -> None:
    source = Job(algorithm={"name": algorithm}, stop={"max_epochs": 2})
    source.initialised()
    source.epoch(1)
    job = job_after(source, workers=2)
    job.initialised()
    losses = [source.epoch(2).loss, job.epoch(2).loss]
    assert losses[1] == pytest.approx(losses[0], rel=0.2)


def test_resuming_twice_changes_nothing() -> None:
    source = Job(algorithm={"name": "admm"})
    source.initialised()
    source.epoch(1)
    job = job_after(source)
    job.initialised()
    before = contents(job.storage)
    job.initialised()
    assert contents(job.storage) == before


@pytest.mark.parametrize(
    ("spec", "epochs", "message"),
    [
        ({"stop": {"max_epochs": 3}}, 3, "resume_from.epoch: expected 0 to 2, .* got 3"),
        ({"stop": {"max_epochs": 2}}, 2, "stop.max_epochs: expected more than the 2 epochs"),
        ({"model": {"name": "svm"}, "algorithm": {"name": "model_averaging"}}, 1, "model: exp"),
        ({"data": {"uri": "s3://data/rows.csv", "format": "csv"}}, 1, "data: expected that of"),
        ({}, 1, "resume_from.epoch: job 'job' has not kept what its ranks ended epoch 1 with"),
    ],
    ids=["too many", "nothing left", "other model", "other data", "own states gone"],
)
def test_what_cannot_be_resumed_is_refused_before_anything_is_written(
    spec: dict[str, Any], epochs: int, message: str
) -> None:
    source = Job(algorithm={"name": "admm"}, stop={"max_epochs": 2})
    source.initialised()
    source.epoch(1)
    source.epoch(2)
    source.finalise(2)
    job = job_after(source, epochs, **({"stop": {"max_epochs": 4}} | spec))
    before = contents(job.storage)
    with pytest.raises(InvalidJobError, match=message):
        job.prepare("arn:2")
    assert contents(job.storage) == before


def test_a_job_cannot_resume_itself_or_nobody() -> None:
    job = Job()
    job.spec["resume_from"] = "job"
    with pytest.raises(InvalidJobError, match=r"resume_from.job: expected another job, got 'job'"):
        job.prepare()
    job.spec["resume_from"] = "nobody"
    with pytest.raises(InvalidJobError, match="expected a job of this stack that has begun"):
        job.prepare()
