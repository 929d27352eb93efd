"""Jobs with many workers, with many epochs, and jobs that continue others."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from lambdas.attempts.workforce import Workforce
from lambdas.epochs import epochs_of
from lambdas.epochs.loop import Limits, Start, loop_state
from lambdas.job_store import JobStore, PartitionPlan
from lambdas.job_store.resumption import plan_resumption
from lambdas.job_store.states import digest_of
from stepml.job import keys
from stepml.job.concurrency import MOST_IN_FLIGHT, refuse_too_wide
from stepml.job.errors import (
    InvalidJobError,
    InvalidTaskError,
    NotAvailableError,
    NotEnoughConcurrencyError,
)
from stepml.job.packed_times import pack_times
from stepml.job.parse import parse_job
from stepml.job.parts import MOST_RANKS_LISTED, FunctionTimes, Parts, Traffic
from stepml.job.tasks import Continued, ExecutorResult, JobState, LoopPosition
from stepml.ml.algorithms import State
from storage.metered import MeteredDurableStorage
from storage.testing.memory import MemoryStorage
from tests.support.jobs import Job, contents, csv_rows
from tests.support.paths import ROOT

FIRST: dict[str, Any] = {"epoch": 0, "decision": "continue", "next_epoch": 1}
FLIGHT = {"name": "gradient_averaging"}
SHARED = {"channel": "parameter_server", "pattern": "async"}
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


@pytest.mark.parametrize("concurrency", [1, 10, 39, 40, 50, 79, 100, 1000, 5000])
def test_no_more_run_at_once_than_the_account_runs(concurrency: int) -> None:
    force = Workforce(1600, concurrency)
    at_once = force.ranks_at_once * force.groups_at_once
    assert min(concurrency, 1600) - 40 < at_once <= concurrency


@pytest.mark.parametrize("world_size", [2, 40, 41, 90, 100, 399])
def test_ranks_that_wait_for_each_other_can_all_run(world_size: int) -> None:
    force = Workforce(world_size, concurrency=world_size, all_at_once=True)
    assert force.groups_at_once >= len(force.groups)
    assert force.ranks_at_once >= max(map(len, [force.ranks, *force.groups]))


def job_of(workers: int, **fields: Any) -> Any:
    return parse_job(Job(workers=workers, **fields).spec)


def test_what_cannot_exchange_in_flight_is_refused_by_name() -> None:
    refuse_too_wide(job_of(10, algorithm=FLIGHT), 10)
    with pytest.raises(NotEnoughConcurrencyError, match=r"workers: .* at most 10, got 11"):
        refuse_too_wide(job_of(11, algorithm=FLIGHT), 10)
    with pytest.raises(NotAvailableError, match=f"at most {MOST_IN_FLIGHT}, got 401"):
        refuse_too_wide(job_of(401, algorithm=FLIGHT), 1000)
    bounded = SHARED | {"max_staleness": 3}  # ranks that are ahead wait
    with pytest.raises(NotEnoughConcurrencyError, match=r"with exchange.max_staleness all ranks"):
        refuse_too_wide(job_of(11, algorithm=FLIGHT, exchange=bounded), 10)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"algorithm": FLIGHT, "exchange": {"pattern": "async"}},
        {"algorithm": FLIGHT, "exchange": SHARED},
    ],
)
def test_ranks_that_wait_for_nobody_run_in_turns(fields: dict[str, Any]) -> None:
    assert not epochs_of(job_of(11, **fields)).waits_for_all


def test_a_job_of_more_workers_than_functions_is_refused_or_runs_in_turns() -> None:
    job = Job(workers=11)
    job.limits = Limits(concurrency=10)
    assert job.prepare().ranks_at_once == 10
    job = Job(workers=11, algorithm=FLIGHT)
    job.limits = Limits(concurrency=10)
    with pytest.raises(NotEnoughConcurrencyError, match="at most 10, got 11"):
        job.prepare()


@pytest.mark.parametrize("tasks", [0, 5, 1641])
def test_a_history_has_room_for_an_executions_epochs(tasks: int) -> None:
    epochs = Limits(concurrency=1000).epochs_an_execution(tasks)
    assert epochs > 500
    assert 8 * tasks + 18 * epochs < 25_000


def continuation(job: Job, given: dict[str, Any]) -> JobState:
    execution_input = {"continues": given, "AWS_STEP_FUNCTIONS_STARTED": "arn"}
    return job.prepare("arn:2", execution_input)


def test_a_continuation_begins_behind_what_is_finished() -> None:
    job = Job(stop={"max_epochs": 3})
    job.limits = Limits(concurrency=1000, most_epochs=3)
    first = job.initialised()
    assert (first.progress.next_epoch, first.handover_epoch) == (1, 4)
    job.epoch(1)
    job.epoch(2)
    given = {"job_id": "job", "run": first.run, "next_epoch": 2}
    state = continuation(job, given)
    assert (state.progress.epoch, state.progress.next_epoch, state.handover_epoch) == (2, 3, 6)
    assert state.progress.decision == "continue"
    assert (state.data.ranges, state.data.shards, state.ranks) == ([], [], [0, 1, 2])
    job.epoch(3)
    assert continuation(job, given).progress.decision == "finished"
    with pytest.raises(InvalidTaskError, match=r"continues\.run"):
        continuation(job, given | {"run": "another"})


def test_a_job_is_no_continuation() -> None:
    assert Continued.of_input(Job().spec) is None
    assert Continued.of_input("a job as text") is None
    with pytest.raises(InvalidTaskError):
        Continued.of_input({"continues": {"job_id": "job"}})


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 12, 13, 255, 256, 257, 600])
def test_finished_epochs_are_counted_up_to_the_first_gap(count: int) -> None:
    storage = MeteredDurableStorage(MemoryStorage())
    for epoch in [*range(1, count + 1), count + 2]:
        storage.save(keys.epoch_report("job", epoch), b"")
    store = JobStore(storage, "job")
    assert store.finished_epochs() == count
    assert storage.requests["find"] <= 4 + 3 * count
    assert store.finished_epochs(after=min(count, 3)) == count


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


def test_a_resumed_job_needs_the_other_one_no_more_once_it_has_begun() -> None:
    """The old job may end meanwhile, and clear the states that its ranks needed."""
    source = Job(algorithm={"name": "admm"}, stop={"max_epochs": 2})
    source.initialised()
    source.epoch(1)
    job = job_after(source, 1)
    job.initialised()
    source.epoch(2)
    source.finalise(2)
    job.initialise()  # like every continuation
    job.epoch(2)
    assert job.state_bits(2) == source.state_bits(2)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_job_that_was_resumed_is_resumed_itself(algorithm: str, epochs: int) -> None:
    first = Job("first", algorithm={"name": algorithm}, stop={"max_epochs": 4})
    first.initialised()
    for epoch in range(1, 5):
        first.epoch(epoch)
    second = Job("second", first.storage, **first.spec)
    second.spec["resume_from"] = {"job": "first", "epoch": 2}
    second.initialised()
    second.epoch(3)
    third = job_after(second, epochs)
    third.initialised()
    for epoch in range(epochs + 1, 5):
        third.epoch(epoch)
    assert third.state_bits(4) == first.state_bits(4)


def test_a_job_of_other_workers_that_has_come_nowhere_is_resumed() -> None:
    source = Job(algorithm={"name": "admm"}, stop={"max_epochs": 2})
    source.initialised()
    source.epoch(1)
    wide = Job("wide", source.storage, **source.spec | {"workers": 2, "resume_from": "job"})
    wide.initialised()
    again = job_after(wide)
    again.initialised()
    again.epoch(2)
    wide.epoch(2)
    assert again.state_bits(2) == wide.state_bits(2)


def test_other_data_under_the_same_name_are_refused() -> None:
    source = Job(stop={"max_epochs": 2})
    source.initialised()
    source.epoch(1)
    job = job_after(source)
    job.data.save("rows.csv", csv_rows(seed=1))
    before = contents(job.storage)
    with pytest.raises(InvalidJobError, match=r"data\.uri: .* not those on which job 'job'"):
        job.prepare("arn:2")
    assert contents(job.storage) == before


def partitioned_before(job: Job, **layout: Any) -> None:
    """Change a job's plan into that of another version."""
    plan = job.partition_plan()
    other = replace(plan.layout, **layout)
    job.store.partition_plan.save(msgspec.structs.replace(plan, digest="f" * 32, layout=other))


