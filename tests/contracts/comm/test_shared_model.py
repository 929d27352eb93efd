"""The contract of the asynchronous exchange: every update counts exactly once, on every channel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from comm.lease import FifoLease
from stepml.job import keys
from stepml.job.errors import ModelTooLargeError, SharedModelLostError, WaitTimeoutError
from storage import Storage
from storage.testing.faulty import FaultyStorage
from tests.support.clocks import StandingClock, TickingClock
from tests.support.harness import Harness, OverStorage
from tests.support.ranks import at_once, workers

EPOCH = 1


def model_of(exchanges: Harness, rank: int, world_size: int, **settings: Any) -> Any:
    return exchanges.shared(workers(world_size), EPOCH, rank, **settings)


def add(number: float) -> Any:
    def change(vector: np.ndarray) -> None:
        vector += np.float32(number)

    return change


@pytest.mark.parametrize("world_size", [1, 2, 8])
def test_every_update_counts_exactly_once(exchanges: Harness, world_size: int) -> None:
    def act(rank: int) -> int:
        # On a busy machine, a rank could otherwise take a slow holder of the turn for a dead one.
        ours = model_of(exchanges, rank, world_size, clock=StandingClock())
        ours.create(np.zeros(300, np.float32), n_totals=2)
        state = ours.pull()
        for sequence in range(1, 4):
            state = ours.push(sequence, state, add(1), totals=(0.5, rank))
        return getattr(ours, "tries", 3)

    tries = at_once(world_size, act)
    state = model_of(exchanges, 0, world_size).pull()
    assert state.vector.tolist() == [3.0 * world_size] * 300
    assert state.version == 3 * world_size
    assert state.applied.tolist() == [3] * world_size
    assert state.totals.tolist() == [1.5 * world_size, 3 * sum(range(world_size))]
    assert sum(tries) == 3 * world_size  # the lease avoids wasted work


def test_staleness_counts_the_updates_in_between(exchanges: Harness) -> None:
    one, other = model_of(exchanges, 0, 2), model_of(exchanges, 1, 2)
    one.create(np.zeros(3, np.float32))
    pulled = one.pull()
    state = other.pull()
    for sequence in (1, 2):
        state = other.push(sequence, state, add(1))
    assert (state.staleness_sum, state.staleness_max) == (0, 0)
    state = one.push(1, pulled, add(1))
    assert (state.version, state.staleness_sum, state.staleness_max) == (3, 2, 2)


def test_a_repeated_update_changes_nothing(exchanges: Harness) -> None:
    ours = model_of(exchanges, 0, 1)
    ours.create(np.zeros(3, np.float32))
    start = ours.pull()
    once = ours.push(1, start, add(1))
    again = model_of(exchanges, 0, 1).push(1, start, add(7))
    assert again.vector.tolist() == once.vector.tolist() == [1, 1, 1]
    assert again.version == 1


def test_an_update_whose_answer_was_lost_counts_once(channel: Storage) -> None:
    # Call 0 of compare_and_save takes the ticket, call 1 saves the model.
    faulty = FaultyStorage(channel, lose_answer={"compare_and_save": [1]})
    ours = model_of(OverStorage(faulty), 0, 1)
    ours.create(np.zeros(3, np.float32))
    state = ours.push(1, ours.pull(), add(1))
    assert state.vector.tolist() == [1, 1, 1]
    assert model_of(OverStorage(channel), 0, 1).pull().version == 1


def test_an_update_that_failed_is_made_again(channel: Storage) -> None:
    faulty = FaultyStorage(channel, fail={"compare_and_save": [1]})
    ours = model_of(OverStorage(faulty), 0, 1)
    ours.create(np.zeros(3, np.float32))
    assert ours.push(1, ours.pull(), add(1)).vector.tolist() == [1, 1, 1]


def test_the_first_to_create_the_model_wins(exchanges: Harness) -> None:
    model_of(exchanges, 0, 2).create(np.ones(3, np.float32))
    other = model_of(exchanges, 1, 2)
    other.create(np.zeros(3, np.float32))
    assert other.pull().vector.tolist() == [1, 1, 1]


def test_a_lost_model_is_an_error_and_is_not_made_again(exchanges: Harness) -> None:
    ours = model_of(exchanges, 0, 1)
    ours.create(np.zeros(3, np.float32))
    state = ours.push(1, ours.pull(), add(1))
    exchanges.lose_everything()
    with pytest.raises(SharedModelLostError, match="the channel has lost the shared model"):
        ours.push(2, state, add(1))
    with pytest.raises(SharedModelLostError):
        ours.pull()
    assert keys.shared_model(workers(1).prefix, EPOCH) not in exchanges.left_behind()


@pytest.mark.parametrize("updates_before", [1, 3])
def test_updates_are_not_lost_in_silence_when_a_late_rank_makes_the_model_again(
    exchanges: Harness, updates_before: int
) -> None:
    early, late = model_of(exchanges, 0, 2), model_of(exchanges, 1, 2)
    early.create(np.zeros(3, np.float32))
    state = early.pull()
    for sequence in range(1, updates_before + 1):
        state = early.push(sequence, state, add(1))
    exchanges.lose_everything()
    late.create(np.zeros(3, np.float32))
    with pytest.raises(SharedModelLostError, match="the channel has lost updates"):
        early.push(updates_before + 1, state, add(1))


def test_models_above_four_megabytes_are_refused(channel: Storage) -> None:
    with pytest.raises(ModelTooLargeError, match=r"up to 4194304 bytes, this one has 4194308"):
        model_of(OverStorage(channel), 0, 1).create(np.zeros(2**20 + 1, np.float32))
    assert not [*channel.list("jobs/")]


def test_large_models_are_replaced_without_leaving_blocks(channel: Storage) -> None:
    ours = model_of(OverStorage(channel), 0, 1)
    ours.create(np.zeros(2**20, np.float32))
    state = ours.pull()
    for sequence in range(1, 4):
        state = ours.push(sequence, state, add(1))
    assert set(state.vector.tolist()) == {3.0}
    channel.delete_many([*channel.list(workers(1).prefix)])
    inner = getattr(channel, "inner", channel)
    assert [*inner.list(workers(1).prefix)] == []


def test_a_released_epoch_leaves_nothing(exchanges: Harness) -> None:
    def act(rank: int) -> None:
        ours = model_of(exchanges, rank, 3)
        ours.create(np.zeros(3, np.float32))
        state = ours.pull()
        for sequence in (1, 2):
            state = ours.push(sequence, state, add(1))

    at_once(3, act)
    model_of(exchanges, 0, 3).release()
    assert exchanges.left_behind() == []


def test_turns_come_in_the_order_of_the_tickets(channel: Storage) -> None:
    order: list[int] = []
    waiting: list[threading.Thread] = []
    lease = FifoLease(workers(4), EPOCH, channel, clock=StandingClock())

    def act(rank: int) -> None:
        with lease.turn():
            order.append(rank)

    with lease.turn():
        for rank in range(4):
            thread = threading.Thread(target=act, args=(rank,))
            thread.start()
            waiting.append(thread)
            while channel.load(keys.lease(lease.workers.prefix, EPOCH)) != b"%d" % (rank + 2):
                time.sleep(0.005)
    for thread in waiting:
        thread.join()
    assert order == [0, 1, 2, 3]


def lease_of(channel: Storage, world_size: int, **settings: Any) -> tuple[FifoLease, TickingClock]:
    clock = TickingClock(tick_s=0.05)
    return FifoLease(workers(world_size), EPOCH, channel, clock=clock, **settings), clock


def test_a_dead_holder_is_passed_over(channel: Storage) -> None:
    lease, clock = lease_of(channel, 2, lease_s=0.4)
    lease._take_ticket()  # and then it died
    with lease.turn():
        assert 0.3 < clock.now < 20
    with lease.turn():
        pass


def test_a_rank_that_knows_a_turn_waits_less_for_a_dead_holder(channel: Storage) -> None:
    lease, clock = lease_of(channel, 2, lease_s=60.0)
    with lease.turn():
        pass
    lease._take_ticket()  # and then it died
    began = clock.now
    with lease.turn():
        assert clock.now - began < 30


def test_dead_ranks_in_a_row_are_passed_over(channel: Storage) -> None:
    lease_s = 1.0
    lease, clock = lease_of(channel, 4, lease_s=lease_s)
    for _ in range(3):
        lease._take_ticket()  # the first rank never ends its turn, the others never wait for theirs
    with lease.turn():
        assert clock.now < 20
    began = clock.now
    with lease.turn():
        assert clock.now - began < lease_s  # nobody is waited for again


def test_a_wait_for_a_turn_ends(channel: Storage) -> None:
    lease, _ = lease_of(channel, 2, lease_s=0.8, timeout_s=0.3)
    lease._take_ticket()  # and keeps its turn
    with pytest.raises(WaitTimeoutError), lease.turn():
        raise AssertionError("it is not our turn")


def test_an_emptied_channel_holds_nobody_up(channel: Storage) -> None:
    lease, clock = lease_of(channel, 2, lease_s=2.0)
    lease._take_ticket()
    ticket = lease._take_ticket()
    channel.clear(workers(2).prefix)
    began = clock.now
    lease._await_turn(ticket)
    assert clock.now - began < 1.9


def test_ranks_that_want_a_turn_get_one_each_in_turn(channel: Storage) -> None:
    """Without turns, one rank could do nearly all updates."""
    world_size, rounds = 4, 6
    tickets = keys.lease(workers(world_size).prefix, EPOCH)
    order: list[int] = []

    def once_all_wait(rank: int, sequence: int) -> Callable[[np.ndarray], None]:
        """Return a change that takes until the other ranks have asked for their next turn."""

        def change(vector: np.ndarray) -> None:
            everybody = len(order) + world_size
            while sequence < rounds and int(bytes(channel.load(tickets))) < everybody:
                time.sleep(0.002)
            order.append(rank)

        return change

    def act(rank: int) -> None:
        ours = model_of(OverStorage(channel), rank, world_size, clock=StandingClock())
        ours.create(np.zeros(64, np.float32))
        state = ours.pull()
        for sequence in range(1, rounds + 1):
            state = ours.push(sequence, state, once_all_wait(rank, sequence))

    at_once(world_size, act)
    assert sorted(order[:world_size]) == [*range(world_size)]
    assert order == order[:world_size] * rounds


def test_no_rank_is_kept_out_while_the_others_go_on(exchanges: Harness) -> None:
    world_size, least = 4, 5
    counts = [0] * world_size

    def act(rank: int) -> None:
        ours = model_of(exchanges, rank, world_size, clock=StandingClock())
        ours.create(np.zeros(64, np.float32))
        state = ours.pull()
        while min(counts) < least:
            state = ours.push(counts[rank] + 1, state, add(1))
            counts[rank] += 1

    at_once(world_size, act)
    assert model_of(exchanges, 0, world_size).pull().version == sum(counts)
