"""The cost of a job: each request, millisecond and transition at its price."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lambdas import calls
from lambdas.attempts import costs
from lambdas.attempts.costs import (
    DIGITS,
    BilledStorage,
    Invocation,
    channel_usd,
    check_usd,
    epoch_bill,
    preparation_costs,
)
from lambdas.attempts.transitions import of_damage, of_epoch, of_preparation
from lambdas.calls import RUNTIME_S
from lambdas.channels.storage import open_storage_channel
from lambdas.finalise import finalise
from stepml.job.prices import (
    DYNAMODB_TARIFF,
    GB_SECOND_USD,
    GET_USD,
    INVOCATION_USD,
    PUT_USD,
    READ_UNIT_USD,
    TRANSITION_USD,
    WRITE_UNIT_USD,
    function_usd,
)
from stepml.job.tasks import DataState, ExecutorResult, FinaliseTask, ReducerTask, Restored, Spent
from storage.base import Buffer, Version
from storage.metered import MeteredChannel, MeteredDurableStorage
from storage.testing.memory import MemoryStorage
from tests.support.jobs import Job
from tests.support.paths import ROOT

MACHINES = ROOT / "state_machines"
MEMORY = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
EXACTLY = 1e-12


@pytest.fixture
def requests_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make time free, and do not round."""
    monkeypatch.setenv(MEMORY, "0")
    monkeypatch.setattr(costs, "DIGITS", 15)