@pytest.mark.parametrize("algorithm", ["model_averaging", "admm"])
def test_a_job_whose_data_another_version_partitioned_is_resumed(algorithm: str) -> None:
    fields = {"algorithm": {"name": algorithm}, "stop": {"max_epochs": 2}}
    whole = Job("whole", **fields)
    source = Job(**fields)
    for job in (whole, source):
        job.initialised()
        job.epoch(1)
    whole.epoch(2)
    partitioned_before(source, fine=(1,))
    source.storage.clear("datasets/")
    job = job_after(source)
    job.initialised()
    job.epoch(2)
    assert job.state_bits(2) == whole.state_bits(2)


def test_a_version_that_reads_the_data_in_another_way_is_named() -> None:
    source = Job(stop={"max_epochs": 2})
    source.initialised()
    source.epoch(1)
    partitioned_before(source, header=True)
    message = r"resume_from\.job: job 'job' was started .* \(header: True then, False now\)"
    with pytest.raises(InvalidJobError, match=message):
        job_after(source).prepare("arn:2")


def test_what_is_asked_for_does_not_grow_with_the_square_of_the_ranks() -> None:
    source = Job(algorithm={"name": "admm"}, workers=12)
    source.initialised()
    source.epoch(1)
    job = job_after(source)
    metered = MeteredDurableStorage(job.storage)
    store = JobStore(metered, "next")
    plan_resumption(store, parse_job(job.spec), keeps_rank_state=True)
    assert metered.requests["find"] <= 256 + 1 + 12


