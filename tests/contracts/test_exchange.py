"""What every exchange promises, over every storage."""

from __future__ import annotations

import numpy as np
import pytest

from comm import Group, OrchestratedReduce
from comm.wire import Message, decode, encode
from stepml.job import keys
from stepml.job.errors import DamagedValueError, MissingContributionError
from stepml.job.step import Step
from storage import DurableStorage

STEP = Step(epoch=3)


def contributions(world_size: int, size: int, dtype: type = np.float32) -> list[Message]:
    rng = np.random.default_rng(size)
    return [
        Message(rng.normal(size=size).astype(dtype), np.array([rank + 0.1, 1.0]))
        for rank in range(world_size)
    ]


def exchange(storage: DurableStorage, world_size: int, job_id: str = "job") -> OrchestratedReduce:
    return OrchestratedReduce(Group(job_id, world_size), storage)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 8])
def test_the_aggregate_is_the_sum_in_rank_order_whoever_comes_first(
    storage: DurableStorage, world_size: int, size: int
) -> None:
    messages = contributions(world_size, size)
    expected = messages[0].vector.copy()
    for message in messages[1:]:
        expected += message.vector
    reduce = exchange(storage, world_size)
    for rank in np.random.default_rng(0).permutation(world_size):
        reduce.contribute(STEP, int(rank), messages[rank])
    merged = reduce.merge(STEP)
    assert merged.vector.dtype == np.float32
    assert merged.vector.tobytes() == expected.tobytes()
    assert merged.trailer[1] == world_size
    assert reduce.collect(STEP).vector.tobytes() == expected.tobytes()


def test_the_first_contribution_of_a_rank_stands(storage: DurableStorage) -> None:
    reduce = exchange(storage, 1)
    first, second = contributions(2, 5)
    reduce.contribute(STEP, 0, first)
    counted = reduce.contribute(STEP, 0, second)
    assert counted.vector.tobytes() == first.vector.tobytes()
    assert reduce.merge(STEP).vector.tobytes() == first.vector.tobytes()


def test_missing_ranks_are_named(storage: DurableStorage) -> None:
    reduce = exchange(storage, 4)
    for rank in (0, 2):
        reduce.contribute(STEP, rank, contributions(1, 3)[0])
    with pytest.raises(MissingContributionError, match="to epoch 3 from rank 1, 3") as caught:
        reduce.merge(STEP)
    assert caught.value.missing == (1, 3)


def test_a_damaged_contribution_is_refused_and_can_be_replaced(storage: DurableStorage) -> None:
    reduce = exchange(storage, 1)
    message = contributions(1, 100)[0]
    damaged = encode(message)
    damaged[200] ^= 1
    storage.save(keys.contribution("job", STEP, 0), damaged)
    with pytest.raises(DamagedValueError, match="checksum"):
        reduce.merge(STEP)
    assert not reduce.has_contributed(STEP, 0)
    reduce.contribute(STEP, 0, message)
    assert reduce.has_contributed(STEP, 0)
    assert reduce.merge(STEP).vector.tobytes() == message.vector.tobytes()


def test_a_damaged_aggregate_is_made_again(storage: DurableStorage) -> None:
    reduce = exchange(storage, 1)
    message = contributions(1, 10)[0]
    reduce.contribute(STEP, 0, message)
    storage.save(keys.aggregate("job", STEP), b"damaged")
    assert reduce.merge(STEP).vector.tobytes() == message.vector.tobytes()
    assert reduce.collect(STEP).vector.tobytes() == message.vector.tobytes()


def test_ranks_of_different_size_are_refused(storage: DurableStorage) -> None:
    reduce = exchange(storage, 2)
    reduce.contribute(STEP, 0, contributions(1, 3)[0])
    reduce.contribute(STEP, 1, contributions(1, 4)[0])
    with pytest.raises(DamagedValueError, match=r"rank 1 contributed 4 \+ 2"):
        reduce.merge(STEP)


def test_merging_again_returns_the_first_aggregate(storage: DurableStorage) -> None:
    reduce = exchange(storage, 2)
    for rank, message in enumerate(contributions(2, 9)):
        reduce.contribute(STEP, rank, message)
    first = reduce.merge(STEP)
    assert reduce.merge(STEP).vector.tobytes() == first.vector.tobytes()


def test_jobs_and_steps_do_not_touch_each_other(storage: DurableStorage) -> None:
    one, other = exchange(storage, 1, "one"), exchange(storage, 1, "other")
    a, b, c = contributions(3, 4)
    one.contribute(STEP, 0, a)
    other.contribute(STEP, 0, b)
    one.contribute(Step(4), 0, c)
    one.release(STEP)
    assert not one.has_contributed(STEP, 0)
    assert one.merge(Step(4)).vector.tobytes() == c.vector.tobytes()
    assert other.merge(STEP).vector.tobytes() == b.vector.tobytes()


def test_a_released_step_leaves_nothing(storage: DurableStorage) -> None:
    reduce = exchange(storage, 3)
    for epoch in range(1, 4):
        for rank, message in enumerate(contributions(3, 8)):
            reduce.contribute(Step(epoch), rank, message)
        reduce.merge(Step(epoch))
        reduce.release(Step(epoch))
    assert list(storage.list("jobs/")) == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_messages_survive_the_wire(size: int, dtype: type) -> None:
    message = contributions(1, size, dtype)[0]
    back = decode(encode(message), "x")
    assert back.vector.dtype == dtype
    assert back.vector.tobytes() == message.vector.tobytes()
    assert back.trailer.tolist() == message.trailer.tolist()


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 100])
def test_a_cut_message_is_damaged(cut: int) -> None:
    with pytest.raises(DamagedValueError):
        decode(encode(contributions(1, 50)[0])[:cut], "x")


def test_every_flipped_byte_is_noticed() -> None:
    data = encode(contributions(1, 5)[0])
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 0x10
        with pytest.raises(DamagedValueError):
            decode(flipped, "x")


def test_only_vectors_of_floats_are_taken() -> None:
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        encode(Message(np.arange(3), np.zeros(0)))
