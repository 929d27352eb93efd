"""The contract of a parameter server's state, without a socket."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest

from comm.sums import sum_in_rank_order
from comm.wire import Compression, Message, decode, encode
from ps_server.protocol.calls import (
    ALL_RANKS,
    JobSettings,
    Pushed,
    Registration,
    ServerUpdate,
    Target,
)
from ps_server.protocol.refusals import (
    ContributionsMissing,
    DamagedVector,
    Draining,
    InvalidRequest,
    JobConflict,
    MemoryExceeded,
    Refusal,
    StepForgotten,
    UnknownJob,
)
from ps_server.state.asynchronous import HEAD
from ps_server.state.jobs import reserved_bytes
from ps_server.state.parameters import Parameters
from stepml.job.algorithms import GradientAveraging
from stepml.job.step import Step
from stepml.ml.algorithms.descent import Descent
from tests.support.clocks import HandClock
from tests.support.plain_choices import plain
from tests.support.ranks import at_once, messages, total

JOB = "jobs/job/exchange/0123456789abcdef/"
STEP = Step(2, 5)
ATTEMPT = "attempt"
WAIT_S = 600.0  # longer than a test may take


def parameters(limit_bytes: int = 2**26, **settings: Any) -> Parameters:
    return Parameters(limit_bytes=limit_bytes, **settings)


def registered(world_size: int, message_bytes: int = 2**16, **settings: Any) -> Parameters:
    state = parameters()
    state.register(JOB, JobSettings(world_size, message_bytes, **settings))
    return state


def push(
    state: Parameters,
    rank: int,
    message: Message,
    step: Step = STEP,
    *,
    job: str = JOB,
    attempt: str = ATTEMPT,
    based_on: int = 0,
    compression: Compression = "none",
) -> Pushed:
    data = encode(message, compression)
    incoming = state.receive(Target(job, step, rank, attempt, based_on), len(data))
    if incoming.repeated is None:
        incoming.memory[:] = data
    return state.push(incoming)


def pull(
    state: Parameters,
    rank: int = 0,
    step: Step = STEP,
    *,
    wait_s: float = 0.0,
    attempt: str = ATTEMPT,
) -> Message:
    block = state.pull(Target(JOB, step, rank, attempt), wait_s)
    message = decode(bytes(block.data), "what was pulled")
    block.drop()
    return message


def used_bytes(state: Parameters) -> int:
    return state.statistics().used_bytes


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_the_sum_is_taken_in_rank_order_however_ranks_arrive(world_size: int, size: int) -> None:
    contributed = messages(world_size, size)
    state = registered(world_size)
    for batch in range(1, 6):
        order = np.random.default_rng(batch).permutation(world_size)
        for rank in order:
            assert not push(state, int(rank), contributed[rank], Step(1, batch)).is_repeated
        found = pull(state, step=Step(1, batch))
        assert found.vector.tobytes() == total(contributed)
        assert found.trailer[1] == world_size


def test_a_compressed_sum_has_the_bits_of_the_other_channels() -> None:
    contributed = messages(3, 100)
    state = registered(3, compression="float16")
    for rank in (2, 0, 1):
        push(state, rank, contributed[rank], compression="float16")
    halves = [decode(encode(each, "float16"), "") for each in contributed]
    expected = sum_in_rank_order(halves, "float16").message
    assert pull(state).vector.tobytes() == expected.vector.tobytes()


def test_a_compressed_sum_that_does_not_fit_is_refused_by_name() -> None:
    state = registered(2, compression="float16")
    large = Message(np.full(3, 60_000, np.float32), np.zeros(0))
    for rank in range(2):
        push(state, rank, large, compression="float16")
    with pytest.raises(InvalidRequest, match="float16 holds numbers up to 65,504"):
        pull(state)
    state.reset(JOB, 0)
    assert used_bytes(state) == 0


@pytest.mark.parametrize("first", [0, 1])
def test_of_a_repeated_push_the_first_counts(first: int) -> None:
    contributed, other = messages(2, 50), messages(1, 50, seed=9)[0]
    state = registered(2)
    push(state, first, contributed[first])
    assert push(state, first, other).is_repeated
    push(state, 1 - first, contributed[1 - first])
    assert push(state, 1 - first, other).is_repeated
    assert pull(state).vector.tobytes() == total(contributed)


def test_of_two_pushes_at_once_one_counts() -> None:
    contributed = messages(2, 50)
    state = registered(2)
    size = len(encode(contributed[0]))
    both = [state.receive(Target(JOB, STEP, 0, ATTEMPT), size) for _ in range(2)]
    for incoming in both:
        incoming.memory[:] = encode(contributed[0])
    assert [state.push(each).is_repeated for each in both] == [
        False,
        True,
    ]
    push(state, 1, contributed[1])
    assert pull(state).vector.tobytes() == total(contributed)


def test_a_pull_waits_for_all_ranks_and_is_woken_by_the_last() -> None:
    contributed = messages(4, 100)
    state = registered(4)

    def act(rank: int) -> bytes:
        time.sleep(0.01 * (3 - rank))
        push(state, rank, contributed[rank])
        return pull(state, rank, wait_s=WAIT_S).vector.tobytes()

    assert set(at_once(4, act)) == {total(contributed)}


def test_a_wait_ends_and_names_the_ranks_that_are_missing() -> None:
    state = registered(4)
    push(state, 1, messages(1, 5)[0])
    push(state, 3, messages(1, 5)[0])
    with pytest.raises(ContributionsMissing, match="rank 0, 2") as caught:
        pull(state, wait_s=0.05)
    assert caught.value.ranks == (0, 2)
    assert caught.value.frontier == STEP.batch


def test_pausing_of_one_rank_is_told_to_all() -> None:
    state = registered(3)
    for rank, message in enumerate(messages(3, 5)):
        push(state, rank, Message(message.vector, message.trailer, pause=rank == 1))
    assert pull(state).pause


def test_a_rank_that_is_far_behind_its_peers_is_told_so() -> None:
    state = registered(2)
    far = Step(STEP.epoch, STEP.batch + 2)
    push(state, 0, messages(1, 5)[0], far)
    with pytest.raises(StepForgotten, match="at batch 7"):
        push(state, 1, messages(1, 5)[0])
    with pytest.raises(StepForgotten):
        pull(state)
    push(state, 1, messages(1, 5)[0], attempt="the next one")  # all ranks begin there again
    push(state, 1, messages(1, 5)[0], Step(STEP.epoch, STEP.batch + 1))  # one behind


def test_a_lost_sum_can_be_given_back_by_whoever_has_it() -> None:
    contributed = messages(2, 30)
    have = sum_in_rank_order(contributed, "none").message
    state = registered(2)
    push(state, 0, contributed[0], Step(STEP.epoch, STEP.batch + 1))
    push(state, 1, contributed[1])
    assert not push(state, ALL_RANKS, have).is_repeated
    assert push(state, ALL_RANKS, messages(1, 30, seed=3)[0]).is_repeated
    assert pull(state, 1).vector.tobytes() == total(contributed)
    assert push(state, 0, contributed[0]).is_repeated


def test_forgotten_steps_leave_nothing_and_others_stay() -> None:
    state = registered(1)
    for epoch in (1, 2):
        for batch in range(1, 4):
            push(state, 0, messages(1, 5)[0], Step(epoch, batch))
    state.forget(JOB, Step(1, 2))
    assert not state.exists(JOB, Step(1, 2)).ranks
    assert state.exists(JOB, Step(1, 3)).is_complete
    assert state.exists(JOB, Step(2, 1)).is_complete
    state.reset(JOB, 2)
    assert not state.exists(JOB, Step(2, 3)).ranks
    assert not push(state, 0, messages(1, 5)[0], Step(2, 1)).is_repeated
    assert state.delete("jobs/job/") == 1
    assert used_bytes(state) == state.statistics().reserved_bytes == 0
    with pytest.raises(UnknownJob):
        state.exists(JOB, STEP)


def test_who_has_pushed_is_told() -> None:
    state = registered(3)
    assert state.exists(JOB, STEP).ranks == ()
    push(state, 2, messages(1, 5)[0])
    assert (state.exists(JOB, STEP).ranks, state.exists(JOB, STEP).is_complete) == ((2,), False)
    for rank in (0, 1):
        push(state, rank, messages(1, 5)[0])
    assert (state.exists(JOB, STEP).ranks, state.exists(JOB, STEP).is_complete) == (
        (0, 1, 2),
        True,
    )


def test_jobs_do_not_touch_each_other() -> None:
    state = registered(1)
    state.register("other", JobSettings(1, 1000))
    a, b = messages(2, 8)
    push(state, 0, a)
    push(state, 0, b, job="other")
    assert state.delete("other") == 1
    assert pull(state).vector.tobytes() == a.vector.tobytes()


def test_registering_again_changes_nothing_and_other_settings_are_refused() -> None:
    state = registered(2)
    settings = JobSettings(2, 2**16)
    assert state.register(JOB, settings) == Registration(state.incarnation, False, False)
    with pytest.raises(JobConflict, match="world_size=3"):
        state.register(JOB, JobSettings(3, 2**16))
    assert state.statistics().reserved_bytes == reserved_bytes(settings)


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda s: push(s, 2, messages(1, 5)[0]), InvalidRequest, r"rank: expected -1 to 1, got 2"),
        (lambda s: push(s, -2, messages(1, 5)[0]), InvalidRequest, "rank: expected"),
        (lambda s: push(s, 0, messages(1, 5)[0], Step(0, 1)), InvalidRequest, "step: expected"),
        (lambda s: push(s, 0, messages(1, 2**16)[0]), InvalidRequest, "size: expected 32 to"),
        (lambda s: s.receive(Target(JOB, STEP, 0), 31), InvalidRequest, "got 31"),
        (lambda s: s.delete(""), InvalidRequest, "prefix: expected 1 to 200"),
        (lambda s: s.register("a\n", JobSettings(1, 99)), InvalidRequest, "job: expected"),
        (lambda s: s.exists("nobody", STEP), UnknownJob, "'nobody' is not registered"),
        (lambda s: s.register("x", JobSettings(0, 99)), InvalidRequest, "world_size: expected"),
        (lambda s: JobSettings(1, 99, "eventual"), InvalidRequest, "rule: expected bulk_"),  # type: ignore[arg-type]
        (
            lambda s: JobSettings(1, 99, "asynchronous", server_update='{"a":1}'),
            InvalidRequest,
            "server_update: ",
        ),
        (
            lambda s: JobSettings(
                *(1, 99, "asynchronous"),  # type: ignore[arg-type]
                server_update='{"descent":{"name":"gradient_averaging"},"max_epochs":1,"n_updates":0}',
            ),
            InvalidRequest,
            r"server_update: .*n_updates",
        ),
    ],
)
def test_wrong_calls_are_refused_by_name(
    call: Callable[[Parameters], object], error: type[Refusal], told: str
) -> None:
    state = registered(2)
    with pytest.raises(error, match=told):
        call(state)
    assert used_bytes(state) == 0


def test_damaged_and_unlike_vectors_are_refused_and_can_be_replaced() -> None:
    contributed = messages(2, 30)
    state = registered(2)
    push(state, 0, contributed[0])
    data = bytearray(encode(contributed[1]))
    data[60] ^= 1
    incoming = state.receive(Target(JOB, STEP, 1, ATTEMPT), len(data))
    incoming.memory[:] = data
    with pytest.raises(DamagedVector, match="checksum"):
        state.push(incoming)
    with pytest.raises(DamagedVector, match=r"expected 30 float32 \+ 2 numbers, got 29"):
        push(state, 1, messages(1, 29)[0])
    push(state, 1, contributed[1])
    assert pull(state).vector.tobytes() == total(contributed)
    state.delete(JOB)
    assert used_bytes(state) == 0


def test_a_job_that_does_not_fit_is_refused_with_numbers() -> None:
    state = parameters(limit_bytes=10 * 2**20)
    state.register("small", JobSettings(2, 2**20))
    with pytest.raises(MemoryExceeded, match="8 ranks, messages of 1048576 bytes") as caught:
        state.register("large", JobSettings(8, 2**20))
    error = caught.value
    assert (error.needed_bytes, error.free_bytes) == (11 * 2**20, 5 * 2**20)
    state.delete("small")
    with pytest.raises(MemoryExceeded):
        state.register("large", JobSettings(8, 2**20))
    state.register("fits", JobSettings(7, 2**20))


def test_sums_are_kept_until_their_memory_is_needed_and_the_newest_always() -> None:
    size = len(encode(messages(1, 2**16)[0]))
    state = parameters(limit_bytes=6 * size)
    state.register(JOB, JobSettings(1, size))
    message = messages(1, 2**16)[0]
    for batch in range(1, 30):
        push(state, 0, message, Step(1, batch))
        pull(state, 0, Step(1, batch))
        assert used_bytes(state) <= 6 * size
        for recent in (batch, batch - 1):
            assert recent == 0 or state.exists(JOB, Step(1, recent)).is_complete
    assert state.exists(JOB, Step(1, 26)).is_complete  # this one as well, because there was room


def test_sums_that_a_rank_has_not_pulled_are_never_let_go_of() -> None:
    size = len(encode(messages(1, 2**16)[0]))
    state = parameters(limit_bytes=6 * size)
    state.register(JOB, JobSettings(2, size))
    message = messages(1, 2**16)[0]
    with pytest.raises(MemoryExceeded, match="has no room now"):
        for batch in range(1, 30):
            for rank in range(2):
                push(state, rank, message, Step(1, batch), attempt="")
            pull(state, 0, Step(1, batch), attempt="")
    assert state.exists(JOB, Step(1, 1)).is_complete


def test_sums_that_no_rank_will_pull_any_more_go_when_their_memory_is_needed() -> None:
    """For example, returned for a rank that then continued from a later snapshot."""
    message = messages(1, 2**16)[0]
    size = len(encode(message))
    state = parameters(limit_bytes=6 * size)
    state.register(JOB, JobSettings(2, size))
    for batch in range(1, 30):
        push(state, ALL_RANKS, message, Step(1, batch), attempt="")
        if batch % 3 == 0:
            for rank in range(2):
                pull(state, rank, Step(1, batch), attempt="")
    assert state.exists(JOB, Step(1, 29)).is_complete


def test_a_snapshot_that_is_being_written_holds_nobody_up() -> None:
    contributed = messages(4, 2**14)
    size = len(encode(contributed[0]))
    settings = JobSettings(4, size)
    state = parameters(limit_bytes=reserved_bytes(settings))
    state.register(JOB, settings)
    for rank in (1, 2, 3):
        push(state, rank, contributed[rank], Step(1, 1))
    snapshot = state.take_snapshot()
    push(state, 0, contributed[0], Step(1, 1))
    for batch in range(2, 12):
        for rank in (3, 1, 0, 2):
            push(state, rank, contributed[rank], Step(1, batch))
        for rank in range(4):
            assert pull(state, rank, Step(1, batch)).vector.tobytes() == total(contributed)
    file = io.BytesIO()
    snapshot.write(file)
    snapshot.close()
    later = Parameters.restore(file.getbuffer(), limit_bytes=2**26)
    assert later.exists(JOB, Step(1, 1)).ranks == (1, 2, 3)
    push(later, 0, contributed[0], Step(1, 1))
    assert pull(later, step=Step(1, 1)).vector.tobytes() == total(contributed)
    state.delete(JOB)
    assert used_bytes(state) == 0


@pytest.mark.parametrize("compression", ["none", "float16"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("failing", range(6))
def test_a_push_that_fails_for_want_of_memory_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...], failing: int, compression: Any
) -> None:
    contributed = messages(3, 500)
    state, calm = registered(3, compression=compression), registered(3, compression=compression)
    take, calls = state._memory.take, 0

    def failing_take(size: int) -> Any:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise MemoryError
        return take(size)

    monkeypatch.setattr(state._memory, "take", failing_take)
    snapshots = []
    for _ in range(2):  # ranks that are missing push again
        for rank in order:
            with suppress(MemoryError):
                push(state, rank, contributed[rank], compression=compression)
            snapshots.append(state.take_snapshot())  # so that sums are copied before a change
    for rank in order:
        push(calm, rank, contributed[rank], compression=compression)
    assert pull(state).vector.tobytes() == pull(calm).vector.tobytes()
    for snapshot in snapshots:
        snapshot.close()
    state.delete(JOB)
    assert used_bytes(state) == 0


@pytest.mark.parametrize("failing", range(3))
def test_an_update_that_fails_for_want_of_memory_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    spec = plain(GradientAveraging(learning_rate=0.1, optimiser="adam"))
    text = msgspec.json.encode(ServerUpdate(spec, 10, n_updates=5)).decode()
    state, calm = (asynchronous(server_update=text) for _ in range(2))
    take, calls = state._memory.take, 0

    def failing_take(size: int) -> Any:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise MemoryError
        return take(size)

    monkeypatch.setattr(state._memory, "take", failing_take)
    snapshot = state.take_snapshot()  # so that model and moments are copied before a change
    with pytest.raises(MemoryError):
        update(state, 0, 1)
    snapshot.close()
    for each in (state, calm):
        update(each, 0, 1)
        update(each, 0, 2)
    assert model(state).vector.tobytes() == model(calm).vector.tobytes()
    state.delete(JOB)
    assert used_bytes(state) == 0


def test_ranks_that_wait_hold_no_more_than_is_counted() -> None:
    state = registered(3, compression="float16")
    for rank in (1, 2, 0):  # then there is a sum
        push(state, rank, messages(1, 500)[0], compression="float16")
        held = state._jobs.by_name[JOB].rule._steps[STEP]._pushed  # type: ignore[attr-defined]
        assert all(np.shares_memory(block.data, each.vector) for block, each in held.values())


def test_a_late_push_makes_no_step_that_is_forgotten() -> None:
    state = registered(1)
    late = state.receive(Target(JOB, Step(1, 1), 0, ATTEMPT), len(encode(messages(1, 5)[0])))
    late.memory[:] = encode(messages(1, 5)[0])
    for batch in range(1, 6):
        push(state, 0, messages(1, 5)[0], Step(1, batch))
    state.forget(JOB, Step(1, 4))
    with pytest.raises(StepForgotten):
        state.push(late)
    state.forget(JOB, Step(1, 5))
    assert used_bytes(state) == 0


def test_jobs_that_came_back_and_nobody_asks_for_expire_early() -> None:
    clock = HandClock()
    later = restored(registered(2), clock=clock)
    later.register("new", JobSettings(1, 1000))
    clock.sleep(1300)
    assert later.expire() == 1
    assert [each.job for each in later.statistics().jobs] == ["new"]


def test_messages_that_arrive_together_do_not_exceed_the_limit() -> None:
    size = 2**16
    state = parameters(limit_bytes=8 * size)
    state.register(JOB, JobSettings(5, size))

    def act(number: int) -> bool:
        with suppress(MemoryExceeded):
            state.receive(Target(JOB, Step(1, number + 1), 0, ""), size)
            return True
        return False

    for _ in range(20):
        assert sum(at_once(16, act)) == 8
        assert used_bytes(state) == 8 * size
        state = parameters(limit_bytes=8 * size)
        state.register(JOB, JobSettings(5, size))


def test_messages_that_are_given_up_leave_nothing() -> None:
    state = registered(2)
    incoming = state.receive(Target(JOB, STEP, 0, ATTEMPT), 1000)
    assert used_bytes(state) > 0
    incoming.close()
    incoming.close()
    assert used_bytes(state) == 0


def test_what_is_being_sent_does_not_change_and_outlives_its_step() -> None:
    state = registered(1)
    message = messages(1, 30)[0]
    push(state, 0, message)
    outgoing = state.pull(Target(JOB, STEP, 0))
    state.delete(JOB)
    assert bytes(outgoing.data) == bytes(encode(message))
    outgoing.drop()
    assert used_bytes(state) == 0


def test_jobs_that_nobody_uses_expire() -> None:
    clock = HandClock()
    state = parameters(expiry_s=60, clock=clock)
    for name in ("old", "new"):
        state.register(name, JobSettings(1, 1000))
    clock.sleep(50)
    state.exists("new", STEP)
    clock.sleep(20)
    assert state.expire() == 1
    assert [each.job for each in state.statistics().jobs] == ["new"]


def test_a_server_that_drains_ends_all_waits_and_takes_nothing_new() -> None:
    state = registered(2)
    push(state, 0, messages(1, 5)[0])
    incoming = state.receive(Target(JOB, STEP, 1, ATTEMPT), len(encode(messages(1, 5)[0])))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pull, state, wait_s=WAIT_S)
        while not state._jobs.by_name[JOB].n_waiting:
            time.sleep(0.001)
        state.drain()
        with pytest.raises(Draining):
            waiting.result(WAIT_S)
    incoming.memory[:] = encode(messages(1, 5)[0])
    state.push(incoming)  # it had begun
    with pytest.raises(Draining):
        state.receive(Target(JOB, Step(2, 6), 0, ATTEMPT), 100)
    with pytest.raises(Draining):
        state.register("new", JobSettings(1, 99))


def test_deleting_a_job_ends_its_waits() -> None:
    state = registered(2)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pull, state, wait_s=WAIT_S)
        while not state._jobs.by_name[JOB].n_waiting:
            time.sleep(0.001)
        state.delete(JOB)
        with pytest.raises(UnknownJob):
            waiting.result(WAIT_S)


def restored(state: Parameters, **settings: Any) -> Parameters:
    file = io.BytesIO()
    snapshot = state.take_snapshot()
    snapshot.write(file)
    snapshot.close()
    return Parameters.restore(file.getbuffer(), **{"limit_bytes": 2**26} | settings)


@pytest.mark.parametrize("compression", ["none", "float16"])
@pytest.mark.parametrize("arrived", [(), (0,), (0, 1), (2,), (0, 2), (1, 2), (0, 1, 2)])
def test_a_snapshot_has_all_that_was_pushed(arrived: tuple[int, ...], compression: Any) -> None:
    contributed = messages(3, 40)
    state = registered(3, compression=compression)

    def give(to: Parameters, rank: int) -> Pushed:
        return push(to, rank, contributed[rank], compression=compression)

    for rank in arrived:
        give(state, rank)
    later = restored(state)
    assert later.incarnation != state.incarnation
    assert later.register(JOB, JobSettings(3, 2**16, compression=compression)).is_restored
    for rank in range(3):
        assert give(later, rank).is_repeated == (rank in arrived)
        give(state, rank)
    assert pull(later).vector.tobytes() == pull(state).vector.tobytes()
    later.delete(JOB)
    assert used_bytes(later) == 0


def test_a_snapshot_is_of_one_moment_while_steps_go_on() -> None:
    contributed = messages(2, 40)
    state = registered(2)
    push(state, 0, contributed[0])
    snapshot = state.take_snapshot()
    push(state, 1, contributed[1])
    file = io.BytesIO()
    snapshot.write(file)
    snapshot.close()
    later = Parameters.restore(file.getbuffer(), limit_bytes=2**26)
    assert later.exists(JOB, STEP).ranks == (0,)
    push(later, 1, contributed[1])
    assert pull(later).vector.tobytes() == pull(state).vector.tobytes() == total(contributed)
    state.delete(JOB)
    assert used_bytes(state) == 0


def test_jobs_that_have_no_room_after_a_restart_are_left_out() -> None:
    state = registered(2)
    push(state, 0, messages(1, 40)[0])
    assert restored(state, limit_bytes=1000).statistics().jobs == ()


@pytest.mark.parametrize("size", [0, 3, 40, 100])
def test_half_a_snapshot_is_none(size: int) -> None:
    state = registered(2)
    push(state, 0, messages(1, 40)[0])
    file = io.BytesIO()
    snapshot = state.take_snapshot()
    snapshot.write(file)
    snapshot.close()
    with pytest.raises(ValueError, match=r"snapshot|truncated"):
        Parameters.restore(file.getbuffer()[:size], limit_bytes=2**26)


# --- asynchronous ---

EPOCH = 3
START = np.arange(4, dtype=np.float32)


def asynchronous(world_size: int = 2, **settings: Any) -> Parameters:
    state = registered(world_size, **{"rule": "asynchronous"} | settings)
    push(state, 0, Message(START, np.zeros(2)), Step(EPOCH, 0))
    return state


def change(number: float, told: tuple[float, float] = (0.5, 1.0)) -> Message:
    return Message(np.full(4, number, np.float32), np.array(told))


def update(state: Parameters, rank: int, sequence: int, number: float = 1.0, **more: Any) -> Pushed:
    return push(state, rank, change(number), Step(EPOCH, sequence), **more)


def model(state: Parameters) -> Message:
    return pull(state, ALL_RANKS, Step(EPOCH, 0))


def test_updates_count_at_once_and_once() -> None:
    state = asynchronous()
    assert update(state, 0, 1) == Pushed(False, version=1, staleness=0)
    assert update(state, 1, 1, based_on=0) == Pushed(False, version=2, staleness=1)
    assert update(state, 1, 1, 99.0).is_repeated
    assert update(state, 0, 2, based_on=2) == Pushed(False, version=3, staleness=0)
    found = model(state)
    assert found.vector.tolist() == [3, 4, 5, 6]
    assert found.trailer.tolist() == [3, 1, 1, 0, 2, 1, 1.5, 3.0]


def test_the_first_to_create_a_model_wins() -> None:
    state = asynchronous()
    assert push(state, 1, Message(START + 9, np.zeros(2)), Step(EPOCH, 0)).is_repeated
    assert model(state).vector.tolist() == START.tolist()


def test_without_a_model_there_are_no_updates() -> None:
    state = registered(2, rule="asynchronous")
    with pytest.raises(StepForgotten, match="no model of epoch 3"):
        update(state, 0, 1)
    with pytest.raises(StepForgotten, match="no model of epoch 3"):
        model(state)


def test_an_update_whose_predecessor_is_missing_is_refused() -> None:
    state = asynchronous()
    with pytest.raises(StepForgotten, match="has its updates up to 0"):
        update(state, 0, 2)


@pytest.mark.parametrize("optimiser", ["", "adam"])
def test_models_and_updates_of_half_the_digits_are_refused(optimiser: Any) -> None:
    update = ServerUpdate(plain(GradientAveraging(optimiser="adam")), 10, n_updates=5)
    text = msgspec.json.encode(update).decode() if optimiser else ""
    state = asynchronous(server_update=text)
    for step in (Step(EPOCH, 1), Step(EPOCH + 1, 0)):
        before = used_bytes(state)
        with pytest.raises(DamagedVector, match="expected uncompressed numbers"):
            push(state, 0, change(1.0), step, compression="float16")
        assert used_bytes(state) == before
    assert model(state).vector.tolist() == START.tolist()


def test_a_model_that_is_being_sent_does_not_change() -> None:
    state = asynchronous()
    outgoing = state.pull(Target(JOB, Step(EPOCH, 0), 0))
    before = bytes(outgoing.data)
    for sequence in range(1, 4):
        update(state, 0, sequence)
    assert bytes(outgoing.data) == before
    outgoing.drop()
    assert model(state).vector.tolist() == [3, 4, 5, 6]
    state.delete(JOB)
    assert used_bytes(state) == 0


def test_bounded_staleness_holds_back_who_is_too_far_ahead() -> None:
    state = asynchronous(rule="stale_synchronous", max_staleness=2)
    for sequence in (1, 2):
        update(state, 0, sequence)
        pull(state, 0, Step(EPOCH, sequence))
    update(state, 0, 3)
    with pytest.raises(ContributionsMissing) as caught:
        pull(state, 0, Step(EPOCH, 3), wait_s=0.02)
    assert caught.value.ranks == (1,)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pull, state, 0, Step(EPOCH, 3), wait_s=WAIT_S)
        update(state, 1, 1)
        assert waiting.result(WAIT_S).trailer[0] == 4


def test_bounded_staleness_is_never_exceeded() -> None:
    most, n_updates = 1, 40
    state = asynchronous(4, rule="stale_synchronous", max_staleness=most)
    ahead = []

    def act(rank: int) -> None:
        rng = np.random.default_rng(rank)
        for sequence in range(1, n_updates + 1):
            update(state, rank, sequence)
            found = pull(state, rank, Step(EPOCH, sequence), wait_s=WAIT_S)
            applied = found.trailer[HEAD : HEAD + 4]
            ahead.append(applied[rank] - applied.min())
            time.sleep(rng.uniform(0, 0.001))

    at_once(4, act)
    assert max(ahead) <= most
    assert model(state).trailer[0] == 4 * n_updates


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_the_server_runs_the_optimiser_as_the_library_does(optimiser: Any) -> None:
    spec = plain(GradientAveraging(learning_rate=0.1, optimiser=optimiser, schedule="inverse"))
    update_text = msgspec.json.encode(ServerUpdate(spec, 10, n_updates=5)).decode()
    state = asynchronous(server_update=update_text)
    descent = Descent.of(spec, 10)
    w, moments = START.copy(), descent.moments(4)
    for sequence in range(1, 6):
        for rank in range(2):
            gradient = np.full(4, sequence + rank, np.float32)
            update(state, rank, sequence, float(gradient[0]))
            number = 2 * (sequence - 1) + rank + 1
            rate = descent.schedule.at(EPOCH - 1 + (sequence - 0.5) / 5)
            descent.optimiser.step(gradient, moments, rate, number)
            w -= gradient
    assert model(state).vector.tolist() == w.tolist()
    later = restored(state)
    for each in (state, later):
        update(each, 0, 6, 1.5)
    assert model(later).vector.tolist() == model(state).vector.tolist()


def test_a_restored_model_tells_how_many_updates_were_lost() -> None:
    state = asynchronous()
    for sequence in (1, 2):
        update(state, 0, sequence)
    later = restored(state)
    for sequence in (3, 4):
        update(state, 0, sequence)
    update(state, 1, 1)
    # The server has stopped; updates acknowledged since the snapshot are lost.
    assert not update(later, 0, 5, based_on=5).is_repeated
    found = model(later)
    assert found.trailer[3] == 2
    assert found.vector.tolist() == [3, 4, 5, 6]
    assert update(later, 1, 2).version == 4
    assert model(later).trailer[3] == later.statistics().jobs[0].lost_updates == 3


def test_many_threads_count_every_update_once() -> None:
    state = asynchronous(8)

    def act(rank: int) -> None:
        for sequence in range(1, 51):
            for _ in range(2):
                update(state, rank, sequence)
            state.pull(Target(JOB, Step(EPOCH, sequence), rank)).drop()

    at_once(8, act)
    assert model(state).vector.tolist() == (START + 400).tolist()
    statistics = state.statistics().jobs[0]
    assert (statistics.updates, statistics.repeated_pushes) == (400, 400)


def test_thousands_of_steps_use_the_same_memory() -> None:
    state = registered(4)
    contributed = messages(4, 2**14 - 20)
    barrier = threading.Barrier(4)

    def act(rank: int) -> int:
        most = 0
        for batch in range(1, 501):
            push(state, rank, contributed[rank], Step(1, batch))
            pull(state, rank, Step(1, batch), wait_s=WAIT_S)
            if rank == 0:
                state.forget(JOB, Step(1, batch - 1))
                most = max(most, used_bytes(state))
            barrier.wait(WAIT_S)
        return most

    assert max(at_once(4, act)) <= reserved_bytes(JobSettings(4, 2**16))