MOST_STATE_BYTES = 262_144
_MUCH = Traffic(2**30, 2**45, 2**45)
WORST_TIMES = pack_times(
    FunctionTimes(
        "rank",
        1599,
        start=20_000.1234,
        parts=Parts(*[899.123] * 8),
        init=9.123,
        calls=150,
        cost_usd=0.12345678,
        requests_usd=0.05,
        lost_usd=0.01,
        traffic={"s3": _MUCH, "redis": _MUCH},
    ),
    "redis",
)


def result_of_rank(digest: str) -> ExecutorResult:
    times = {"seconds": 899.123, "waited_seconds": 123.456, "cost_usd": 0.12345678}
    return ExecutorResult(rank=1599, digest=digest, times=WORST_TIMES, retries=150, **times)


def selected(machine: str, result: ExecutorResult) -> dict[str, Any]:
    """Return the fields of a rank's result that the state machine selects."""
    definition = json.loads((ROOT / "state_machines" / f"{machine}.asl.json").read_text())
    task = definition["States"]["RunExecutors"]["ItemProcessor"]["States"]["TrainRank"]
    payload = result.to_event()
    return {
        name.removesuffix(".$"): payload[path.removeprefix("$.Payload.")]
        for name, path in task["ResultSelector"].items()
    }


def plan_of(workers: int) -> PartitionPlan:
    job = Job(workers=workers)
    job.prepare()
    return job.partition_plan()


@pytest.mark.parametrize("workers", [41, 1600])
def test_the_state_of_a_wide_epoch_fits_into_step_functions(workers: int) -> None:
    state = loop_state(Start("j" * 60, plan_of(workers), LoopPosition(**FIRST)), Limits(1000))
    in_flight = selected("ranks", result_of_rank(digest_of(State(np.zeros(1, np.float32)))))
    given = state.to_event() | {"gathered": [{"executors": [in_flight] * workers}]}
    assert len(json.dumps(given)) < MOST_STATE_BYTES  # after RunGroups
    # Beside the merged chunks there are no replicas.
    is_short = workers > MOST_RANKS_LISTED
    merged = [0.12345678 if is_short else [0.12345678, WORST_TIMES]] * workers
    orchestrated = [selected("ranks", result_of_rank(""))] * workers
    given = state.to_event() | {"trained": {"executors": orchestrated}, "merged": merged}
    given |= {"chunks": [*range(workers)]}
    assert len(json.dumps(given, separators=(",", ":"))) < MOST_STATE_BYTES


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
        (
            {"data": {"uri": "s3://data/rows.csv", "format": "csv"}},
            1,
            "data.standardise: expected that of",
        ),
        ({}, 1, "resume_from.epoch: job 'job' has deleted a result of epoch 1"),
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
    job.data = MemoryStorage()  # before the data are looked at
    with pytest.raises(InvalidJobError, match="expected a job of this stack that has begun"):
        job.prepare()
