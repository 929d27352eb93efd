"""A parameter server that dies, loses values or is cut off: ranks continue, with the same bits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comm import InFlightExchange, Message
from ps_server.client.exchange import ServerInFlight, ServerOrchestrated
from ps_server.client.jobs import JobClient
from ps_server.client.shared_model import ServerSharedModel
from ps_server.protocol.addresses import Credentials
from ps_server.protocol.calls import JobSettings
from stepml.job.errors import (
    CompressionError,
    DamagedValueError,
    NotEnoughServerMemoryError,
    ReplayLostError,
    SharedModelLostError,
    StorageDeniedError,
    StorageError,
    StorageUnavailableError,
    WaitTimeoutError,
)
from stepml.job.step import Step
from tests.contracts.comm.test_in_flight import fork
from tests.contracts.conftest import TRANSPORTS
from tests.support.cutting_proxy import cutting_proxy
from tests.support.harness import WAIT_S, OverServer
from tests.support.parameter_servers import open_client, parameter_server
from tests.support.ranks import at_once, messages, total, workers

STEP, NEXT = Step(2, 5), Step(2, 6)


@pytest.fixture(params=TRANSPORTS)
def snapshotting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OverServer]:
    """A server of the test's own; it saves its state when it stops, otherwise rarely."""
    places = {"snapshots": tmp_path / "snapshots", "snapshot_seconds": 3600}
    with parameter_server(tmp_path, transports=TRANSPORTS, **places) as server:
        harness = OverServer(server, request.param)
        yield harness
        harness.close()


def rank_of(harness: OverServer, rank: int, world_size: int, **settings: Any) -> InFlightExchange:
    return harness.in_flight(
        workers(world_size), rank, **{"heal_s": 0.2, "timeout_s": WAIT_S} | settings
    )


def model_of(harness: OverServer, rank: int, world_size: int, **settings: Any) -> ServerSharedModel:
    ours = harness.shared(workers(world_size), 1, rank, **settings)
    assert isinstance(ours, ServerSharedModel)
    return ours


def add(number: float) -> Any:
    def change(vector: np.ndarray) -> None:
        vector += np.float32(number)

    return change


def test_a_server_that_is_killed_during_a_step_gets_everything_again(
    server_exchanges: OverServer,
) -> None:
    contributed = messages(3, 1000)
    ranks = [rank_of(server_exchanges, rank, 3) for rank in range(3)]
    waiting = [fork(ranks[rank].all_reduce, STEP, contributed[rank]) for rank in (0, 1)]
    for rank in (0, 1):
        server_exchanges.wait_for_contribution(workers(3), STEP, rank)
    server_exchanges.server.kill()
    time.sleep(0.3)
    server_exchanges.server.start()
    assert ranks[2].all_reduce(STEP, contributed[2]).vector.tobytes() == total(contributed)
    for thread, results in waiting:
        thread.join()
        assert results[0].vector.tobytes() == total(contributed)


@pytest.mark.parametrize("size", [40, 300_000])
def test_a_sum_that_a_killed_server_had_for_a_slow_rank_is_given_back(
    server_exchanges: OverServer, size: int
) -> None:
    first, second = messages(3, size), messages(3, size, seed=1)
    ranks = [rank_of(server_exchanges, rank, 3, frontier="an attempt") for rank in range(3)]
    server_exchanges.publish(workers(3), STEP, 2, first[2])
    at_once(2, lambda rank: ranks[rank].all_reduce(STEP, first[rank]))
    server_exchanges.server.kill()
    server_exchanges.server.start()
    ahead = [fork(ranks[rank].all_reduce, NEXT, second[rank]) for rank in (0, 1)]
    assert ranks[2].all_reduce(STEP, first[2]).vector.tobytes() == total(first)
    assert ranks[2].all_reduce(NEXT, second[2]).vector.tobytes() == total(second)
    for thread, results in ahead:
        thread.join()
        assert results[0].vector.tobytes() == total(second)


def test_jobs_go_on_while_a_server_is_killed_again_and_again(server_exchanges: OverServer) -> None:
    contributed, n_steps = messages(3, 5000), 100
    done = threading.Event()

    def act(rank: int) -> list[bytes]:
        if rank == 3:
            for _ in range(3):
                time.sleep(0.2)
                server_exchanges.server.kill()
                server_exchanges.server.start()
            done.set()
            return []
        ours, bits = rank_of(server_exchanges, rank, 3, frontier="an attempt"), []
        for batch in count(1):
            vector, trailer = contributed[rank].vector, contributed[rank].trailer
            given = Message(vector, trailer, pause=done.is_set() and batch >= n_steps)
            summed = ours.all_reduce(Step(1, batch), given)
            bits.append(summed.vector.tobytes())
            if summed.pause:
                break
        return bits

    *ranks, _ = at_once(4, act)
    assert {bits for each in ranks for bits in each} == {total(contributed)}
    assert len({len(each) for each in ranks}) == 1


