"""The contract of the exchange in flight, over every channel and server."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest
from redis.connection import Connection

from comm import InFlight, InFlightExchange, Message, chunking_of
from comm.chunking import Chunking
from comm.sums import cut
from stepml.job.errors import PeerFailedError, ReplayLostError, WaitTimeoutError
from stepml.job.step import Step
from storage import Storage
from storage.blocks import BlockStorage
from storage.metered import MeteredStorage
from storage.redis import RedisStorage
from storage.wrapper import Wrapper
from tests.support.harness import WAIT_S, Harness, OverStorage
from tests.support.ranks import at_once, messages, total, workers
from tests.support.running_aws import eventually

STEP = Step(epoch=2, batch=5)
NEXT = Step(epoch=2, batch=6)


def rank_of(
    exchanges: Harness, rank: int, world_size: int, job: str = "job", **settings: Any
) -> InFlightExchange:
    settings = {"timeout_s": WAIT_S, "heal_s": 0.2} | settings
    return exchanges.in_flight(workers(world_size, job), rank, **settings)


def wait_for_contribution(exchanges: Harness, rank: int, world_size: int, chunks: int = 1) -> None:
    exchanges.wait_for_contribution(workers(world_size), STEP, rank, chunks)


def fork(act: Any, *arguments: Any) -> tuple[threading.Thread, list[Any]]:
    """Run ``act`` concurrently with the test; append its result or error to the list."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(act(*arguments))
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("pattern", ["reduce", "reduce_scatter", "reduce in chunks"])
def test_every_rank_gets_the_sum_in_rank_order(
    exchanges: Harness, pattern: str, world_size: int, size: int
) -> None:
    contributed = messages(world_size, size)
    chunks = {"reduce": 1, "reduce_scatter": world_size}.get(pattern, world_size + 1)
    mergers = world_size if pattern == "reduce_scatter" else 1
    late = np.random.default_rng(size).permutation(world_size)

    def act(rank: int) -> Message:
        time.sleep(0.002 * late[rank])
        ours = rank_of(exchanges, rank, world_size, chunks=chunks, mergers=mergers)
        return ours.all_reduce(STEP, contributed[rank])

    for result in at_once(world_size, act):
        assert result.vector.tobytes() == total(contributed)
        assert result.trailer[1] == world_size
        assert not result.pause


@pytest.mark.parametrize("chunks", [1, 3])
def test_twelve_megabytes_travel(exchanges: Harness, chunks: int) -> None:
    contributed = messages(3, 3 * 2**20)
    results = at_once(
        3,
        lambda rank: rank_of(exchanges, rank, 3, chunks=chunks).all_reduce(STEP, contributed[rank]),
    )
    assert {result.vector.tobytes() for result in results} == {total(contributed)}


@pytest.mark.parametrize("chunks", [1, 2, 7])
def test_the_sum_can_take_the_place_of_the_contribution(exchanges: Harness, chunks: int) -> None:
    contributed, expected = messages(2, 100), total(messages(2, 100))

    def act(rank: int) -> bytes:
        vector = contributed[rank].vector
        ours = rank_of(exchanges, rank, 2, chunks=chunks)
        return ours.all_reduce(STEP, contributed[rank], into=vector).vector.tobytes()

    assert at_once(2, act) == [expected, expected]


def test_small_vectors_are_not_cut(channel: Storage) -> None:
    smallest = channel.request_bytes
    assert chunking_of("reduce", 8, smallest, channel) == Chunking(1, 1)
    assert chunking_of("reduce_scatter", 8, smallest - 1, channel) == Chunking(1, 1)
    assert chunking_of("reduce_scatter", 8, 4 * smallest, channel) == Chunking(4, 4)
    assert chunking_of("reduce_scatter", 8, 8 * smallest, channel) == Chunking(8, 8)