class CountingStorage(MemoryStorage):
    """Counts the requests to S3, below all wrappers."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        self.counts["put"] += len(values)
        super().save_many(values)

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        self.counts["put"] += len(values)
        return super().publish_many(values)

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        self.counts["put"] += 1
        return super().compare_and_save(key, data, version)

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        self.counts["get"] += len(keys)
        return super().load_many(keys)

    def find_many(self, keys: Sequence[str]) -> set[str]:
        self.counts["get"] += len(keys)
        return super().find_many(keys)

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        self.counts["get"] += 1
        return super().load_version(key)

    def load_range(self, key: str, start: int, stop: int, etag: str | None = None) -> bytes:
        self.counts["get"] += 1
        return super().load_range(key, start, stop, etag)

    def list(self, prefix: str) -> Iterator[str]:
        self.counts["put"] += 1
        return super().list(prefix)

    def requests_usd(self) -> float:
        return self.counts["put"] * PUT_USD + self.counts["get"] * GET_USD


@given(st.floats(0, 900), st.integers(128, 10_240))
def test_a_function_costs_its_memory_for_each_millisecond_begun(seconds: float, mb: int) -> None:
    price = function_usd(seconds, mb) - INVOCATION_USD
    exact = seconds * mb / 1024 * GB_SECOND_USD
    assert exact * (1 - 1e-6) <= price + 1e-12
    assert price <= exact + 0.001 * mb / 1024 * GB_SECOND_USD + 1e-12
    assert function_usd(seconds, 2 * mb) >= function_usd(seconds, mb)


def test_whole_milliseconds_stay_whole() -> None:
    # 1.001 s are 1000.9999… or 1001.0000…1 ms in floats.
    for milliseconds in range(1, 3000):
        price = function_usd(milliseconds / 1000, 1024) - INVOCATION_USD
        assert price == pytest.approx(milliseconds / 1000 * GB_SECOND_USD, rel=1e-9)


@pytest.mark.parametrize("pattern", ["reduce", "reduce_scatter"])
@pytest.mark.parametrize("algorithm", ["model_averaging", "gradient_averaging"])
@pytest.mark.usefixtures("requests_only")
def test_ranks_on_s3_cost_their_requests(algorithm: str, pattern: str) -> None:
    storage = CountingStorage()
    job = Job(
        storage=storage,
        algorithm={"name": algorithm, "batch_size": 20},
        exchange={"pattern": pattern},
    )
    job.initialised()
    storage.counts.clear()
    results = job.execute_all(1)
    counted = sum(result.cost_usd - INVOCATION_USD for result in results)
    assert counted == pytest.approx(storage.requests_usd(), abs=EXACTLY)
    steps = 3 if algorithm == "gradient_averaging" else 1  # 60 rows a rank
    assert storage.counts["put"] >= 3 * steps


@pytest.mark.usefixtures("requests_only")
def test_in_flight_on_s3_every_batch_costs() -> None:
    sums = []
    for batch_size in (60, 10):
        job = Job(algorithm={"name": "gradient_averaging", "batch_size": batch_size})
        job.initialised()
        sums.append(sum(result.cost_usd for result in job.execute_all(1)))
    # Five batches more: each at least a contribution of two ranks, and the sum of the third.
    assert sums[1] - sums[0] > 5 * 3 * PUT_USD


@pytest.mark.usefixtures("requests_only")
def test_the_report_has_the_cost_of_its_own_function() -> None:
    storage = CountingStorage()
    job = Job(storage=storage, stop={"max_epochs": 1})
    job.initialised()
    job.epoch(1)
    storage.counts.clear()
    report = job.finalise(1)
    own_usd = report.cost_usd - report.history[-1].total_cost_usd
    expected = storage.requests_usd() + INVOCATION_USD + TRANSITION_USD
    assert own_usd == pytest.approx(expected, abs=1e-9)


def test_servers_are_a_line_of_their_own() -> None:
    job = Job(stop={"max_epochs": 1})
    job.initialised()
    job.epoch(1)
    task = FinaliseTask(job_id="job", epoch=1)
    report = finalise(task, job.storage, "bucket", hourly_usd=0.36)
    assert report.servers_usd == pytest.approx(report.seconds * 0.0001, abs=10**-DIGITS)
    assert report.cost_usd < report.servers_usd  # the job of the test began long ago


def test_the_epochs_add_up_to_the_total() -> None:
    job = Job(stop={"max_epochs": 4})
    job.initialised()
    reports = [job.reduce(epoch, job.execute_all(epoch)) for epoch in range(1, 5)]
    each = [report.cost_usd for report in reports]
    assert min(each) > of_epoch(3, 0) * TRANSITION_USD
    totals = [round(sum(each[: n + 1]), DIGITS) for n in range(4)]
    assert [report.total_cost_usd for report in reports] == totals


def test_an_epoch_costs_more_with_more_workers_and_more_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_workers = []
    for workers in (1, 2, 4):
        job = Job(workers=workers)
        job.initialised()
        by_workers.append(job.reduce(1, job.execute_all(1)).cost_usd)
    assert by_workers == sorted(set(by_workers))
    by_memory = []
    for mb in ("128", "1769", "10240"):
        monkeypatch.setenv(MEMORY, mb)
        clock = SimpleNamespace(monotonic=iter((0.0, 2.0 - RUNTIME_S)).__next__)
        monkeypatch.setattr(calls, "time", clock)
        by_memory.append(Invocation.begin(MemoryStorage()).cost_usd())
        monkeypatch.undo()
    assert by_memory == sorted(set(by_memory))
    assert by_memory[2] == pytest.approx(INVOCATION_USD + 20 * GB_SECOND_USD, abs=10**-DIGITS)


ATTEMPT = {"job_id": "job", "epoch": 3, "started_at": "2026-01-02T03:04:05Z"}


def test_an_epoch_is_ranks_mergers_reducer_and_transitions() -> None:
    ranks = [ExecutorResult(rank=rank, seconds=1, cost_usd=0.001) for rank in range(3)]
    task = ReducerTask(executors=ranks, attempt="job-e3-r0-t0.0", **ATTEMPT)
    alone = epoch_bill(task, 0.002, 0).total_usd
    assert alone == pytest.approx(0.005 + 11 * TRANSITION_USD)
    scattered = epoch_bill(replace(task, merged=[0.0001, 0.0002]), 0.002, 2).total_usd
    assert scattered == pytest.approx(alone + 0.0003 + 4 * TRANSITION_USD)
    assert epoch_bill(task, 0.002, 0, [0.01]).total_usd == pytest.approx(
        alone + 0.01 + 3 * TRANSITION_USD
    )


def test_another_attempt_costs_the_states_of_the_one_before_and_the_data() -> None:
    ranks = [ExecutorResult(rank=rank, seconds=1, cost_usd=0.001) for rank in range(3)]
    task = ReducerTask(executors=ranks, attempt="job-e3-r0-t0.0", **ATTEMPT)
    once = epoch_bill(task, 0.002, 0).total_usd
    twice = replace(task, attempt="job-e3-r1-t1.0")
    again = once + check_usd() + (1 + 9 + 3) * TRANSITION_USD
    assert epoch_bill(twice, 0.002, 0).total_usd == pytest.approx(again, abs=10**-DIGITS)
    mended = Restored(ranges=[0.001, 0.001], published=Spent(cost_usd=0.0005))
    restored = epoch_bill(replace(twice, again=mended), 0.002, 0).total_usd
    assert restored == pytest.approx(again + 0.0025 + 4 * TRANSITION_USD, abs=10**-DIGITS)


@pytest.mark.parametrize("n_ranks", [1, 40, 41, 100, 1600])
@pytest.mark.parametrize("n_chunks", [0, 5])
@pytest.mark.parametrize("n_slices", [0, 3])
def test_transitions_are_those_of_the_state_machines(
    n_ranks: int, n_chunks: int, n_slices: int
) -> None:
    firsts = range(0, n_ranks, 40) if n_ranks > 40 else ()
    groups = [range(first, min(first + 40, n_ranks)) for first in firsts]
    iterations = {"RunExecutors": n_ranks, "RunGroups": len(groups), "MergeChunks": n_chunks}
    then = "Merge" if n_slices else "Reduce"
    choices = {
        "IsWide?": "RunGroups" if groups else "RunExecutors",
        "IsMergedInChunks?": "MergeChunks" if n_chunks else then,
        "IsEvaluatedApart?": then,
    }
    epoch = _walked("epoch", choices, iterations | {"EvaluateSlices": n_slices})
    ranks = sum(_walked("ranks", {}, {"RunExecutors": len(group)}) for group in groups)
    assert of_epoch(n_ranks, n_chunks, n_slices) == 2 + epoch + ranks


@pytest.mark.parametrize("checks", [True, False])
def test_transitions_before_the_first_epoch_are_those_of_the_state_machine(checks: bool) -> None:
    data = DataState(
        checked=Spent(cost_usd=0.1 if checks else 0.0),
        partitioned=[0.01, 0.02],
        planned=Spent(cost_usd=0.001),
        assembled=[0.003] * 3,
        spent_usd=0.0002,
    )
    choices = {
        "ChecksModel?": "CheckModel" if checks else "PartitionData",
        "Converged?": "Finalise",
    }
    iterations = {"PartitionData": 2, "AssembleShards": 3}
    walked = _walked("train", choices, iterations) - 1  # Finalise counts itself
    assert of_preparation(data) == walked
    costs_usd = 0.0402 + (0.1 if checks else 0.0)
    expected = costs_usd + 0.5 + walked * TRANSITION_USD
    assert sum(preparation_costs(data, 0.5).values()) == pytest.approx(expected)
    assert of_damage(data) == 4 + 2 + 3


def _walked(machine: str, choices: dict[str, str], iterations: dict[str, int]) -> int:
    """Return the transitions of an execution, given the iterations of its Maps."""
    definition = json.loads((MACHINES / f"{machine}.asl.json").read_text())
    name, count = definition["StartAt"], 2
    while name is not None:
        state: dict[str, Any] = definition["States"][name]
        count += 1
        if state["Type"] == "Map":
            count += iterations[name] * len(state["ItemProcessor"]["States"])
        name = choices[name] if state["Type"] == "Choice" else state.get("Next")
    return count


def test_dynamodb_counts_units_of_items() -> None:
    items = MeteredChannel(MemoryStorage(), DYNAMODB_TARIFF)
    items.publish("k", bytes(2000))  # about 2,047 bytes with its key and overhead: 2 units
    items.publish("k", bytes(2000))  # too late, but charged
    items.save("l", bytes(2048 - 46))  # one byte too many
    assert items.written_units == {"publish": 4, "save": 3}
    assert items.load_many(["k", "l", "absent"]).keys() == {"k", "l"}
    assert items.read_units == 3
    items.save("m", bytes(5000))
    items.load_many(["m"])
    assert items.read_units == 5
    # Every written value is deleted once, at the same price.
    before = channel_usd(items)
    items.delete_many(["k", "l", "m"])
    assert channel_usd(items) == before == pytest.approx(24 * WRITE_UNIT_USD + 5 * READ_UNIT_USD)


@pytest.mark.usefixtures("requests_only")
@pytest.mark.parametrize("algorithm", ["model_averaging", "gradient_averaging"])
def test_a_channel_paid_by_the_request_is_on_the_bill(
    monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    monkeypatch.setenv("STEPML_DYNAMODB_TABLE", "table")
    channel = MemoryStorage()
    monkeypatch.setattr("lambdas.channels.storage.cached_channel", lambda name: channel)
    storage = CountingStorage()
    job = Job(
        storage=storage,
        algorithm={"name": algorithm, "batch_size": 20},
        exchange={"channel": "dynamodb"},
    )
    job.initialised()
    storage.counts.clear()
    results = job.execute_all(1)
    beside = sum(result.cost_usd - INVOCATION_USD for result in results) - storage.requests_usd()
    assert beside > 3 * 2 * WRITE_UNIT_USD - EXACTLY
    assert [*channel.list("")]


@pytest.mark.parametrize("name", ["redis", "memcached", "dynamodb"])
def test_a_channel_is_on_the_bill_that_it_costs(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("lambdas.channels.storage.cached_channel", lambda name: MemoryStorage())
    billed = BilledStorage(MemoryStorage())
    assert open_storage_channel("s3", billed) is billed
    channel = open_storage_channel(name, billed)
    assert channel is open_storage_channel(name, billed)
    channel.save("k", b"value")
    channel.load_heads(["k"], 2)
    assert (billed.cost_usd > 0) == (name == "dynamodb")
    traffic = billed.services[name]
    assert (traffic.requests, traffic.sent_bytes) == (2, 5)
    assert traffic.received_bytes == (5 if name == "dynamodb" else 2)  # or it would cost more


def test_whoever_publishes_late_pays_for_the_first_value() -> None:
    billed = BilledStorage(MemoryStorage())
    billed.publish("k", b"first")
    assert billed.cost_usd == pytest.approx(PUT_USD)
    billed.publish("k", b"second")
    assert billed.cost_usd == pytest.approx(2 * PUT_USD + GET_USD)


def test_a_metered_durable_storage_is_one_and_counts() -> None:
    inner = MemoryStorage()
    inner.save_many({f"k/{n:04d}": b"value" for n in range(1001)})
    metered = MeteredDurableStorage(inner)
    assert metered.load_range("k/0000", 1, 3) == b"al"
    assert metered.load_buffer("k/0000") == b"value"
    described = metered.describe("k/0000")
    assert described is not None
    assert described.value_bytes == 5
    assert len([*metered.describe_many("k/")]) == 1001
    assert metered.requests == {"load": 2, "find": 1, "list": 2}
    metered.clear("k/")
    assert [*inner.list("")] == []
