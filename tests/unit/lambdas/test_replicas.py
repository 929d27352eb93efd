"""Training in flight: ranks that wait for each other, die, pause and return."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from lambdas.attempts.failures import published_failure
from lambdas.attempts.timing import STANDARD
from lambdas.environment import Deadline
from lambdas.epochs import RankRun
from lambdas.epochs.in_flight import Wait
from lambdas.job_store import JobStore
from lambdas.job_store.snapshots import SnapshotKeeper, Snapshots
from stepml.job import keys
from stepml.job.errors import (
    BadRowError,
    DamagedValueError,
    DataSetDamagedError,
    ExecutorPausedError,
    MissingContributionError,
    PeerFailedError,
    ReplayLostError,
    ReplicasDivergedError,
    StepMLError,
    WaitTimeoutError,
)
from stepml.job.reports import Failure
from stepml.job.step import Step
from stepml.job.tasks import ExecutorResult, ExecutorTask
from stepml.ml.algorithms import RankProgress
from stepml.ml.models.base import Floats
from storage.base import Buffer, Version
from storage.testing.memory import MemoryStorage
from tests.support.clocks import HandClock
from tests.support.jobs import PATIENT, DurableWrapper, Job, contents

INTERVAL_S = STANDARD.snapshot_interval_s
N_BATCHES = 4  # of the 180 training rows of three ranks
Remaining = Callable[[], float]


class KilledError(BaseException):
    """The end of a function from outside, which no handler can catch."""


class Loaded(bytearray):
    """A value with weak references to it."""


class WeaklyHeld(DurableWrapper):
    """Notes at each sum whether the state of the epoch before is still in memory."""

    def __init__(self, inner: MemoryStorage, key: str) -> None:
        super().__init__(inner)
        self.key = key
        self.state: Callable[[], Loaded | None] = Loaded
        self.was_held: list[bool] = []

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        found = super().load_many(keys)
        if self.key in found:
            loaded = found[self.key] = Loaded(found[self.key])
            self.state = weakref.ref(loaded)
        return found

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        if any("/a/" in key for key in values):
            self.was_held.append(self.state() is not None)
        return super().publish_many(values)


def gradient_job(job_id: str = "job", **spec: object) -> Job:
    job = Job(job_id, algorithm={"name": "gradient_averaging", "batch_size": 16}, **spec)
    job.initialised()
    return job


def undisturbed(epochs: int = 1) -> Job:
    job = gradient_job("whole")
    for epoch in range(1, epochs + 1):
        job.epoch(epoch)
    return job


def plenty() -> float:
    return 900.0


def batches(*seconds: float) -> Remaining:
    """Return a clock of the remaining time: at the call's start, at each batch, and afterwards."""
    left: Iterator[float] = iter((900.0, *seconds[:-1]))
    return lambda: next(left, seconds[-1])


class KillingStorage(DurableWrapper):
    """Ends a rank before or after its part of a batch takes effect: rank 0 publishes the sum."""

    def __init__(self, job: Job, rank: int, batch: int, after: bool = False) -> None:
        super().__init__(job.storage)
        prefix, step = job.exchanged(), Step(1, batch)
        contribution = keys.contribution(prefix, step, 0, rank)
        self._key = contribution if rank else keys.aggregate(prefix, step, 0)
        self._after = after

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        if self._key in values and not self._after:
            raise KilledError
        firsts = self.inner.publish_many(values)
        if self._key in values:
            raise KilledError
        return firsts


def retried(job: Job, rank: int) -> ExecutorResult:
    """Call a rank like its Task: again if it paused or a wait timed out."""
    for _ in range(4):
        try:
            return job.execute(1, rank)
        except (ExecutorPausedError, WaitTimeoutError):
            continue
    raise AssertionError(f"rank {rank} does not come to an end")


def run(job: Job, clocks: Sequence[Remaining], epoch: int = 1) -> list[ExecutorResult | None]:
    """Run all ranks concurrently; ranks that pause have no result."""

    def execute(rank: int) -> ExecutorResult | None:
        try:
            return job.execute(epoch, rank, clocks[rank])
        except ExecutorPausedError:
            return None

    with ThreadPoolExecutor(len(clocks)) as threads:
        return list(threads.map(execute, range(len(clocks))))


