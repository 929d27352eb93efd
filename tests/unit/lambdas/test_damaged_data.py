"""Partitioned data are a cache: what is damaged is noticed where it is used, and made again."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from lambdas.job_store.shards import warm_shards
from lambdas.partition import MOST_TIMES, partition, restore
from lambdas.plan_shards import plan_shards
from stepml.job import keys
from stepml.job.errors import (
    DataSetDamagedError,
    EmptyDataError,
    KeyNotFoundError,
    ValueChangedError,
)
from stepml.job.tasks import PartitionTask
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
    assert third.prepare().ranges == []
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


def restored(job: Job, times: int | None = None, redrives: int = 0) -> int:
    task = PartitionTask(job_id=job.job_id, times=times, redrives=redrives)
    return restore(task, job.partition_plan(), job.data, job.storage).times


def test_a_running_job_without_any_data_names_them_and_its_next_attempt_makes_them() -> None:
    job = job_on(MemoryStorage(), "job")
    job.initialised()
    damaged_store("manifest.json", lose_all, job)
    with pytest.raises(DataSetDamagedError, match=r"datasets/.*/manifest.json; the next attempt"):
        job.execute(1, 0)
    restored(job)
    job.epoch(1)
    assert job.state_bits(1) == undisturbed()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", SOME)
@pytest.mark.parametrize("moment", ["partitioned", "planned", "assembled"])
def test_a_beginning_job_makes_damaged_data_again(moment: str, damage: Damage, kind: str) -> None:
    """In the order of the state machine: RestoreData leads to PlanShards."""
    job, times = job_on(MemoryStorage(), "job"), 0
    other = job_on(job.storage, "other-data")
    other.data.save("rows.csv", csv_rows(seed=3))
    other.initialised()
    state = job.prepare()
    plan = job.partition_plan()
    for number in state.ranges:
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
            times = restored(job, times)
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
        times = restored(job, times)
    with pytest.raises(DataSetDamagedError, match="damaged again after it had been made 3 times"):
        restored(job, times)
    assert restored(job, times, redrives=1) == times + 1


def test_a_lost_source_is_named_only_where_it_is_needed() -> None:
    job = job_on(MemoryStorage(), "job")
    job.initialised()
    job.data.delete("rows.csv")
    restored(job, times=0)  # nothing is missing
    damaged_store(PIECE, lose, job)
    restored(job)  # the ranks have their shards
    job.epoch(1)
    with pytest.raises(KeyNotFoundError, match=r"rows\.csv"):
        restored(job, times=0)
    job.data.save("rows.csv", csv_rows(seed=1))
    with pytest.raises(ValueChangedError, match=r"rows\.csv"):
        restored(job, times=0)


def test_two_jobs_that_notice_the_same_damage_agree() -> None:
    first = job_on(MemoryStorage(), "first")
    trained(first)
    damaged_store(PIECE, noise, first)
    one, two = (job_on(first.storage, name) for name in ("one", "two"))
    for job in (one, two):
        for number in job.prepare().ranges:
            partition(number, job.job_id, job.partition_plan(), job.data, job.storage)
    assert plan_shards("one", one.storage) == plan_shards("two", one.storage)
    for job in (one, two):
        assert trained(job) == undisturbed()
    digest = first.partition_plan().digest
    assert {key.split("/")[3] for key in first.storage.list(keys.pieces_prefix(digest))} >= {"one"}
    assert not [*first.storage.list(keys.piece_prefix(digest, "two"))]


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
    assert second.prepare().ranges == []
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