def test_large_vectors_travel_in_blocks_where_values_do_and_waiters_are_woken(
    channel: Storage,
) -> None:
    vector_bytes = 100 * 2**20
    for pattern, mergers in (("reduce", 1), ("reduce_scatter", 8)):
        chunking = chunking_of(pattern, 8, vector_bytes, channel)
        assert chunking.n_mergers == mergers
        assert chunking.n_chunks % mergers == 0
        if channel.wakes_waiters:
            assert channel.block_bytes is not None
            assert vector_bytes / chunking.n_chunks < channel.block_bytes
        else:
            assert chunking.n_chunks == mergers


@pytest.mark.parametrize("chunks", [1, 2])
@pytest.mark.parametrize("rank", [0, 1])
def test_of_a_repeated_rank_one_value_stands_for_all(
    exchanges: Harness, rank: int, chunks: int
) -> None:
    """The first one of what others merge, and of what it merges itself that of the first sum."""
    contributed, different = messages(2, 50), messages(1, 50, seed=9)[0]
    first, repeated, other = (
        rank_of(exchanges, each, 2, chunks=chunks) for each in (rank, rank, 1 - rank)
    )
    dead, _ = fork(first.all_reduce, STEP, contributed[rank])
    wait_for_contribution(exchanges, rank, 2, chunks)
    again, results = fork(repeated.all_reduce, STEP, different)
    result = other.all_reduce(STEP, contributed[1 - rank])
    again.join()
    dead.join()
    assert results[0].vector.tobytes() == result.vector.tobytes()
    first_sum = cut(Message(np.frombuffer(total(contributed), np.float32), result.trailer), chunks)
    contributed[rank] = different
    second_sum = cut(Message(np.frombuffer(total(contributed), np.float32), result.trailer), chunks)
    for chunk, part in enumerate(cut(result, chunks)):
        allowed = [first_sum[chunk].vector.tobytes()]
        if isinstance(exchanges, OverStorage) and rank == chunk:
            allowed.append(second_sum[chunk].vector.tobytes())
        assert part.vector.tobytes() in allowed


def test_a_merger_that_starts_late_is_waited_for(exchanges: Harness) -> None:
    contributed = messages(3, 10)

    def act(rank: int) -> Message:
        time.sleep(0.5 if rank == 0 else 0)
        return rank_of(exchanges, rank, 3).all_reduce(STEP, contributed[rank])

    assert {each.vector.tobytes() for each in at_once(3, act)} == {total(contributed)}


def test_a_dead_rank_makes_the_others_time_out_and_is_named(exchanges: Harness) -> None:
    contributed = messages(4, 10)
    for rank in (0, 1, 3):  # which may otherwise be too late on a busy machine
        exchanges.publish(workers(4), STEP, rank, contributed[rank])

    def act(rank: int) -> str:
        if rank == 2:
            return "dead"
        with pytest.raises(WaitTimeoutError) as caught:
            rank_of(exchanges, rank, 4, timeout_s=1.0).all_reduce(STEP, contributed[rank])
        return str(caught.value)

    expected = "after 1 s still missing: rank 2's contribution to epoch 2, batch 5"
    assert set(at_once(4, act)) == {expected, "dead"}


def test_a_dead_merger_is_named(channel: Storage) -> None:
    ours, other = (
        rank_of(OverStorage(channel), 1, 2, timeout_s=0.6),
        rank_of(OverStorage(channel), 0, 2),
    )
    channel.publish(other._workers.contribution(STEP, 0, 0), b"then it died")
    with pytest.raises(WaitTimeoutError, match="rank 0's sum of epoch 2, batch 5"):
        ours.all_reduce(STEP, messages(1, 10)[0])


@pytest.mark.parametrize("rank", [0, 1])
def test_the_error_of_a_peer_ends_the_wait(exchanges: Harness, rank: int) -> None:
    def watch() -> None:
        raise PeerFailedError(2, "TrainingDivergedError", "the loss is nan")

    ours = rank_of(exchanges, rank, 3, watch=watch)
    with pytest.raises(PeerFailedError, match="rank 2 failed: TrainingDivergedError: the loss"):
        ours.all_reduce(STEP, messages(1, 10)[0])