def test_a_graceful_restart_keeps_the_steps(snapshotting: OverServer) -> None:
    contributed = messages(2, 1000)
    ours = rank_of(snapshotting, 0, 2)
    snapshotting.publish(workers(2), STEP, 1, contributed[1])
    snapshotting.server.stop()
    restart = threading.Timer(0.3, snapshotting.server.start)
    restart.start()
    # Rank 1 has ended, but its contribution remains.
    assert ours.all_reduce(STEP, contributed[0]).vector.tobytes() == total(contributed)
    restart.join()


@pytest.mark.parametrize("at", [10, 300, 100_000, 400_200, 400_800])
@pytest.mark.parametrize("way", ["forth", "back"])
def test_a_connection_that_is_cut_in_the_middle_changes_nothing(
    server_exchanges: OverServer, way: str, at: int
) -> None:
    contributed = [messages(2, 100_000, seed=seed) for seed in range(3)]
    cut = (at, 2**60) if way == "forth" else (2**60, at)
    with cutting_proxy(server_exchanges.server.url(server_exchanges.transport), [cut] * 3) as proxy:
        client = server_exchanges.connect(proxy.url)

        def act(rank: int) -> list[bytes]:
            ours = rank_of(server_exchanges, rank, 2)
            if rank == 1:
                ours = ServerInFlight(workers(2), rank, client, timeout_s=WAIT_S)
            return [
                ours.all_reduce(Step(1, n), contributed[n - 1][rank]).vector.tobytes()
                for n in (1, 2, 3)
            ]

        expected = [total(each) for each in contributed]
        assert at_once(2, act) == [expected, expected]
        assert proxy.n_connections > 1
        client.close()


def test_a_silent_server_ends_the_wait(server_exchanges: OverServer) -> None:
    ours = rank_of(server_exchanges, 0, 2, timeout_s=0.5)
    server_exchanges.server.kill()
    with pytest.raises(StorageUnavailableError, match="the parameter server does not answer"):
        ours.all_reduce(STEP, messages(1, 10)[0])


def test_a_peer_that_fails_ends_the_wait_for_a_silent_server(server_exchanges: OverServer) -> None:
    def watch() -> None:
        raise InterruptedError

    ours = rank_of(server_exchanges, 0, 2, watch=watch)
    server_exchanges.server.kill()
    with pytest.raises(InterruptedError):
        ours.all_reduce(STEP, messages(1, 10)[0])


