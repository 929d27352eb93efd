"""Whole jobs over a parameter server have the bits of S3, also if it or its clients die."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.addresses import Credentials
from ps_server.protocol.calls import JobSettings, JobStatistics
from stepml.job import keys
from stepml.job.channels import PARAMETER_SERVER
from stepml.local.cache_server import CacheStatus
from tests.faults.injector import ANY_WRITE
from tests.faults.placements import Point
from tests.faults.stack import FaultyStack, busy
from tests.functional.conftest import Reference
from tests.functional.test_exchange import busy_executors
from tests.functional.test_recovery import (
    configured,
    held_in,
    logged,
    redrive,
    stop,
    unique,
)
from tests.support.local_stack import LocalStack
from tests.support.running_aws import eventually

CHANNEL = PARAMETER_SERVER
GRADIENTS = {"name": "gradient_averaging", "learning_rate": 0.5, "batch_size": 50}
MODELS = {"name": "model_averaging", "learning_rate": 0.5, "batch_size": 50}
LONG: dict[str, Any] = {
    "algorithm": GRADIENTS | {"batch_size": 10},  # 45 batches in each rank
    "stop": {"max_epochs": 2},
}
KMEANS = {"model": {"name": "kmeans", "n_clusters": 3}}
LEARNERS: dict[str, dict[str, Any]] = {
    "gradient_averaging": {"algorithm": GRADIENTS},
    "model_averaging": {"algorithm": MODELS},
    "admm": {"algorithm": {"name": "admm"}},
    "expectation_maximisation": {"algorithm": {"name": "expectation_maximisation"}, **KMEANS},
}


def over_server(job: dict[str, Any], learner: str, **fields: Any) -> dict[str, Any]:
    return job | LEARNERS[learner] | {"exchange": {"channel": CHANNEL}} | fields


def trained(local_stack: LocalStack, job: dict[str, Any], name: str | None = None) -> bytes:
    """Run a job and return its model."""
    name = name or unique("server")
    ended = local_stack.run(job, name)
    assert ended["status"] == "SUCCEEDED", ended
    return local_stack.read(keys.model(name))


@pytest.fixture(scope="module")
def server(local_stack: LocalStack, job: dict[str, Any]) -> CacheStatus:
    """The parameter server, started by a first job."""
    before = status(local_stack)
    trained(local_stack, over_server(job, "model_averaging", stop={"max_epochs": 1}))
    after = status(local_stack)
    assert after.pid is not None
    assert after.url == before.url
    return after


@pytest.fixture
def client(server: CacheStatus) -> Iterator[ParameterClient]:
    """A client of the server, like that of functions."""
    token = server.parameters["ParameterServerToken"]
    with ParameterClient(server.url, Credentials(token)) as opened:
        yield opened


def status(local_stack: LocalStack) -> CacheStatus:
    """Return the local AWS's status of its parameter server."""
    return next(each for each in local_stack.aws.caches() if each.name == CHANNEL)


def kill_server(local_stack: LocalStack) -> None:
    """Kill the server, and return once another one answers in its place."""
    pid = status(local_stack).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: status(local_stack).pid, lambda found: found not in (None, pid))


def jobs(client: ParameterClient, name: str) -> list[JobStatistics]:
    """Return the state of a job on a server that may still be starting."""
    try:
        jobs = client.statistics().jobs
    except OSError:
        return []
    return [each for each in jobs if each.job.startswith(f"jobs/{name}/")]


@contextmanager
def held_midway(stack: FaultyStack, job: dict[str, Any], name: str) -> Iterator[str]:
    """Start a job, and hold it in the middle of its first epoch until the block ends."""
    with ExitStack() as holds:
        if job["algorithm"]["name"] == "admm":  # the ranks have pushed
            hold = holds.enter_context(stack.holding(name, Point("reducer", 1, None)))
        else:
            push = Point("executor", 1, 3, ANY_WRITE)
            hold = holds.enter_context(
                stack.holding(name, push, "before", channel=CHANNEL, skips=20)
            )
        execution = stack.start(job, name)
        hold.reached()
        yield execution


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("learner", LEARNERS)
def test_a_job_has_the_bits_that_it_has_over_s3(
    local_stack: LocalStack,
    job: dict[str, Any],
    undisturbed: Reference,
    client: ParameterClient,
    learner: str,
) -> None:
    chosen, name = over_server(job, learner), unique("server")
    assert trained(local_stack, chosen, name) == undisturbed(chosen)
    assert jobs(client, name) == []  # it leaves nothing
    assert local_stack.keys(f"jobs/{name}/exchange/") == []