@pytest.mark.parametrize("chunks", [1, 3, 7])
def test_a_channel_that_is_emptied_during_a_step_heals(exchanges: Harness, chunks: int) -> None:
    contributed = messages(3, 40)
    waiting = [
        fork(rank_of(exchanges, rank, 3, chunks=chunks).all_reduce, STEP, contributed[rank])
        for rank in (0, 1)
    ]
    for rank in (0, 1):
        wait_for_contribution(exchanges, rank, 3, chunks)
    exchanges.lose_everything()
    last = rank_of(exchanges, 2, 3, chunks=chunks).all_reduce(STEP, contributed[2])
    for thread, results in waiting:
        thread.join()
        assert results[0].vector.tobytes() == last.vector.tobytes() == total(contributed)


def test_a_sum_that_is_lost_before_a_slow_rank_has_it_is_published_again(
    exchanges: Harness,
) -> None:
    first, second = messages(2, 40), messages(2, 40, seed=1)
    fast, slow = rank_of(exchanges, 0, 2), rank_of(exchanges, 1, 2)
    exchanges.publish(workers(2), STEP, 1, first[1])
    assert fast.all_reduce(STEP, first[0]).vector.tobytes() == total(first)
    exchanges.lose_everything()
    thread, results = fork(fast.all_reduce, NEXT, second[0])
    assert slow.all_reduce(STEP, first[1]).vector.tobytes() == total(first)
    assert slow.all_reduce(NEXT, second[1]).vector.tobytes() == total(second)
    thread.join()
    assert results[0].vector.tobytes() == total(second)


def test_a_rank_that_computes_holds_no_sum_but_the_last(channel: Storage) -> None:
    """A sum has the size of the model, and activations need the room."""
    exchange = OverStorage(channel).in_flight(workers(1), 0, timeout_s=WAIT_S)
    sums = []
    for step in (STEP, NEXT):
        aggregate = exchange.all_reduce(step, messages(1, 50)[0])
        sums.append(weakref.ref(aggregate.vector.base))
        del aggregate
        gc.collect()
        assert sums[0]() is None or step is STEP


def test_a_damaged_contribution_is_published_again(channel: Storage) -> None:
    contributed = messages(2, 40)
    thread, results = fork(rank_of(OverStorage(channel), 1, 2).all_reduce, STEP, contributed[1])
    wait_for_contribution(OverStorage(channel), 1, 2)
    key = workers(2).contribution(STEP, 1, 0)
    damaged = bytearray(channel.load(key))
    damaged[50] ^= 1
    channel.save(key, damaged)
    merged = rank_of(OverStorage(channel), 0, 2).all_reduce(STEP, contributed[0])
    thread.join()
    assert merged.vector.tobytes() == results[0].vector.tobytes() == total(contributed)


def test_a_damaged_sum_is_published_again(channel: Storage) -> None:
    first, second = messages(2, 40), messages(2, 40, seed=1)
    fast, slow = rank_of(OverStorage(channel), 0, 2), rank_of(OverStorage(channel), 1, 2)
    OverStorage(channel).publish(workers(2), STEP, 1, first[1])
    fast.all_reduce(STEP, first[0])
    channel.save(workers(2).aggregate(STEP, 0), b"damaged")
    thread, _ = fork(fast.all_reduce, NEXT, second[0])
    assert slow.all_reduce(STEP, first[1]).vector.tobytes() == total(first)
    slow.all_reduce(NEXT, second[1])
    thread.join()


def test_a_late_copy_of_the_merger_takes_the_sum_that_is_there(exchanges: Harness) -> None:
    contributed = messages(2, 10)
    original = rank_of(exchanges, 0, 2)
    thread, results = fork(rank_of(exchanges, 1, 2).all_reduce, STEP, contributed[1])
    original.all_reduce(STEP, contributed[0])
    thread.join()
    original.close()  # deletes the contributions
    copy = rank_of(exchanges, 0, 2).all_reduce(STEP, messages(1, 10, seed=5)[0])
    assert copy.vector.tobytes() == results[0].vector.tobytes() == total(contributed)


