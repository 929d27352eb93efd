"""Every channel and every pattern, through the real state machines and function processes."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import urlopen

import pytest

from stepml.job import keys
from stepml.local_identity import STATUS_PATH
from storage import Storage
from storage.blocks import BlockStorage
from storage.memcached import MemcachedStorage
from storage.redis import RedisStorage
from tests.functional.conftest import LocalStack, csv_rows
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


@pytest.fixture(scope="session")
def references(local_stack: LocalStack, job: dict[str, Any]) -> dict[str, bytes]:
    """The models of the simplest exchange, by algorithm."""
    return {
        "model_averaging": model_bits(local_stack, job),
        "gradient_averaging": model_bits(local_stack, job | {"algorithm": GRADIENTS}),
    }


@pytest.mark.parametrize("pattern", ["reduce", "reduce_scatter"])
@pytest.mark.parametrize("algorithm", ["model_averaging", "gradient_averaging"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_channel_and_pattern_change_no_bit_of_the_model(
    local_stack: LocalStack,
    job: dict[str, Any],
    references: dict[str, bytes],
    channel: str,
    algorithm: str,
    pattern: str,
) -> None:
    fields = {"algorithm": GRADIENTS} if algorithm == "gradient_averaging" else {}
    bits = model_bits(local_stack, exchanged(job, channel, pattern, **fields))
    assert bits == references[algorithm]


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
    local_stack: LocalStack, job: dict[str, Any], references: dict[str, bytes]
) -> None:
    jobs = [exchanged(job, "redis"), exchanged(job, "redis", algorithm=GRADIENTS)] * 2
    with ThreadPoolExecutor(len(jobs)) as pool:
        bits = list(pool.map(lambda each: model_bits(local_stack, each), jobs))
    assert bits == [references["model_averaging"], references["gradient_averaging"]] * 2


@pytest.fixture(params=["redis", "memcached"])
def shared_channel(
    local_stack: LocalStack, job: dict[str, Any], request: pytest.FixtureRequest
) -> Iterator[tuple[str, Storage]]:
    """A running channel, and access to it."""
    local_stack.run(exchanged(job, request.param) | {"stop": {"max_epochs": 1}})
    backends = {"redis": RedisStorage, "memcached": MemcachedStorage}
    urls = {cache["name"]: cache["url"] for cache in status(local_stack)["caches"]}
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


def test_a_killed_executor_changes_no_bit(local_stack: LocalStack, job: dict[str, Any]) -> None:
    """Its Task calls it again, and it replays the sums that it missed."""
    long = exchanged(job, "redis", algorithm=GRADIENTS | {"batch_size": 1}, stop={"max_epochs": 2})
    expected = model_bits(local_stack, long)
    name = f"killed-{uuid.uuid4().hex[:8]}"
    execution = local_stack.start(long, name)
    eventually(lambda: local_stack.epochs(name), len)
    for pid in eventually(lambda: busy_executors(local_stack), lambda pids: len(pids) == 4)[1:3]:
        os.kill(pid, signal.SIGKILL)
    ended = local_stack.aws.ended(execution)
    assert ended["status"] == "SUCCEEDED", ended
    retried = [
        event
        for epoch in local_stack.epochs(name)
        for event in local_stack.aws.events(epoch["executionArn"])
        if event["type"] == "TaskFailed"
    ]
    assert retried, "no executor was killed while it trained"
    assert local_stack.read(keys.model(name)) == expected


@pytest.mark.parametrize("fault", ["emptied", "killed"])
def test_a_channel_that_is_lost_during_an_epoch_changes_no_bit(
    local_stack: LocalStack,
    job: dict[str, Any],
    shared_channel: tuple[str, Storage],
    fault: str,
) -> None:
    channel, storage = shared_channel
    long = exchanged(job, channel, algorithm=GRADIENTS | {"batch_size": 1}, stop={"max_epochs": 1})
    expected = model_bits(local_stack, long)
    name = f"lost-{uuid.uuid4().hex[:8]}"
    execution = local_stack.start(long, name)
    prefix = f"jobs/{name}/exchange/"
    eventually(lambda: storage.list(prefix), any)
    if fault == "emptied":
        storage.clear(prefix)
    else:
        pids = {cache["name"]: cache["pid"] for cache in status(local_stack)["caches"]}
        os.kill(pids[channel], signal.SIGKILL)
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
    # Within `run`'s limit, which is shorter than the wait of a rank for a peer.
    ended = local_stack.run(wild, name)
    assert ended["status"] == "FAILED"
    assert "float16 holds numbers up to 65,504" in ended["cause"]
    attempts = [epoch["name"] for epoch in local_stack.epochs(name)]
    assert len(attempts) == 2
    for attempt in attempts:
        failure = json.loads(local_stack.read(keys.failure(name, f"{attempt}.0")))
        assert failure["error"] == "CompressionError"
        assert failure["log_group"] == "/aws/lambda/stepml-executor"


def status(local_stack: LocalStack) -> dict[str, Any]:
    with urlopen(local_stack.endpoint_url + STATUS_PATH) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


def busy_executors(local_stack: LocalStack) -> list[int]:
    return [
        each["pid"]
        for each in status(local_stack)["environments"]
        if each["function"] == "stepml-executor" and each["state"] == "busy"
    ]
