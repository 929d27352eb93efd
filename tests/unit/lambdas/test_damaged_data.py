"""Partitioned data are a cache: what is damaged is noticed where it is used, and made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import pytest

from lambdas.attempts.failures import published_failure
from lambdas.epochs.loop import Limits
from lambdas.job_store import JobStore
from lambdas.job_store.shards import warm_shards
from lambdas.partition import partition
from lambdas.plan_shards import plan_shards
from lambdas.restoration import MOST_TIMES, find_damage
from stepml.job import data_keys
from stepml.job.errors import (
    DataSetDamagedError,
    EmptyDataError,
    ExecutorPausedError,
    KeyNotFoundError,
    ValueChangedError,
)
from stepml.job.tasks import DataTasks, ExecutorTask, PartitionTask
from storage.testing.memory import MemoryStorage
from tests.support.jobs import Job, contents, csv_rows

NOISE = b"\x93NUMPY noise" * 40
Damage = Callable[[MemoryStorage, str], None]


def forget_shards() -> None:
    """Do as new functions do, which have read no shard yet."""
    warm_shards.make_room(2**62)


def noise(storage: MemoryStorage, key: str) -> None:
    storage.save(key, NOISE)


def flip(storage: MemoryStorage, key: str) -> None:
    """Change one bit near the end: of a container's data, or of a document's last field."""
    value = bytearray(storage.load(key))
    value[-20] ^= 1
    storage.save(key, value)


def cut(storage: MemoryStorage, key: str) -> None:
    storage.save(key, storage.load(key)[:-30])


def empty(storage: MemoryStorage, key: str) -> None:
    storage.save(key, b"")


def lose(storage: MemoryStorage, key: str) -> None:
    storage.delete(key)


def swap(storage: MemoryStorage, key: str) -> None:
    """Put another object of the same kind in its place: whole, and of the same format."""
    ending = key.rpartition(".")[2]
    folder = key.rpartition("/")[0]
    others = [
        other
        for other in storage.list("datasets/")
        if other.endswith(f".{ending}") and other != key
    ]
    beside = [other for other in others if other.startswith(f"{folder}/")]
    storage.save(key, storage.load((beside or others)[0]))


def lose_all(storage: MemoryStorage, key: str) -> None:
    storage.clear("datasets/")


DAMAGES = (noise, flip, cut, empty, lose, swap, lose_all)
SOME = (flip, lose, swap)
SHARD, PIECE = "rank-000001.safetensors", "000-00000.safetensors"
KINDS = (SHARD, ".moments", "manifest.json", PIECE, "000.json")


def job_on(storage: MemoryStorage, name: str) -> Job:
    return Job(
        name,
        storage,
        data={"uri": "s3://data/rows.csv", "format": "csv", "standardise": True, "ranges": 2},
    )


def trained(job: Job) -> bytes:
    job.initialised()
    job.epoch(1)
    return job.state_bits(1)


@cache
def undisturbed() -> bytes:
    return trained(job_on(MemoryStorage(), "undisturbed"))


def damaged_store(kind: str, damage: Damage, job: Job) -> list[str]:
    """Damage the objects of one kind, and return their keys."""
    other = job_on(job.storage, "other-data")
    other.data.save("rows.csv", csv_rows(seed=3))
    other.initialised()
    mine = f"datasets/{job.partition_plan().digest}/"
    found = [key for key in job.storage.list(mine) if key.endswith(kind)]
    assert found
    for key in found:
        damage(job.storage, key)
    forget_shards()
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_later_job_makes_damaged_data_again(damage: Damage, kind: str) -> None:
    first = job_on(MemoryStorage(), "first")
    trained(first)
    damaged_store(kind, damage, first)
    second = job_on(first.storage, "second")
    assert trained(second) == undisturbed()
    # It leaves whole data: the next job finds all of it.
    third = job_on(first.storage, "third")
    assert third.prepare().data.ranges == []
    forget_shards()
    assert trained(third) == undisturbed()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", SOME)
def test_a_later_job_with_another_world_size_notices_damaged_pieces(
    damage: Damage, kind: str
) -> None:
    first = job_on(MemoryStorage(), "first")
    trained(first)
    damaged_store(kind, damage, first)
    second = job_on(first.storage, "second")
    second.spec["workers"] = 2
    alone = job_on(MemoryStorage(), "alone")
    alone.spec["workers"] = 2
    assert trained(second) == trained(alone)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES[:-1])
def test_a_running_job_makes_damaged_shards_again(damage: Damage, kind: str) -> None:
    job = job_on(MemoryStorage(), "job")
    job.initialised()
    damaged_store(kind, damage, job)
    job.epoch(1)
    assert job.state_bits(1) == undisturbed()


def found(job: Job, **task: Any) -> DataTasks:
    return find_damage(PartitionTask(job_id=job.job_id, **task), job.partition_plan(), job.storage)


def restored(job: Job, **task: Any) -> DataTasks:
    """Do as the state machines do: find the damage, and parse each range by itself."""
    tasks = found(job, **task)
    for number in tasks.ranges:
        partition(number, job.job_id, job.partition_plan(), job.data, job.storage)
    return tasks


@pytest.mark.parametrize("field", ["bucket_counts", "fine_ends", "layout"])
def test_ranges_that_two_versions_have_parsed_are_parsed_again(field: str) -> None:
    job = job_on(MemoryStorage(), "job")
    for number in job.prepare().data.ranges:
        partition(number, job.job_id, job.partition_plan(), job.data, job.storage)
    plan = job.partition_plan()
    others = {
        "bucket_counts": (1, 2),
        "fine_ends": ((0.0, 1.0),),
        "layout": replace(plan.layout, fine=(0,)),
    }
    entry = JobStore(job.storage, "job").data_set(plan.digest).summary(1)
    summary = entry.load()
    pieces = [replace(piece, **{field: others[field]}) for piece in summary.pieces]
    entry.replace(msgspec.structs.replace(summary, pieces=pieces), unless=lambda stored: False)

    with pytest.raises(DataSetDamagedError, match="were parsed by two versions of StepML; the ne"):
        job.plan()

    assert restored(job).ranges == [0, 1]
    job.plan()
    assert trained(job) == undisturbed()


def test_a_running_job_without_any_data_names_them_and_its_next_attempt_makes_them() -> None:
    job = job_on(MemoryStorage(), "job")
    job.initialised()
    damaged_store("manifest.json", lose_all, job)
    with pytest.raises(DataSetDamagedError, match=r"datasets/.*/manifest.json; the next attempt"):
        job.execute(1, 0)
    assert restored(job, epoch=1).ranges == [0, 1]
    job.plan()
    job.epoch(1)
    assert job.state_bits(1) == undisturbed()


def test_the_reducers_damaged_data_are_made_again_before_its_next_attempt() -> None:
    job = job_on(MemoryStorage(), "job")
    job.initialised()
    results = job.execute_all(1)
    damaged_store("manifest.json", lose_all, job)
    with pytest.raises(DataSetDamagedError):
        job.reduce(1, results)
    assert restored(job, epoch=1).ranges == [0, 1]
    job.plan()
    job.epoch(1)
    assert job.state_bits(1) == undisturbed()


def test_an_epoch_that_failed_for_another_reason_parses_nothing() -> None:
    job = job_on(MemoryStorage(), "job")
    job.initialised()
    damaged_store(PIECE, lose, job)
    assert found(job, epoch=1) == DataTasks()  # a function died, and the shards are whole
    task = ExecutorTask(rank=0, **job.attempt(1))
    with pytest.raises(DataSetDamagedError), published_failure(job.store, task):
        raise DataSetDamagedError("a piece")
    assert found(job, epoch=1).ranges == [0]
    assert found(job, epoch=2) == DataTasks()


def test_only_what_is_missing_is_made_again() -> None:
    job = job_on(MemoryStorage(), "job")
    state = job.initialised()
    digest, shards = job.partition_plan().digest, state.data.shards
    before = contents(job.storage)
    assert found(job, shards=shards) == DataTasks(times=1)
    job.storage.delete(data_keys.piece(digest, "job", 1, 0))
    assert found(job, shards=shards) == DataTasks(ranges=[1], times=1)
    job.storage.delete(data_keys.shard(digest, 3, 0.1, "dense", 2))
    assert found(job, shards=shards) == DataTasks(ranges=[1], shards=[2], times=1)
    restored(job, shards=shards)
    job.plan()
    job.assemble()
    assert contents(job.storage).keys() == before.keys()


def test_a_lost_manifest_is_made_of_the_ranges_results() -> None:
    job = job_on(MemoryStorage(), "job")
    job.initialised()
    job.data.delete("rows.csv")
    damaged_store("manifest.json", lose, job)
    assert found(job) == DataTasks(times=1)
    assert job_on(job.storage, "job").store.data_set(job.partition_plan().digest).find_whole()


@pytest.mark.parametrize("workers", [3, 400, 900, 1600])
def test_a_history_has_room_for_the_shards_that_are_made_again(workers: int) -> None:
    job = Job(workers=workers)
    state = job.prepare()
    shards, tasks = state.data.shards, len(state.data.ranges) + len(state.data.shards)
    again = [found(job, shards=shards, times=times).shards for times in range(MOST_TIMES)]
    assert again[0] == shards[: len(again[0])]
    assert again[1:] == [[], []]  # readers make them
    assert len(again[0]) == workers + 1 or len(again[0]) > 600
    epochs = Limits(concurrency=1000).epochs_an_execution(tasks)
    assert 8 * (tasks + len(again[0])) + 9 * epochs < 25_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", SOME)
@pytest.mark.parametrize("moment", ["partitioned", "planned", "assembled"])
def test_a_beginning_job_makes_damaged_data_again(moment: str, damage: Damage, kind: str) -> None:
    """In the order of the state machine: RestoreData leads to PartitionData."""
    job, times = job_on(MemoryStorage(), "job"), 0
    other = job_on(job.storage, "other-data")
    other.data.save("rows.csv", csv_rows(seed=3))
    other.initialised()
    state = job.prepare()
    plan = job.partition_plan()
    for number in state.data.ranges:
        partition(number, "job", plan, job.data, job.storage)
    steps = {"partitioned": lambda: None, "planned": job.plan, "assembled": job.assemble}
    for name, step in steps.items():
        step()
        if name == moment:
            break
    for key in [*job.storage.list(f"datasets/{plan.digest}/")]:
        if key.endswith(kind):
            damage(job.storage, key)
    for _ in range(MOST_TIMES):
        try:
            job.plan()
            job.assemble()
            job.initialise()
        except DataSetDamagedError:
            times = restored(job, times=times, shards=state.data.shards).times
        else:
            break
    forget_shards()
    job.epoch(1)
    assert job.state_bits(1) == undisturbed()


def test_data_that_are_damaged_time_and_again_end_the_job_until_it_is_redriven() -> None:
    job = job_on(MemoryStorage(), "job")
    job.partitioned()
    times = 0
    for _ in range(MOST_TIMES):
        damaged_store("manifest.json", lose, job)
        times = restored(job, times=times).times
    with pytest.raises(DataSetDamagedError, match="damaged again after it had been made 3 times"):
        restored(job, times=times)
    assert restored(job, times=times, redrives=1).times == times + 1


def test_a_lost_source_is_named_only_where_it_is_needed() -> None:
    job = job_on(MemoryStorage(), "job")
    job.initialised()
    job.data.delete("rows.csv")
    restored(job)  # nothing is missing
    damaged_store(PIECE, lose, job)
    restored(job, epoch=1)  # the ranks have their shards
    job.epoch(1)
    with pytest.raises(KeyNotFoundError, match=r"rows\.csv"):
        restored(job)
    job.data.save("rows.csv", csv_rows(seed=1))
    with pytest.raises(ValueChangedError, match=r"rows\.csv"):
        restored(job)


def test_two_jobs_that_notice_the_same_damage_agree() -> None:
    first = job_on(MemoryStorage(), "first")
    trained(first)
    damaged_store(PIECE, noise, first)
    one, two = (job_on(first.storage, name) for name in ("one", "two"))
    for job in (one, two):
        for number in job.prepare().data.ranges:
            partition(number, job.job_id, job.partition_plan(), job.data, job.storage)
    assert plan_shards("one", one.storage) == plan_shards("two", one.storage)
    for job in (one, two):
        assert trained(job) == undisturbed()
    digest = first.partition_plan().digest
    assert {key.split("/")[3] for key in first.storage.list(data_keys.pieces_prefix(digest))} >= {
        "one"
    }
    assert not [*first.storage.list(data_keys.piece_prefix(digest, "two"))]


def test_a_job_that_began_before_the_data_were_made_again_goes_on() -> None:
    early = job_on(MemoryStorage(), "early")
    early.partitioned()
    later = job_on(early.storage, "later")
    damaged_store(PIECE, cut, early)
    assert trained(later) == undisturbed()
    assert trained(early) == undisturbed()


def test_the_fast_path_reads_and_writes_no_rows() -> None:
    first = job_on(MemoryStorage(), "first")
    trained(first)
    before = contents(first.storage)
    second = job_on(first.storage, "second")
    assert second.prepare().data.ranges == []
    second.plan()
    second.assemble()
    after = contents(first.storage)
    assert {key: value for key, value in after.items() if key.startswith("datasets/")} == {
        key: value for key, value in before.items() if key.startswith("datasets/")
    }


def test_an_empty_data_set_is_no_damage() -> None:
    job = job_on(MemoryStorage(), "job")
    job.data.save("rows.csv", b"a,b,c\n")
    job.spec["data"] |= {"header": True, "label": "c"}
    with pytest.raises(EmptyDataError):
        job.partitioned()


@pytest.mark.parametrize("damage", [lose, noise])
def test_many_missing_shards_are_made_in_several_calls(damage: Damage) -> None:
    """Each call makes one at least, and rests after half of its time."""
    job = job_on(MemoryStorage(), "slow")
    job.partitioned()
    job.assemble()
    forget_shards()
    for key in list(job.storage.list("datasets/")):
        if "/rank-" in key:
            damage(job.storage, key)
    for rank in range(1, 3):
        times = iter([900.0] + [400.0] * 100)
        ready = rf"the shards of ranks 0 to {rank - 1} of 3 are there; 1 of them"
        with pytest.raises(ExecutorPausedError, match=ready):
            job.initialise(times.__next__)
    job.initialise(iter([900.0] + [400.0] * 100).__next__)
    job.epoch(1)
    assert job.state_bits(1) == undisturbed()