@pytest.mark.parametrize("pattern", ["reduce", "reduce_scatter"])
@pytest.mark.parametrize("compression", ["none", "float16"])
def test_a_job_in_flight_learns(pattern: str, compression: str) -> None:
    job = gradient_job(
        exchange={"pattern": pattern, "compression": compression}, stop={"max_epochs": 3}
    )
    reports = [job.epoch(number) for number in (1, 2, 3)]
    assert reports[2].loss < reports[1].loss < reports[0].loss < np.log(2)
    assert reports[2].training_loss < reports[0].training_loss
    report = job.finalise(3)
    assert report.loss == reports[2].loss
    for left_over in ("exchange", "snapshots", "progress", "failures"):
        assert [*job.storage.list(f"jobs/job/{left_over}/")] == []


def test_all_ranks_end_with_the_same_replica() -> None:
    job = gradient_job()
    digests = {result.digest for result in job.execute_all(1)}
    assert len(digests) == 1
    assert digests != {""}


@pytest.mark.parametrize("compression", ["none", "float16"])
@pytest.mark.parametrize("algorithm", ["gradient_averaging", "model_averaging"])
def test_the_pattern_changes_no_bit(algorithm: str, compression: str) -> None:
    # 40,000 features: enough to cut in-flight gradients into chunks.
    rng = np.random.default_rng(0)
    rows = b"".join(
        b"%d 1:%.3f %d:1.5 40000:%.3f\n"
        % (rng.integers(2), rng.normal(), rng.integers(2, 40_000), rng.normal())
        for _ in range(40)
    )
    bits = {}
    for pattern in ("reduce", "reduce_scatter"):
        job = Job(
            data={"uri": "s3://data/rows.libsvm", "format": "libsvm"},
            algorithm={"name": algorithm, "batch_size": 6},
            exchange={"pattern": pattern, "compression": compression},
        )
        job.data.save("rows.libsvm", rows)
        state = job.initialised()
        if algorithm == "model_averaging":
            assert state.chunks == ([0, 1, 2] if pattern == "reduce_scatter" else [])
        job.epoch(1)
        job.epoch(2)
        bits[pattern] = job.state_bits(2)
    assert bits["reduce"] == bits["reduce_scatter"]


def test_a_repeated_epoch_changes_nothing() -> None:
    job = gradient_job()
    results = job.execute_all(1)
    assert {result.digest for result in job.execute_all(1)} == {results[0].digest}
    first = job.reduce(1, results)
    before = contents(job.storage)
    assert {result.digest for result in job.execute_all(1)} == {""}  # late copies
    assert job.reduce(1, results) == first
    assert contents(job.storage) == before


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("batch", [1, 3, N_BATCHES])
def test_a_rank_that_is_killed_and_called_again_changes_no_bit(
    rank: int, batch: int, after: bool
) -> None:
    job = gradient_job()
    others = [other for other in range(3) if other != rank]
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(job.execute, 1, other) for other in others]
        with pytest.raises(KilledError):
            job.execute(1, rank, storage=KillingStorage(job, rank, batch, after))
        again = threads.submit(job.execute, 1, rank)
        results = [each.result() for each in (*waiting, again)]
    job.reduce(1, results)
    assert job.state_bits(1) == undisturbed().state_bits(1)


def test_a_killed_rank_goes_on_from_a_snapshot() -> None:
    job = gradient_job()
    job.timing = replace(PATIENT, snapshot_interval_s=0.0)  # one after each step
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(job.execute, 1, rank) for rank in (0, 1)]
        with pytest.raises(KilledError):
            job.execute(1, 2, storage=KillingStorage(job, 2, N_BATCHES))
        for batch in range(1, N_BATCHES - 1):  # the batches that cannot be replayed from the start
            job.storage.delete(keys.aggregate(job.exchanged(), Step(1, batch), 0))
        again = threads.submit(job.execute, 1, 2)
        results = [each.result() for each in (*waiting, again)]
    job.reduce(1, results)
    assert job.state_bits(1) == undisturbed().state_bits(1)


