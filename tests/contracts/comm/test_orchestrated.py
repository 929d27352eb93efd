"""The contract of the orchestrated exchange, over every channel."""

from __future__ import annotations

import numpy as np
import pytest

from comm import Orchestrated, OrchestratedExchange
from comm.wire import encode
from stepml.job.errors import DamagedValueError, KeyNotFoundError, MissingContributionError
from stepml.job.step import Step
from storage import Storage
from tests.support.harness import Harness
from tests.support.ranks import messages, total, workers

STEP = Step(epoch=3)


def exchange(
    exchanges: Harness, world_size: int, chunks: int = 1, job: str = "job"
) -> OrchestratedExchange:
    return exchanges.orchestrated(workers(world_size, job), chunks=chunks)


def merge(ours: OrchestratedExchange, step: Step = STEP) -> None:
    """Merge all chunks like the functions of a storage channel; a parameter server needs none."""
    if isinstance(ours, Orchestrated):
        for chunk in reversed(range(ours.chunks)):
            ours.merge(step, chunk)


def stored(channel: Storage, world_size: int, chunks: int = 1) -> Orchestrated:
    return Orchestrated(workers(world_size), channel, chunks=chunks)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("pattern", ["reduce", "reduce_scatter"])
def test_the_aggregate_is_the_sum_in_rank_order_whoever_comes_first(
    exchanges: Harness, pattern: str, world_size: int, size: int
) -> None:
    chunks = 1 if pattern == "reduce" else world_size
    contributed = messages(world_size, size)
    ours = exchange(exchanges, world_size, chunks)
    for rank in np.random.default_rng(0).permutation(world_size):
        ours.contribute(STEP, int(rank), contributed[rank])
    merge(ours)
    merged = ours.sum(STEP)
    assert merged.vector.tobytes() == total(contributed)
    assert merged.trailer[1] == world_size


def test_twelve_megabytes_travel(exchanges: Harness) -> None:
    contributed = messages(2, 3 * 2**20)
    ours = exchange(exchanges, 2, chunks=2)
    for rank, message in enumerate(contributed):
        ours.contribute(STEP, rank, message)
    merge(ours)
    assert ours.sum(STEP).vector.tobytes() == total(contributed)
    ours.release(STEP)
    assert exchanges.left_behind() == []


def test_the_first_contribution_of_a_rank_stands_and_counts_once(exchanges: Harness) -> None:
    first, other, second = messages(3, 5)
    ours = exchange(exchanges, 2)
    ours.contribute(STEP, 0, first)
    ours.contribute(STEP, 1, other)
    ours.contribute(STEP, 0, second)
    assert ours.sum(STEP).vector.tobytes() == total([first, other])


def test_missing_ranks_are_named(exchanges: Harness) -> None:
    ours = exchange(exchanges, 4)
    for rank in (0, 2):
        ours.contribute(STEP, rank, messages(1, 3)[0])
    with pytest.raises(MissingContributionError, match="to epoch 3 from rank 1, 3") as caught:
        ours.sum(STEP)
    assert caught.value.missing == (1, 3)


def test_a_chunk_that_nobody_has_merged_is_named(channel: Storage) -> None:
    ours = stored(channel, 2, chunks=2)
    for rank, message in enumerate(messages(2, 10)):
        ours.contribute(STEP, rank, message)
    ours.merge(STEP, 0)
    with pytest.raises(KeyNotFoundError, match="no aggregate of epoch 3"):
        ours.collect(STEP)


def test_a_damaged_contribution_is_refused_and_can_be_replaced(channel: Storage) -> None:
    ours = stored(channel, 1)
    message = messages(1, 100)[0]
    damaged = bytearray(encode(message))
    damaged[200] ^= 1
    channel.save(workers(1).contribution(STEP, 0, 0), damaged)
    with pytest.raises(DamagedValueError, match="checksum"):
        ours.merge(STEP)
    assert not ours.has_contributed(STEP, 0)
    ours.contribute(STEP, 0, message)
    assert ours.has_contributed(STEP, 0)
    assert ours.merge(STEP).vector.tobytes() == message.vector.tobytes()


def test_a_damaged_aggregate_is_made_again(channel: Storage) -> None:
    ours = stored(channel, 1)
    message = messages(1, 10)[0]
    ours.contribute(STEP, 0, message)
    channel.save(workers(1).aggregate(STEP, 0), b"damaged")
    assert ours.merge(STEP).vector.tobytes() == message.vector.tobytes()
    assert ours.collect(STEP).vector.tobytes() == message.vector.tobytes()


def test_a_rank_has_contributed_when_all_its_chunks_are_there(channel: Storage) -> None:
    ours = stored(channel, 3, chunks=3)
    assert not ours.has_contributed(STEP, 1)
    ours.contribute(STEP, 1, messages(1, 9)[0])
    assert ours.has_contributed(STEP, 1)
    channel.delete(workers(3).contribution(STEP, 1, 2))
    assert not ours.has_contributed(STEP, 1)


def test_merging_again_returns_the_first_aggregate(exchanges: Harness) -> None:
    ours = exchange(exchanges, 2)
    for rank, message in enumerate(messages(2, 9)):
        ours.contribute(STEP, rank, message)
    first = ours.merge(STEP) if isinstance(ours, Orchestrated) else ours.sum(STEP)
    merge(ours)
    assert ours.sum(STEP).vector.tobytes() == first.vector.tobytes()


def test_float16_aggregates_are_what_everybody_decodes(exchanges: Harness) -> None:
    ours = exchanges.orchestrated(workers(2), compression="float16")
    contributed = messages(2, 100)
    for rank, message in enumerate(contributed):
        ours.contribute(STEP, rank, message)
    halves = [message.vector.astype(np.float16).astype(np.float32) for message in contributed]
    expected = (halves[0] + halves[1]).astype(np.float16).astype(np.float32)
    assert ours.sum(STEP).vector.tobytes() == expected.tobytes()
    merge(ours)
    assert ours.sum(STEP).vector.tobytes() == expected.tobytes()


def test_jobs_and_steps_do_not_touch_each_other(exchanges: Harness) -> None:
    one, other = exchange(exchanges, 1, job="one"), exchange(exchanges, 1, job="other")
    a, b, c = messages(3, 4)
    one.contribute(STEP, 0, a)
    other.contribute(STEP, 0, b)
    one.contribute(Step(4), 0, c)
    one.release(STEP)
    assert not one.has_contributed(STEP, 0)
    assert one.sum(Step(4)).vector.tobytes() == c.vector.tobytes()
    assert other.sum(STEP).vector.tobytes() == b.vector.tobytes()


def test_released_steps_leave_nothing(exchanges: Harness) -> None:
    ours = exchange(exchanges, 3, chunks=3)
    for epoch in range(1, 4):
        for rank, message in enumerate(messages(3, 8)):
            ours.contribute(Step(epoch), rank, message)
        merge(ours, Step(epoch))
        ours.release(Step(epoch))
    assert exchanges.left_behind() == []