@pytest.mark.usefixtures("server")
def test_jobs_at_once_do_not_meet(
    local_stack: LocalStack, job: dict[str, Any], undisturbed: Reference
) -> None:
    wanted = [over_server(job, each) for each in ("gradient_averaging", "admm")]
    with ThreadPoolExecutor(len(wanted)) as pool:
        found = list(pool.map(lambda each: trained(local_stack, each), wanted))
    assert found == [undisturbed(each) for each in wanted]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "exchange",
    [
        {},
        {"max_staleness": 2},
        {"server_update": "sgd"},
        {"server_update": "sgd", "max_staleness": 0},
    ],
    ids=lambda fields: " ".join(fields) or "plain",
)
def test_asynchronous_jobs_learn_and_tell_their_staleness(
    local_stack: LocalStack, job: dict[str, Any], exchange: dict[str, Any]
) -> None:
    shared = {"channel": CHANNEL, "pattern": "async", **exchange}
    ended = local_stack.run(over_server(job, "gradient_averaging", exchange=shared))
    assert ended["status"] == "SUCCEEDED", ended
    report = ended["report"]
    assert report["metrics"]["accuracy"] > 0.9
    updates = 4 * -(-(1800 // 4) // 50)
    for epoch in report["history"]:
        assert 0 <= epoch["staleness_mean"] <= epoch["staleness_max"] < updates
        if "max_staleness" in exchange:
            # docs/parameter_server.md says why: (W - 1) (2 s + 1).
            assert epoch["staleness_max"] <= 3 * (2 * exchange["max_staleness"] + 1)


@pytest.mark.usefixtures("server")
def test_asynchronous_passes_learn(local_stack: LocalStack, job: dict[str, Any]) -> None:
    shared = {"channel": CHANNEL, "pattern": "async"}
    ended = local_stack.run(over_server(job, "model_averaging", exchange=shared))
    assert ended["status"] == "SUCCEEDED", ended
    assert ended["report"]["metrics"]["accuracy"] > 0.9


@pytest.mark.parametrize("learner", ["gradient_averaging", "admm"])
def test_a_server_that_is_killed_during_a_job_changes_no_bit(
    local_stack: FaultyStack,
    job: dict[str, Any],
    undisturbed: Reference,
    client: ParameterClient,
    learner: str,
) -> None:
    long = over_server(job, learner)
    if learner == "gradient_averaging":
        long |= LONG
    expected, name = undisturbed(long, "redis"), unique("killed")
    with held_midway(local_stack, long, name) as execution:
        kill_server(local_stack)
    ended = local_stack.aws.ended(execution)
    assert ended["status"] == "SUCCEEDED", ended
    assert local_stack.read(keys.model(name)) == expected


def test_an_asynchronous_job_survives_a_server_that_is_killed(
    local_stack: FaultyStack, job: dict[str, Any], client: ParameterClient
) -> None:
    shared = {"channel": CHANNEL, "pattern": "async", "server_update": "sgd"}
    slow = GRADIENTS | {"batch_size": 10, "learning_rate": 0.05}
    name = unique("killed")
    long = over_server(job, "gradient_averaging", algorithm=slow, exchange=shared)
    with held_midway(local_stack, long, name) as execution:
        kill_server(local_stack)
    ended = local_stack.aws.ended(execution)
    assert ended["status"] == "SUCCEEDED", ended
    assert json.loads(ended["output"])["metrics"]["accuracy"] > 0.9


def test_executors_that_are_killed_change_no_bit(
    local_stack: FaultyStack,
    job: dict[str, Any],
    undisturbed: Reference,
    client: ParameterClient,
) -> None:
    long = over_server(job, "gradient_averaging", **LONG)
    expected, name = undisturbed(long, "redis"), unique("killed")
    with held_midway(local_stack, long, name) as execution:
        for pid in eventually(lambda: busy_executors(local_stack), lambda p: len(p) == 4)[1:3]:
            os.kill(pid, signal.SIGKILL)
    ended = local_stack.aws.ended(execution)
    assert ended["status"] == "SUCCEEDED", ended
    assert local_stack.read(keys.model(name)) == expected


def test_a_job_that_lost_what_it_had_pushed_changes_no_bit(
    local_stack: FaultyStack,
    job: dict[str, Any],
    undisturbed: Reference,
    client: ParameterClient,
) -> None:
    long = over_server(job, "gradient_averaging", **LONG)
    expected, name = undisturbed(long, "redis"), unique("lost")
    with held_midway(local_stack, long, name) as execution:
        assert client.delete(f"jobs/{name}/") == 1
    ended = local_stack.aws.ended(execution)
    assert ended["status"] == "SUCCEEDED", ended
    assert local_stack.read(keys.model(name)) == expected


def test_a_job_that_failed_is_redriven(
    local_stack: LocalStack,
    job: dict[str, Any],
    undisturbed: Reference,
    client: ParameterClient,
) -> None:
    chosen, name = over_server(job, "model_averaging"), unique("failed")
    expected = undisturbed(chosen)
    with configured(local_stack, "reducer", Handler="lambdas.reducer.mistyped"):
        ended = local_stack.run(chosen, name)
    assert ended["status"] == "FAILED"
    eventually(lambda: local_stack.keys(keys.ended(name)), bool)
    assert [each.ranks for each in jobs(client, name)] == [4]  # their contributions stay
    assert redrive(local_stack, ended["executionArn"])["status"] == "SUCCEEDED"
    assert local_stack.read(keys.model(name)) == expected
    assert jobs(client, name) == []
    messages = [line["message"] for line in logged(local_stack, "executor", name)]
    assert messages.count("rank had contributed already") == 2 * 4  # second attempt, and redrive


@pytest.mark.parametrize(
    ("learner", "pattern"), [("gradient_averaging", "reduce"), ("model_averaging", "async")]
)
def test_a_stopped_job_leaves_nothing_and_goes_on(
    local_stack: FaultyStack,
    job: dict[str, Any],
    undisturbed: Reference,
    client: ParameterClient,
    learner: str,
    pattern: str,
) -> None:
    exchange = {"channel": CHANNEL, "pattern": pattern}
    long = over_server(job, learner, exchange=exchange)
    name = unique("stopped")
    with held_in(local_stack, long, name, epoch=2) as execution:
        stop(local_stack, execution)
    eventually(lambda: local_stack.keys(keys.ended(name)), bool)
    eventually(lambda: busy(local_stack.aws), lambda functions: not functions)
    assert jobs(client, name) == []
    assert redrive(local_stack, execution)["status"] == "SUCCEEDED"
    if pattern == "reduce":
        assert local_stack.read(keys.model(name)) == undisturbed(long)
    assert jobs(client, name) == []


@contextmanager
def filled(client: ParameterClient) -> Iterator[None]:
    """Reserve nearly all of the server's memory for another job."""
    statistics = client.statistics()
    ranks = 100
    each = (statistics.limit_bytes - statistics.reserved_bytes) // (ranks + 3) - 100
    client.register("somebody/elses", JobSettings(ranks, each))
    try:
        yield
    finally:
        client.delete("somebody/")


def test_a_job_for_which_there_is_no_room_is_refused_before_it_trains(
    local_stack: LocalStack, job: dict[str, Any], client: ParameterClient
) -> None:
    name = unique("refused")
    with filled(client):
        ended = local_stack.run(over_server(job, "gradient_averaging"), name)
    assert (ended["status"], ended["error"]) == ("FAILED", "NotEnoughServerMemoryError")
    assert "start it after other jobs have ended" in ended["cause"]
    assert local_stack.epochs(name) == []
    assert redrive(local_stack, ended["executionArn"])["status"] == "SUCCEEDED"


def test_jobs_spare_what_is_not_their_own(
    local_stack: LocalStack, job: dict[str, Any], client: ParameterClient
) -> None:
    client.register("jobs/somebody/elses", JobSettings(2, 1000))
    trained(local_stack, over_server(job, "gradient_averaging", stop={"max_epochs": 1}))
    assert not client.register("jobs/somebody/elses", JobSettings(2, 1000)).is_new
    client.delete("jobs/somebody/")