@pytest.mark.parametrize("rank", [0, 2])
def test_near_one_ranks_deadline_all_stop_and_go_on_together(rank: int) -> None:
    job = gradient_job()
    clocks = [plenty] * 3
    clocks[rank] = batches(900, 900, 900, 10)  # near its end, but with time for the exchange
    assert run(job, clocks) == [None] * 3
    saved = Snapshots(job.store, 1).load()
    assert saved is not None
    assert 0 < saved.batches_done < N_BATCHES
    job.epoch(1)
    job.epoch(2)
    whole = undisturbed(epochs=2)
    assert job.state_bits(2) == whole.state_bits(2)
    report, expected = job.finalise(2), whole.finalise(2)
    assert [each.training_loss for each in report.history] == [
        each.training_loss for each in expected.history
    ]


def test_a_rank_does_not_wait_longer_than_its_function_may_run() -> None:
    job = gradient_job()
    with pytest.raises(ExecutorPausedError, match="rank 1 waited until its time was out"):
        job.execute(1, 1, batches(1))
    with ThreadPoolExecutor(3) as threads:  # its contribution says that it must pause
        job.reduce(1, list(threads.map(lambda rank: retried(job, rank), range(3))))
    assert job.state_bits(1) == undisturbed().state_bits(1)


def failure(job: Job) -> Failure:
    return job.store.failure(job.attempt(1)["attempt"]).load()


def test_a_rank_that_fails_for_good_ends_its_peers_with_its_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/executor")
    job = gradient_job(data={"uri": "s3://data/rows.csv", "format": "csv", "seed": 99})
    # Its shard is damaged, and cannot be made again.
    lost = [key for key in job.storage.list("datasets/") if "rank-000001.safe" in key]
    lost += [key for key in job.storage.list("datasets/") if "manifest" in key]
    whole = job.storage.load_many(lost)
    job.storage.save_many(dict.fromkeys(lost, b"damaged"))
    errors: dict[int, StepMLError] = {}

    def execute(rank: int) -> None:
        with pytest.raises(StepMLError) as caught:
            job.execute(1, rank)
        errors[rank] = caught.value

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(execute, range(3)))
    assert isinstance(errors[1], DataSetDamagedError)
    for rank in (0, 2):
        error = errors[rank]
        assert isinstance(error, PeerFailedError)
        assert (error.rank, error.error) == (1, "DataSetDamagedError")
        assert str(errors[1]) in str(error)
    assert failure(job).log_group == "/aws/lambda/executor"
    assert failure(job).rank == 1
    # After a redrive without the cause, the failed attempt's record has no effect.
    job.storage.save_many(whole)
    job.redrives = 1
    job.execute_all(1)


def test_the_first_failure_counts_and_its_message_is_cut_to_a_kilobyte() -> None:
    job, attempt = Job(), Job().attempt(1)
    for rank, message in ((1, "ä" * 3000), (0, "second")):
        task = ExecutorTask(rank=rank, **attempt)
        with pytest.raises(BadRowError), published_failure(job.store, task):
            raise BadRowError(message)
    found = job.store.failure(attempt["attempt"]).load()
    assert (found.rank, found.error, found.message) == (1, "BadRowError", "ä" * 512)


@pytest.mark.parametrize("algorithm", ["gradient_averaging", "model_averaging"])
def test_ranks_of_every_algorithm_leave_their_error(algorithm: str) -> None:
    job = Job(algorithm={"name": algorithm})
    job.initialised()
    job.storage.save(keys.state("job", 0), b"no state")
    with pytest.raises(DamagedValueError):
        job.execute(1, 2)
    assert failure(job).error == "DamagedValueError"


def test_a_pause_is_no_failure() -> None:
    job = gradient_job()
    with pytest.raises(ExecutorPausedError):
        job.execute(1, 1, batches(1))
    assert keys.failure("job", job.attempt(1)["attempt"]) not in contents(job.storage)


