"""Every channel and every pattern, through the real state machines and function processes."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from stepml.job import keys
from storage import Storage
from storage.blocks import BlockStorage
from storage.memcached import MemcachedStorage
from storage.redis import RedisStorage
from tests.faults.injector import ANY_WRITE
from tests.faults.placements import Point
from tests.faults.stack import FaultyStack, busy
from tests.functional.conftest import Reference
from tests.support.local_stack import LocalStack, csv_rows
from tests.support.running_aws import eventually

CHANNELS = ("s3", "redis", "memcached", "dynamodb")
GRADIENTS = {"name": "gradient_averaging", "learning_rate": 0.5, "batch_size": 50}


def exchanged(
    job: dict[str, Any], channel: str, pattern: str = "reduce", **fields: Any
) -> dict[str, Any]:
    return job | {"exchange": {"channel": channel, "pattern": pattern}} | fields


def model_bits(local_stack: LocalStack, job: dict[str, Any]) -> bytes:
    """Run a job and return its model."""
    name = f"exchange-{uuid.uuid4().hex[:8]}"
    ended = local_stack.run(job, name)
    assert ended["status"] == "SUCCEEDED", ended
    return local_stack.read(keys.model(name))


@pytest.mark.parametrize("pattern", ["reduce", "reduce_scatter"])
@pytest.mark.parametrize("algorithm", ["model_averaging", "gradient_averaging"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_channel_and_pattern_change_no_bit_of_the_model(
    local_stack: LocalStack,
    job: dict[str, Any],
    undisturbed: Reference,
    channel: str,
    algorithm: str,
    pattern: str,
) -> None:
    fields = {"algorithm": GRADIENTS} if algorithm == "gradient_averaging" else {}
    expected = undisturbed(job | fields)  # over S3, in the simplest pattern
    assert model_bits(local_stack, exchanged(job, channel, pattern, **fields)) == expected


@pytest.mark.parametrize("channel", CHANNELS)
def test_asynchronous_jobs_learn_and_tell_their_staleness(
    local_stack: LocalStack, job: dict[str, Any], channel: str
) -> None:
    ended = local_stack.run(exchanged(job, channel, "async", algorithm=GRADIENTS))
    assert ended["status"] == "SUCCEEDED", ended
    report = ended["report"]
    assert report["metrics"]["accuracy"] > 0.9
    updates = 4 * -(-(1800 // 4) // 50)
    for epoch in report["history"]:
        assert 0 <= epoch["staleness_mean"] <= epoch["staleness_max"] < updates


@pytest.mark.parametrize("algorithm", ["model_averaging", "gradient_averaging"])
def test_half_precision_on_the_way_costs_little_accuracy(
    local_stack: LocalStack, job: dict[str, Any], algorithm: str
) -> None:
    fields = {"algorithm": GRADIENTS} if algorithm == "gradient_averaging" else {}
    whole = local_stack.run(job | fields)["report"]
    exchange = {"channel": "redis", "compression": "float16"}
    half = local_stack.run(job | fields | {"exchange": exchange})["report"]
    assert half["loss"] != whole["loss"]
    assert half["loss"] == pytest.approx(whole["loss"], rel=0.02)


def test_jobs_at_once_on_one_channel_do_not_meet(
    local_stack: LocalStack, job: dict[str, Any], undisturbed: Reference
) -> None:
    jobs = [exchanged(job, "redis"), exchanged(job, "redis", algorithm=GRADIENTS)] * 2
    with ThreadPoolExecutor(len(jobs)) as pool:
        bits = list(pool.map(lambda each: model_bits(local_stack, each), jobs))
    assert bits == [undisturbed(job), undisturbed(job | {"algorithm": GRADIENTS})] * 2


@pytest.fixture(params=["redis", "memcached"])
def shared_channel(
    local_stack: LocalStack, job: dict[str, Any], request: pytest.FixtureRequest
) -> Iterator[tuple[str, Storage]]:
    """A running channel, and access to it."""
    local_stack.run(exchanged(job, request.param) | {"stop": {"max_epochs": 1}})
    backends = {"redis": RedisStorage, "memcached": MemcachedStorage}
    urls = {cache.name: cache.url for cache in local_stack.aws.caches()}
    storage = BlockStorage(backends[request.param](urls[request.param]))
    yield request.param, storage
    storage.close()


@pytest.mark.parametrize("algorithm", ["model_averaging", "gradient_averaging"])
def test_a_job_leaves_nothing_and_spares_what_is_not_its_own(
    local_stack: LocalStack,
    job: dict[str, Any],
    shared_channel: tuple[str, Storage],
    algorithm: str,
) -> None:
    channel, storage = shared_channel
    storage.save("somebody/elses", b"value")
    fields = {"algorithm": GRADIENTS} if algorithm == "gradient_averaging" else {}
    name = f"tidy-{uuid.uuid4().hex[:8]}"
    ended = local_stack.run(exchanged(job, channel, "reduce_scatter", **fields), name)
    assert ended["status"] == "SUCCEEDED", ended
    assert list(storage.list(f"jobs/{name}")) == []
    assert storage.load("somebody/elses") == b"value"


def in_flight(job: dict[str, Any], channel: str) -> dict[str, Any]:
    """Return a job of two epochs, of 45 batches in each rank."""
    return exchanged(job, channel, algorithm=GRADIENTS | {"batch_size": 10}, stop={"max_epochs": 2})


@contextmanager
def held_midway(stack: FaultyStack, job: dict[str, Any], name: str) -> Iterator[str]:
    """Start a job in flight, and hold it in the middle of an epoch until the block ends."""
    channel = job["exchange"]["channel"]
    place = Point("executor", 1, 3, ANY_WRITE)
    with stack.holding(name, place, "before", channel=channel, skips=20) as hold:
        execution = stack.start(job, name)
        hold.reached()
        yield execution


def test_a_killed_executor_changes_no_bit(
    local_stack: FaultyStack, job: dict[str, Any], undisturbed: Reference
) -> None:
    """Its Task calls it again, and it replays the sums that it missed."""
    long = in_flight(job, "redis")
    expected = undisturbed(long, "redis")
    name = f"killed-{uuid.uuid4().hex[:8]}"
    with held_midway(local_stack, long, name) as execution:
        for pid in eventually(lambda: busy_executors(local_stack), lambda p: len(p) == 4)[1:3]:
            os.kill(pid, signal.SIGKILL)
    ended = local_stack.aws.ended(execution)
    assert ended["status"] == "SUCCEEDED", ended
    retried = [
        event
        for epoch in local_stack.epochs(name)
        for event in local_stack.aws.events(epoch["executionArn"])
        if event["type"] == "TaskFailed"
    ]
    assert len(retried) >= 2
    assert local_stack.read(keys.model(name)) == expected


@pytest.mark.parametrize("fault", ["emptied", "killed"])
def test_a_channel_that_is_lost_during_an_epoch_changes_no_bit(
    local_stack: FaultyStack,
    job: dict[str, Any],
    undisturbed: Reference,
    shared_channel: tuple[str, Storage],
    fault: str,
) -> None:
    channel, storage = shared_channel
    long = in_flight(job, channel)
    expected = undisturbed(long, "redis")
    name = f"lost-{uuid.uuid4().hex[:8]}"
    with held_midway(local_stack, long, name) as execution:
        assert any(storage.list(f"jobs/{name}/exchange/"))
        if fault == "emptied":
            storage.clear(f"jobs/{name}/exchange/")
        else:
            pids = {cache.name: cache.pid for cache in local_stack.aws.caches()}
            os.kill(pids[channel] or 0, signal.SIGKILL)
    ended = local_stack.aws.ended(execution)
    assert ended["status"] == "SUCCEEDED", ended
    assert local_stack.read(keys.model(name)) == expected


def test_an_error_of_one_rank_ends_the_others(local_stack: LocalStack, job: dict[str, Any]) -> None:
    """One row's gradient is beyond float16, so its rank fails, and the others are notified."""
    header, first, *rows = csv_rows().decode().splitlines()
    _, *others = first.split(",")
    text = "\n".join([header, ",".join(["1e9", *others]), *rows, ""])
    uri = local_stack.upload("data/wild.csv", text.encode())
    wild = job | {
        "data": job["data"] | {"uri": uri, "standardise": False},
        "algorithm": GRADIENTS | {"learning_rate": 1e-9},
        "exchange": {"channel": "redis", "compression": "float16"},
    }
    name = f"wild-{uuid.uuid4().hex[:8]}"
    ended = local_stack.run(wild, name)
    assert ended["status"] == "FAILED"
    assert "float16 holds numbers up to 65,504" in ended["cause"]
    attempts = [epoch["name"] for epoch in local_stack.epochs(name)]
    assert len(attempts) == 2
    for attempt in attempts:
        failure = json.loads(local_stack.read(keys.failure(name, f"{attempt}.0")))
        assert failure["error"] == "CompressionError"
        assert failure["log_group"] == "/stepml/stepml/executor"


def busy_executors(local_stack: LocalStack) -> list[int]:
    return [each["pid"] for each in busy(local_stack.aws) if each["function"] == "stepml-executor"]