def test_one_rank_that_has_to_pause_stops_all(exchanges: Harness) -> None:
    contributed = messages(3, 10)

    def act(rank: int) -> bool:
        message = Message(contributed[rank].vector, contributed[rank].trailer, pause=rank == 2)
        return rank_of(exchanges, rank, 3, chunks=3).all_reduce(STEP, message).pause

    assert at_once(3, act) == [True, True, True]


@pytest.mark.parametrize("chunks", [1, 2])
def test_sums_can_be_replayed_until_they_are_forgotten(exchanges: Harness, chunks: int) -> None:
    contributed = messages(2, 10)
    at_once(
        2,
        lambda rank: rank_of(exchanges, rank, 2, chunks=chunks).all_reduce(STEP, contributed[rank]),
    )
    restarted = rank_of(exchanges, 1, 2, chunks=chunks)
    replayed = restarted.replay(STEP)
    assert replayed is not None
    assert replayed.vector.tobytes() == total(contributed)
    assert restarted.replay(NEXT) is None
    restarted.forget([STEP])
    restarted.close()
    assert restarted.replay(STEP) is None


FRONTIER = workers(3).prefix + "attempt/frontier"


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_whose_peers_are_out_of_reach_says_so(
    exchanges: Harness, rank: int, chunks: int
) -> None:
    """The rank is called again, but the sums that it needs to catch up are lost."""
    far = Step(STEP.epoch, STEP.batch + 7)
    contributed, peers = messages(3, 30), [each for each in range(3) if each != rank]
    settings: dict[str, Any] = {"chunks": chunks, "frontier": FRONTIER}
    waiting = [
        fork(rank_of(exchanges, peer, 3, **settings).all_reduce, far, contributed[peer])
        for peer in peers
    ]
    lost = rank_of(exchanges, rank, 3, **settings)
    with pytest.raises(ReplayLostError, match=rf"rank {rank} waits for .* at batch 12"):
        lost.all_reduce(STEP, contributed[rank])
    # Called again with its peers' position, it continues with them.
    again = rank_of(exchanges, rank, 3, **settings)
    assert again.all_reduce(far, contributed[rank]).vector.tobytes() == total(contributed)
    for thread, results in waiting:
        thread.join()
        assert results[0].vector.tobytes() == total(contributed)


def test_a_rank_one_step_behind_waits_until_the_merger_has_computed(channel: Storage) -> None:
    """The rank returns the lost sum as soon as it waits itself; the others are already waiting."""
    contributed = messages(3, 10)
    ranks = [rank_of(OverStorage(channel), rank, 3, frontier=FRONTIER) for rank in range(3)]
    steps = [fork(ranks[rank].all_reduce, STEP, contributed[rank]) for rank in (0, 1)]
    losing = _Losing(channel)
    slow = rank_of(OverStorage(losing), 2, 3, frontier=FRONTIER, heal_s=0.3)
    slow._left_at -= 20.0  # its own batches take this long
    behind = fork(slow.all_reduce, STEP, contributed[2])
    for thread, _ in steps:
        thread.join()
    losing.loses.set()
    ahead = fork(ranks[1].all_reduce, NEXT, contributed[1])
    # The merger computes while the others poll several times.
    eventually(lambda: losing.looks_behind, lambda looks: looks > 2)
    steps = [fork(ranks[0].all_reduce, NEXT, contributed[0])]
    behind[0].join()
    assert behind[1][0].vector.tobytes() == total(contributed)
    slow.all_reduce(NEXT, contributed[2])
    for thread, results in (ahead, *steps):
        thread.join()
        assert results[0].vector.tobytes() == total(contributed)