def test_replicas_that_differ_fail_the_reduce_and_the_epoch_trains_again() -> None:
    job = gradient_job()
    results = job.execute_all(1)
    results[1] = msgspec.structs.replace(results[1], digest="0" * 32)
    with pytest.raises(ReplicasDivergedError, match="in rank 1; it trains again"):
        job.reduce(1, results)
    assert [*job.storage.list("jobs/job/exchange/")] == []
    assert [*job.storage.list(keys.snapshot_prefix("job"))] == []
    job.epoch(1)
    assert job.state_bits(1) == undisturbed().state_bits(1)


def test_an_epoch_without_its_last_snapshot_is_not_reduced() -> None:
    job = gradient_job()
    results = job.execute_all(1)
    job.storage.delete(keys.last_snapshot("job", 1))
    with pytest.raises(MissingContributionError, match="rank 0"):
        job.reduce(1, results)
    job.epoch(1)
    assert job.state_bits(1) == undisturbed().state_bits(1)


def test_a_damaged_snapshot_only_costs_time() -> None:
    job = gradient_job()
    job.storage.save(keys.snapshot("job", 1), b"no container of arrays")
    job.epoch(1)
    assert job.state_bits(1) == undisturbed().state_bits(1)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_channel_that_forgets_everything_changes_no_bit(batch: int) -> None:
    job = gradient_job()
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(retried, job, rank) for rank in (0, 1)]
        with pytest.raises(KilledError):
            job.execute(1, 2, storage=KillingStorage(job, 2, batch))
        job.storage.clear("jobs/job/exchange/")
        again = threads.submit(retried, job, 2)
        results = [each.result() for each in (*waiting, again)]
    job.reduce(1, results)
    assert job.state_bits(1) == undisturbed().state_bits(1)


class LosingStorage(DurableWrapper):
    """Loses everything that was exchanged once the other ranks have returned."""

    def __init__(self, job: Job, peers: list[Future[ExecutorResult]]) -> None:
        super().__init__(job.storage)
        self._prefix = job.exchanged()
        self._last = keys.contribution(self._prefix, Step(1, N_BATCHES), 0, 2)
        self._peers = peers

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        firsts = self.inner.publish_many(values)
        if self._last in values and self._peers:
            for peer in self._peers:
                peer.result()
            self._peers.clear()
            self.inner.clear(self._prefix)
        return firsts


def test_a_last_sum_that_is_lost_when_its_makers_have_returned_is_in_the_snapshot() -> None:
    job = gradient_job()
    job.timing = replace(PATIENT, lost_sum_s=1.0)
    with ThreadPoolExecutor(2) as threads:
        peers = [threads.submit(job.execute, 1, rank) for rank in (0, 1)]
        results = peers.copy()
        with pytest.raises(ExecutorPausedError, match=f"snapshot after batch {N_BATCHES}"):
            job.execute(1, 2, storage=LosingStorage(job, peers))
    job.reduce(1, [*(each.result() for each in results), job.execute(1, 2)])
    assert job.state_bits(1) == undisturbed().state_bits(1)


class LateStorage(DurableWrapper):
    """Ends rank 0 when the other ranks have left the epoch, before its last snapshot is durable."""

    def __init__(self, job: Job, peers: list[Future[ExecutorResult]]) -> None:
        super().__init__(job.storage)
        self._last = keys.last_snapshot("job", 1)
        self._peers = peers

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        if key == self._last:
            for peer in self._peers:
                peer.result()
            raise KilledError
        return self.inner.load_version(key)


@pytest.mark.parametrize("pattern", ["reduce", "reduce_scatter"])
def test_nobody_leaves_an_epoch_whose_end_is_not_durable(pattern: str) -> None:
    job = gradient_job(exchange={"pattern": pattern})
    job.timing = replace(PATIENT, last_snapshot_s=0.2)
    with ThreadPoolExecutor(2) as threads:
        peers = [threads.submit(job.execute, 1, rank) for rank in (1, 2)]
        with pytest.raises(KilledError):
            job.execute(1, 0, storage=LateStorage(job, peers))
    job.storage.clear(job.exchanged())
    again = job.execute(1, 0)  # alone, with an empty channel
    job.reduce(1, [again, *(each.result() for each in peers)])
    assert job.state_bits(1) == undisturbed().state_bits(1)