def test_a_wait_is_watched_about_once_a_second(
    server_exchanges: OverServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, waits = iter([True] * 4 + [False]), []

    def watch() -> None:
        if not next(looks):
            raise InterruptedError

    ours = rank_of(server_exchanges, 0, 2, watch=watch)
    client = ours.client
    push_and_pull, pull = client.push_and_pull, client.pull

    def noting(call: Any) -> Any:
        def noted(*arguments: Any) -> Any:
            waits.append(arguments[-1])
            return call(*arguments)

        return noted

    monkeypatch.setattr(client, "push_and_pull", noting(push_and_pull))
    monkeypatch.setattr(client, "pull", noting(pull))
    with pytest.raises(InterruptedError):
        ours.all_reduce(STEP, messages(1, 10)[0])
    assert waits == [1.0] * 4  # seconds, on the server


def test_two_hundred_ranks_at_once(server_exchanges: OverServer) -> None:
    contributed = messages(200, 1000)

    def act(rank: int) -> set[bytes]:
        ours = rank_of(server_exchanges, rank, 200)
        return {ours.all_reduce(Step(1, n), contributed[rank]).vector.tobytes() for n in (1, 2, 3)}

    assert set().union(*at_once(200, act)) == {total(contributed)}


def test_one_behind_without_anybody_who_gives_the_sum_back_is_found_out(
    server_exchanges: OverServer,
) -> None:
    contributed = messages(2, 10)
    # A rank that has replayed the step's sum does not hold it.
    ahead = rank_of(server_exchanges, 0, 2, frontier="an attempt")
    waiting = fork(ahead.all_reduce, NEXT, contributed[0])
    server_exchanges.wait_for_contribution(workers(2), NEXT, 0)
    behind = rank_of(server_exchanges, 1, 2, frontier="an attempt", grace_s=0.5)
    with pytest.raises(ReplayLostError, match=r"rank 1 waits for epoch 2, batch 5: .* at batch 6"):
        behind.all_reduce(STEP, contributed[1])
    behind.all_reduce(NEXT, contributed[1])
    waiting[0].join()


def test_another_attempt_does_not_make_a_rank_believe_that_it_is_behind(
    server_exchanges: OverServer,
) -> None:
    contributed = messages(2, 10)
    before = rank_of(server_exchanges, 0, 2, frontier="first", timeout_s=0.2)
    with pytest.raises(WaitTimeoutError):
        before.all_reduce(Step(2, 9), contributed[0])
    ranks = [rank_of(server_exchanges, rank, 2, frontier="second") for rank in (0, 1)]
    results = at_once(2, lambda rank: ranks[rank].all_reduce(STEP, contributed[rank]))
    assert {each.vector.tobytes() for each in results} == {total(contributed)}


def test_refusals_have_names_that_users_know(server_exchanges: OverServer) -> None:
    message = messages(1, 10)[0]
    url = server_exchanges.server.url(server_exchanges.transport)
    denied = open_client(url, Credentials("another token, as long as one"))
    with denied, pytest.raises(StorageDeniedError, match="token"):
        ServerOrchestrated(workers(1), denied).contribute(STEP, 0, message)
    ours = server_exchanges.orchestrated(workers(2))
    ours.contribute(STEP, 0, message)
    with pytest.raises(DamagedValueError):  # it cannot be added to that of rank 0
        ours.contribute(STEP, 1, messages(1, 9)[0])
    with pytest.raises(StorageError, match=r"refuses: .*rank"):
        ours.contribute(STEP, 2, message)
    with pytest.raises(StorageError, match=r"refuses: job .* is registered with"):
        rank_of(server_exchanges, 0, 3).all_reduce(STEP, message)
    huge = 2**40 // workers(2).world_size
    with pytest.raises(NotEnoughServerMemoryError, match="bytes of the server's memory"):
        JobClient(server_exchanges.client, "jobs/huge/").register(JobSettings(2, huge))


def test_a_sum_beyond_float16_is_named_as_on_other_channels(server_exchanges: OverServer) -> None:
    message = messages(1, 3)[0]
    large = type(message)(np.full(3, 60_000, np.float32), message.trailer)
    ours = server_exchanges.orchestrated(workers(2), compression="float16")
    for rank in (0, 1):
        ours.contribute(STEP, rank, large)
    with pytest.raises(CompressionError, match="float16 holds numbers up to 65,504"):
        ours.sum(STEP)


def test_what_comes_too_late_is_let_go_of(server_exchanges: OverServer) -> None:
    late, repeated = (server_exchanges.orchestrated(workers(2)) for _ in range(2))
    late.contribute(STEP, 0, messages(1, 10)[0])
    repeated.contribute(STEP, 0, messages(1, 10)[0])
    repeated.withdraw(STEP, 0)  # it has left no values
    assert server_exchanges.has_contributed(workers(2), STEP, 0)
    late.withdraw(STEP, 0)
    assert server_exchanges.left_behind() == []


def test_a_rank_that_is_taken_back_leaves_nothing(server_exchanges: OverServer) -> None:
    ours = rank_of(server_exchanges, 0, 2, timeout_s=0.1)
    with pytest.raises(WaitTimeoutError):
        ours.all_reduce(STEP, messages(1, 10)[0])
    ours.withdraw()
    assert server_exchanges.left_behind() == []


def test_an_asynchronous_model_comes_back_as_it_was_saved(snapshotting: OverServer) -> None:
    """Only updates acknowledged since the snapshot are lost, and they are reported."""
    ranks = [model_of(snapshotting, rank, 2) for rank in (0, 1)]
    for ours in ranks:
        ours.create(np.zeros(50, np.float32), n_totals=2)
    states = [ours.pull() for ours in ranks]
    for sequence in (1, 2, 3):
        states[0] = ranks[0].push(sequence, states[0], add(1), (0.5, 1))
    states[1] = ranks[1].push(1, states[1], add(10), (0.5, 1))
    snapshotting.server.stop()  # with a snapshot
    snapshotting.server.start()
    for sequence in (4, 5):
        states[0] = ranks[0].push(sequence, states[0], add(1), (0.5, 1))
    states[1] = ranks[1].push(2, states[1], add(10), (0.5, 1))
    assert states[1].vector.tolist() == [25.0] * 50
    assert not states[1].lost
    snapshotting.server.kill()
    snapshotting.server.start()
    states[0] = ranks[0].push(6, states[0], add(1), (0.5, 1))
    assert states[0].vector.tolist() == [14.0] * 50  # 3 of rank 0, 1 of rank 1, and this one
    assert (states[0].lost, states[0].applied.tolist()) == (2, [6, 1])
    assert states[0].totals.tolist() == [2.5, 5]
    assert ranks[0].has_lost_updates(states[0])


def test_an_asynchronous_model_without_a_snapshot_is_lost(server_exchanges: OverServer) -> None:
    ours, other = (model_of(server_exchanges, rank, 2) for rank in (0, 1))
    ours.create(np.zeros(3, np.float32))
    state = ours.push(1, ours.pull(), add(1))
    pulled = other.pull()
    assert not ours.has_lost_updates(state)
    server_exchanges.server.kill()
    server_exchanges.server.start()
    with pytest.raises(SharedModelLostError, match="lost the shared model of epoch 1"):
        ours.push(2, state, add(1))
    late = model_of(server_exchanges, 1, 2)
    late.create(np.zeros(3, np.float32))
    with pytest.raises(SharedModelLostError, match="lost updates of epoch 1"):
        ours.push(2, state, add(1))
    with pytest.raises(SharedModelLostError, match="made anew"):  # its first, on the lost model
        other.push(1, pulled, add(1))


def test_every_update_counts_once_through_connections_that_are_cut(
    server_exchanges: OverServer,
) -> None:
    n_updates = 30
    url = server_exchanges.server.url(server_exchanges.transport)
    cuts = [(2**60, 3000 + 700 * number) for number in range(8)]
    with cutting_proxy(url, cuts) as proxy:
        clients = [server_exchanges.connect(proxy.url) for _ in range(3)]

        def act(rank: int) -> None:
            ours = ServerSharedModel(workers(3), 1, rank, clients[rank])
            ours.create(np.zeros(300, np.float32), n_totals=1)
            state = ours.pull()
            for sequence in range(1, n_updates + 1):
                state = ours.push(sequence, state, add(1), (1.0,))

        at_once(3, act)
        assert proxy.n_connections > 8
        for client in clients:
            client.close()
    state = model_of(server_exchanges, 0, 3).pull()
    assert state.vector.tolist() == [3.0 * n_updates] * 300
    assert state.totals.tolist() == [3.0 * n_updates]
    assert (state.version, state.applied.tolist()) == (3 * n_updates, [n_updates] * 3)


@pytest.mark.parametrize("most", [0, 1, 3])
def test_no_rank_is_further_ahead_than_max_staleness(
    server_exchanges: OverServer, most: int
) -> None:
    at = [0, 0, 0]
    furthest = []

    def act(rank: int) -> None:
        ours = model_of(server_exchanges, rank, 3, max_staleness=most)
        ours.create(np.zeros(10, np.float32))
        state = ours.pull()
        for sequence in range(1, 21):
            time.sleep(0.002 * (rank == 2))  # the slowest
            # All others have made at least sequence - 1 - most updates on this model.
            at[rank] = sequence
            furthest.append(sequence - 1 - int(state.applied.min()))
            state = ours.push(sequence, state, add(1))

    at_once(3, act)
    assert max(furthest) <= most
    assert model_of(server_exchanges, 0, 3, max_staleness=most).pull().version == 60


def test_ranks_that_are_waited_for_are_named(server_exchanges: OverServer) -> None:
    ranks = [
        model_of(server_exchanges, rank, 3, max_staleness=1, timeout_s=0.5) for rank in range(3)
    ]
    for ours in ranks:
        ours.create(np.zeros(3, np.float32))
    ranks[1].push(1, ranks[1].pull(), add(1))
    state = ranks[0].push(1, ranks[0].pull(), add(1))
    with pytest.raises(WaitTimeoutError, match=r"after 0.5 s still missing: rank 2's update 1 of"):
        ranks[0].push(2, state, add(1))
    ranks[2].push(1, ranks[2].pull(), add(1))
    assert ranks[0].push(2, state, add(1)).version == 4  # repeated: it counts once


def test_ranks_that_are_through_hold_nobody_up_after_a_restart(snapshotting: OverServer) -> None:
    """Their last updates are lost, and they repeat none."""
    ranks = [model_of(snapshotting, rank, 2, max_staleness=0) for rank in range(2)]
    for ours in ranks:
        ours.create(np.zeros(3, np.float32))
    snapshotting.server.stop()
    snapshotting.server.start()
    through = fork(ranks[1].push, 1, ranks[1].pull(), add(1))
    state = ranks[0].push(1, ranks[0].pull(), add(1))
    through[0].join()
    snapshotting.server.kill()
    snapshotting.server.start()
    state = ranks[0].push(2, state, add(1))
    assert state.applied.tolist() == [2, 0]
    assert ranks[0].has_lost_updates(state)
