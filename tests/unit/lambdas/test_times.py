"""The time and the money of an epoch: all of it is somewhere, and where it belongs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from lambdas import reducer
from lambdas.environment import Deadline
from lambdas.executor import execute
from lambdas.initialise import initialise
from stepml.job import keys
from stepml.job.errors import ExecutorPausedError
from stepml.job.packed_times import unpack_times
from stepml.job.parts import MOST_RANKS_LISTED, FunctionTimes
from stepml.job.reports import EpochReport
from stepml.job.tasks import ExecutorResult, ExecutorTask, ReducerTask
from storage.base import Buffer
from tests.support.jobs import Context, DurableWrapper, Job

SLOW_S = 0.3
LATENCY_S = 0.02
# By the way of exchanging.
JOBS: dict[str, dict[str, Any]] = {
    "orchestrated": {"algorithm": {"name": "model_averaging", "batch_size": 20}},
    "scattered": {
        "algorithm": {"name": "model_averaging", "batch_size": 20},
        "exchange": {"channel": "s3", "pattern": "reduce_scatter"},
    },
    "admm": {"algorithm": {"name": "admm"}},
    "kmeans": {
        "algorithm": {"name": "expectation_maximisation"},
        "model": {"name": "kmeans", "n_clusters": 3},
    },
    "in flight": {"algorithm": {"name": "gradient_averaging", "batch_size": 20}},
    "in flight, scattered": {
        "algorithm": {"name": "gradient_averaging", "batch_size": 20},
        "exchange": {"channel": "s3", "pattern": "reduce_scatter"},
    },
    "asynchronous": {
        "algorithm": {"name": "gradient_averaging", "batch_size": 20},
        "exchange": {"channel": "s3", "pattern": "async"},
    },
}


class SlowShard(DurableWrapper):
    """Needs a while to load a shard."""

    def load_buffer(self, key: str) -> bytearray:
        time.sleep(SLOW_S)
        data: bytearray = self.inner.load_buffer(key)  # type: ignore[attr-defined]
        return data


class FarChannel(DurableWrapper):
    """Needs a while for each request with exchanged values."""

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        self._travel(values)
        return super().publish_many(values)

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        self._travel(keys)
        return super().load_many(keys)

    def _travel(self, names: Any) -> None:
        if any("/exchange/" in name for name in names):
            time.sleep(LATENCY_S)


def initialised(way: str, **more: Any) -> Job:
    job = Job(**(JOBS[way] | more))
    job.initialised()
    return job


def times_of(result: ExecutorResult, channel: str = "s3") -> FunctionTimes:
    times = unpack_times(result.times, "rank", result.rank, result.cost_usd, channel)
    assert times is not None
    return times


@pytest.mark.parametrize("way", JOBS)
def test_the_parts_of_a_rank_add_up_to_its_time(way: str) -> None:
    job, began = initialised(way), time.perf_counter()
    results = job.execute_all(1)
    elapsed_s = time.perf_counter() - began
    for result in results:
        parts = times_of(result).parts
        assert result.seconds - 0.002 <= 1.002 * parts.seconds
        assert parts.seconds <= 1.002 * elapsed_s
        assert min(parts.load, parts.compute) > 0


@pytest.mark.parametrize("way", JOBS)
def test_the_report_has_all_functions_and_all_costs(way: str) -> None:
    job = initialised(way)
    report = job.epoch(1)
    roles = [(each.role, each.index) for each in report.functions]
    ranks = [("rank", rank) for rank in range(3)]
    mergers = [("merger", chunk) for chunk in range(3)] if way == "scattered" else []
    assert roles == [*ranks, *mergers, ("reducer", 0)]
    assert sum(report.costs.values()) == pytest.approx(report.cost_usd, abs=1e-7)
    assert min(report.costs.values()) > 0
    assert report.communication_share is not None
    assert 0 <= report.communication_share < 1
    assert all(len(each) == 5 and each == sorted(each) for each in report.quantiles.values())
    assert {"start", "load"} <= report.quantiles.keys()
    assert all(each.traffic["s3"].requests > 0 for each in report.functions)


def test_a_network_has_evaluators_and_a_function_that_merges() -> None:
    pytest.importorskip("torch")
    job = Job(
        model={"name": "neural", "network": {"name": "mlp", "hidden": [8]}},
        algorithm={"name": "model_averaging", "learning_rate": 0.05},
    )
    job.initialised()
    roles = [(each.role, each.index) for each in job.epoch(1).functions]
    evaluators = [("evaluator", part) for part in range(3)]
    assert roles[3:] == [("merger", 0), *evaluators, ("reducer", 0)]


def test_a_slow_peer_is_a_wait_of_the_others() -> None:
    # No other test has loaded this shard in this process, which keeps the last ones.
    rows = {"uri": "s3://data/rows.csv", "format": "csv", "standardise": True, "seed": 77}
    job = initialised("in flight", workers=2, data=rows)
    storages = [job.storage, SlowShard(job.storage)]
    with ThreadPoolExecutor(2) as threads:
        results = threads.map(lambda rank: job.execute(1, rank, storage=storages[rank]), range(2))
        punctual, late = (times_of(each).parts for each in results)
    assert late.load >= SLOW_S
    assert punctual.wait >= 0.5 * SLOW_S
    assert punctual.load < punctual.wait


def test_a_slow_channel_is_transfer() -> None:
    job = initialised("orchestrated")
    parts = times_of(job.execute(1, 0, storage=FarChannel(job.storage))).parts
    assert parts.transfer >= 2 * LATENCY_S  # a look for an earlier contribution, and the new one
    assert parts.wait == 0


def test_a_rank_that_is_called_again_says_so() -> None:
    job = initialised("orchestrated")
    task = ExecutorTask(rank=0, retries=2, **job.attempt(1))
    result = execute(task, job.storage, Deadline(lambda: 900.0), job.timing)
    assert times_of(result).calls == 3
    others = [job.execute(1, rank) for rank in (1, 2)]
    # The state carries its times, but not `retries`.
    carried = msgspec.structs.replace(result, retries=0)
    report = job.reduce(1, [carried, *others])
    assert report.called_again == [0]
    assert report.costs["lost"] > 0


def test_many_ranks_have_their_times_beside_the_report() -> None:
    job = initialised("orchestrated")
    results = job.execute_all(1)
    many = [
        *results,
        *(msgspec.structs.replace(results[0], rank=n) for n in range(3, MOST_RANKS_LISTED + 1)),
    ]
    report = job.reduce(1, many)
    assert report.functions == []
    assert report.communication_share is not None
    lines = bytes(job.storage.load(keys.ranks(job.job_id, 1)))
    found = msgspec.json.Decoder(FunctionTimes).decode_lines(lines)
    assert [each.index for each in found] == [*range(MOST_RANKS_LISTED + 1), 0]


def test_executions_and_the_final_report_carry_no_functions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = initialised("orchestrated")
    monkeypatch.setattr(reducer, "durable", lambda: job.storage)
    task = ReducerTask(executors=job.execute_all(1), **job.attempt(1))
    assert reducer.handler(task.to_event(), Context())["functions"] == []
    assert job.store.report(1).load().functions
    job.epoch(2)
    assert all(not each.functions and each.quantiles for each in job.finalise(2).history)
    history = bytes(job.storage.load(keys.history(job.job_id))).splitlines()
    assert all(msgspec.json.decode(line, type=EpochReport).functions for line in history)
    assert all(not each.functions for each in job.store.reports(2, most_functions=5))


def test_results_of_an_earlier_version_have_no_parts() -> None:
    job = initialised("orchestrated")
    bare = [msgspec.structs.replace(each, times="") for each in job.execute_all(1)]
    report = job.reduce(1, bare, merged=[0.1])
    assert [each.role for each in report.functions] == ["reducer"]
    assert (report.quantiles, report.communication_share) == ({}, None)
    assert sum(report.costs.values()) == pytest.approx(report.cost_usd, abs=1e-7)


def test_the_preparation_is_in_the_final_report() -> None:
    job = Job()
    job.partitioned()
    job.assemble()
    costs = {"PartitionData": 0.001, "transitions": 0.0005}
    initialise(job.job_id, job.storage, Deadline(lambda: 900.0), costs=lambda: costs)
    first = job.epoch(1)
    assert first.total_cost_usd - first.cost_usd == pytest.approx(0.0015)
    job.epoch(2)
    preparation = job.finalise(2).preparation
    assert preparation.costs == costs
    assert 0 < preparation.seconds < job.finalise(2).seconds


@pytest.mark.parametrize("way", ["orchestrated", "in flight", "asynchronous"])
def test_a_rank_that_pauses_has_the_parts_of_all_its_calls(way: str) -> None:
    job = initialised(way, workers=1)

    def called(retries: int, *left: float) -> ExecutorResult:
        task = ExecutorTask(rank=0, retries=retries, **job.attempt(1))
        remaining = iter([900.0, *left])  # at the call's start, and before each further batch
        return execute(task, job.storage, Deadline(lambda: next(remaining, 900.0)), job.timing)

    with pytest.raises(ExecutorPausedError):
        called(0, *[12.0] * 100)
    kept = job.store.paused_times(1, 0).load()
    assert kept.times.parts.compute > 0
    found = times_of(called(1))
    assert found.calls == 2
    assert found.parts.seconds >= 0.998 * kept.times.parts.seconds
    assert found.traffic["s3"].requests > kept.times.traffic["s3"].requests
    # Another attempt does not count them.
    job.retries = 1
    other = times_of(called(1)) if way == "orchestrated" else None
    assert other is None or other.traffic["s3"].requests < found.traffic["s3"].requests