def test_a_rank_whose_epoch_has_a_damaged_end_waits_for_nobody() -> None:
    job = gradient_job()
    results = job.execute_all(1)
    job.storage.save(keys.last_snapshot("job", 1), b"no container of arrays")
    with pytest.raises(DamagedValueError, match=keys.last_snapshot("job", 1)):
        job.execute(1, 1)
    with pytest.raises(MissingContributionError):
        job.reduce(1, results)
    job.retries = 1
    job.epoch(1)
    assert job.state_bits(1) == undisturbed().state_bits(1)


def test_a_wait_goes_on_unless_a_later_snapshot_has_the_sum() -> None:
    job = gradient_job()
    job.timing = replace(
        PATIENT, lost_sum_s=0.0
    )  # every look at the attempt is one at the snapshot
    run = RankRun.begin(
        ExecutorTask(rank=2, **job.attempt(1)), job.store, Deadline(plenty), job.timing
    )
    assert run is not None
    wait = Wait(run, run.watch(), batch=3, since=time.monotonic())
    wait()  # there is no snapshot
    Snapshots(job.store, 1).save(progress(2))
    wait()  # from which this rank comes
    Snapshots(job.store, 1).save(progress(3))
    with pytest.raises(ExecutorPausedError, match="goes on from the snapshot after batch 3"):
        wait()


class CountingStorage(DurableWrapper):
    """Counts the snapshots that are loaded."""

    n_loaded = 0

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        found = super().load_many(keys)
        self.n_loaded += sum("snapshot" in key for key in found)
        return found


def test_a_long_wait_loads_each_snapshot_once() -> None:
    job = gradient_job()
    job.timing = replace(PATIENT, lost_sum_s=0.0)
    storage = CountingStorage(job.storage)
    store = JobStore(storage, job.job_id)
    task = ExecutorTask(rank=2, **job.attempt(1))
    run = RankRun.begin(task, store, Deadline(plenty), job.timing)
    assert run is not None
    wait = Wait(run, run.watch(), batch=9, since=time.monotonic())
    for batches_done in (1, 2):
        Snapshots(job.store, 1).save(progress(batches_done))
        for _ in range(5):
            wait()
        assert storage.n_loaded == batches_done


def test_a_rank_whose_replay_is_lost_says_so_and_the_epoch_begins_again() -> None:
    job = gradient_job()
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(retried, job, rank) for rank in (0, 1)]
        with pytest.raises(KilledError):
            job.execute(1, 2, storage=KillingStorage(job, 2, N_BATCHES))
        job.storage.clear(job.exchanged())
        with pytest.raises(ReplayLostError, match=r"batch 1, its peers are at batch 4"):
            job.execute(1, 2)
        for peer in waiting:
            with pytest.raises(PeerFailedError, match="rank 2 failed: ReplayLostError"):
                peer.result()
    job.retries = 1
    job.epoch(1)
    assert job.state_bits(1) == undisturbed().state_bits(1)
    job.finalise(1)
    assert [*job.storage.list(job.exchanged())] == []