class _Losing(Wrapper):
    """A channel that loses the sum of a step before one rank has seen it."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.wakes_waiters = False
        self.loses = threading.Event()
        self.looks_behind = 0  # of a rank that finds its peers at the next step
        self._has_lost = False

    def load_many(self, keys: Any) -> Any:
        name = workers(3).aggregate(STEP, 0)
        if self.loses.is_set() and not self._has_lost:
            self._has_lost = True
            self.inner.delete(name)
        found = self.inner.load_many(keys)
        self.looks_behind += found.get(FRONTIER) == b"%d" % NEXT.batch
        return found if self._has_lost else {k: v for k, v in found.items() if k != name}


def test_float16_sums_are_the_same_bits_on_all_ranks(exchanges: Harness) -> None:
    contributed = messages(3, 100)
    results = at_once(
        3,
        lambda rank: rank_of(exchanges, rank, 3, chunks=3, compression="float16").all_reduce(
            STEP, contributed[rank]
        ),
    )
    halves = [message.vector.astype(np.float16).astype(np.float32) for message in contributed]
    expected = (halves[0] + halves[1] + halves[2]).astype(np.float16).astype(np.float32)
    assert {result.vector.tobytes() for result in results} == {expected.tobytes()}


def test_two_jobs_at_once_do_not_touch_each_other(exchanges: Harness) -> None:
    contributed = [messages(2, 30, seed=job) for job in range(2)]

    def act(number: int) -> bytes:
        job, rank = divmod(number, 2)
        ours = rank_of(exchanges, rank, 2, f"job-{job}")
        for batch in range(1, 4):
            result = ours.all_reduce(Step(1, batch), contributed[job][rank])
        ours.close()
        return result.vector.tobytes()

    results = at_once(4, act)
    assert results == [total(contributed[0])] * 2 + [total(contributed[1])] * 2


def test_thousands_of_steps_leave_nothing_behind(exchanges: Harness) -> None:
    n_steps = exchanges.n_steps
    contributed = messages(2, 20)
    most = []

    def act(rank: int) -> None:
        ours = rank_of(exchanges, rank, 2)
        for batch in range(1, n_steps + 1):
            ours.all_reduce(Step(1, batch), contributed[rank])
            if rank == 0:
                ours.forget([Step(1, batch - 1)])
                if batch % (n_steps // 5) == 0:
                    most.append(len(exchanges.left_behind()))
        ours.close()

    at_once(2, act)
    assert max(most) < 100
    assert len(exchanges.left_behind()) == 1  # the last sum


@pytest.mark.parametrize(("chunks", "mergers"), [(1, 1), (2, 2), (9, 1)])
def test_steps_open_no_connections(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, chunks: int, mergers: int
) -> None:
    opened = []
    connect = Connection.connect

    def counted(self: Connection) -> None:
        if not self.is_connected:
            opened.append(self)
        connect(self)

    monkeypatch.setattr(Connection, "connect", counted)
    contributed = messages(2, 100_000)
    server = request.getfixturevalue("redis_one")
    channels = [BlockStorage(RedisStorage(server.url)) for _ in range(2)]

    def act(rank: int) -> None:
        ours = InFlight(
            workers(2, f"quiet-{chunks}"), rank, channels[rank], chunking=Chunking(chunks, mergers)
        )
        for batch in range(1, 31):
            ours.all_reduce(Step(1, batch), contributed[rank])
            if rank == 0:
                ours.forget([Step(1, batch - 1)])
        ours.close()

    at_once(2, act)
    assert len(opened) <= 4  # each rank: one connection for waits, one for values
    for each in channels:
        each.close()


def test_a_step_costs_the_requests_that_its_formula_says(channel: Storage) -> None:
    contributed = messages(4, 1000)
    meters = [MeteredStorage(channel) for _ in range(4)]

    def act(rank: int) -> None:
        rank_of(OverStorage(meters[rank]), rank, 4).all_reduce(STEP, contributed[rank])

    at_once(4, act)
    message_bytes = 32 + 4 * 1000 + 16
    assert [meter.requests["publish"] for meter in meters] == [1, 1, 1, 1]
    assert [meter.sent_bytes for meter in meters] == 4 * [message_bytes]
    assert [meter.received_bytes for meter in meters] == [3 * message_bytes] + 3 * [message_bytes]
    assert not any(meter.requests["list"] for meter in meters)