class ForgetfulStorage(DurableWrapper):
    """Shows no snapshot at first, as to a rank's copy that looked before there was one."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.storage)
        self._hidden: str | None = keys.snapshot("job", 1)

    def load_many(self, wanted: Sequence[str]) -> dict[str, Buffer]:
        found = super().load_many(wanted)
        if self._hidden in wanted:
            found.pop(self._hidden, None)
            self._hidden = None
        return found


def await_snapshot(job: Job, batches_done: int) -> None:
    deadline = time.monotonic() + 240
    store = Snapshots(job.store, 1)
    while (found := store.load()) is None or found.batches_done < batches_done:
        assert time.monotonic() < deadline, "no such snapshot"
        time.sleep(0.01)


def test_a_copy_that_was_asleep_goes_on_from_a_later_snapshot_and_fails_nobody() -> None:
    job = gradient_job()
    job.timing = replace(PATIENT, snapshot_interval_s=0.0)
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(retried, job, rank) for rank in (0, 1)]
        with pytest.raises(KilledError):
            job.execute(1, 2, storage=KillingStorage(job, 2, N_BATCHES))
        await_snapshot(job, N_BATCHES - 1)
        job.storage.clear(job.exchanged())  # because the sums before a snapshot are forgotten
        with pytest.raises(ExecutorPausedError, match="goes on from the snapshot after batch 3"):
            job.execute(1, 2, storage=ForgetfulStorage(job))
        again = job.execute(1, 2)
        results = [*(each.result() for each in waiting), again]
    job.reduce(1, results)
    assert job.state_bits(1) == undisturbed().state_bits(1)


def progress(batches_done: int, parameters: int = 3) -> RankProgress:
    return RankProgress(np.zeros(parameters, np.float32), batches_done)


def test_a_snapshot_is_due_after_a_time() -> None:
    clock, store = HandClock(), Snapshots(JobStore(MemoryStorage(), "job"), 1)
    forgotten: list[int] = []
    keeper = SnapshotKeeper(store, forgotten.extend, 0, interval_s=INTERVAL_S, clock=clock)
    saved = []
    for batch in range(1, 101):
        clock.sleep(1)
        keeper.after_step(progress(batch))
        snapshot = store.load()
        saved.append(snapshot.batches_done if snapshot else 0)
        # A rank that has loaded the snapshot before this one can still replay the sums after it.
        assert forgotten == list(range(1, max(0, saved[-1] - 30) + 1))
    assert sorted(set(saved)) == [0, 30, 60, 90]


def test_a_snapshot_is_due_when_much_would_have_to_be_replayed() -> None:
    store = Snapshots(JobStore(MemoryStorage(), "job"), 1)
    keeper = SnapshotKeeper(
        store, lambda batches: None, 0, interval_s=INTERVAL_S, clock=HandClock()
    )
    for batch in range(1, 258):
        assert store.load() is None
        keeper.after_step(progress(batch, parameters=2**18))  # 1 MB
    found = store.load()
    assert found is not None
    assert found.batches_done == 257


def test_a_sum_is_kept_until_all_must_have_it() -> None:
    clock, forgotten = HandClock(), list[int]()
    store = Snapshots(JobStore(MemoryStorage(), "job"), 1)
    keeper = SnapshotKeeper(store, forgotten.extend, 0, interval_s=INTERVAL_S, clock=clock)
    for batch in (1, 2):
        clock.sleep(60)
        keeper.after_step(progress(batch))
        keeper.save(progress(batch))
    assert forgotten == [1]  # slower ranks wait for that of batch 2


def test_a_late_copy_takes_no_snapshot_back() -> None:
    store = Snapshots(JobStore(MemoryStorage(), "job"), 1)
    store.save(progress(7))
    store.save(progress(5))
    found = store.load()
    assert found is not None
    assert found.batches_done == 7


def test_while_a_rank_trains_nothing_refers_to_the_state_of_the_epoch_before() -> None:
    """It is as large as the model with its moments, of which the rank has a replica."""
    job = gradient_job(workers=1)
    storage = WeaklyHeld(job.storage, keys.state("job", 0))
    job.execute(1, 0, storage=storage)
    assert storage.was_held
    assert not any(storage.was_held)


def test_a_stored_snapshot_is_let_go_before_the_next_one_is_encoded() -> None:
    job = gradient_job()
    entry = job.store.snapshot(1)
    entry.save(RankProgress(np.zeros(3, np.float32), 1))
    held: list[bool] = []
    seen: list[weakref.ref[Floats]] = []

    def look(earlier: RankProgress) -> bool:
        seen.append(weakref.ref(earlier.parameters))
        return False

    def encode(progress: RankProgress) -> Buffer:
        held.append(seen[0]() is not None)
        return entry.encode(progress)

    replace(entry, encode=encode).replace(RankProgress(np.ones(3, np.float32), 2), unless=look)
    assert held == [False]
    assert entry.load().batches_done == 2
