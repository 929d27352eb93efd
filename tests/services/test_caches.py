"""The servers of channels start when a job needs them, and end with the local AWS."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pymemcache import Client as Memcached
from redis import Redis

from stepml.job.channels import PARAMETER_SERVER
from stepml.local import daemon
from stepml.local.cache_server import CacheStatus
from stepml.local.caches import Caches, template_parameters
from stepml.local.channel_programs import PROGRAMS, CacheError
from tests.services.test_daemon import is_alive, port
from tests.support.running_aws import RunningAws, eventually, inline_map, only, running_aws

__all__ = ["port"]  # the fixture

CACHES = [each.channel for each in PROGRAMS]
CHANNELS = [*CACHES, PARAMETER_SERVER]
ENDS = only({"Type": "Succeed"})


def job(channel: str) -> dict[str, Any]:
    return {"exchange": {"channel": channel}}


def cache(aws: RunningAws, name: str) -> CacheStatus:
    (found,) = (each for each in aws.caches() if each.name == name)
    return found


def started(aws: RunningAws, name: str) -> CacheStatus:
    """Let an execution start the server."""
    aws.run(aws.machine(ENDS), job(name))
    found = cache(aws, name)
    assert found.pid is not None
    return found


def address(status: CacheStatus) -> tuple[str, int]:
    host, port_text = re.fullmatch(r"\w+://(.+):(\d+)", status.url).groups()  # type: ignore[union-attr]
    return host, int(port_text)


def listens(status: CacheStatus) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(address(status)) == 0


@pytest.fixture
def own_aws(tmp_path: Path) -> Iterator[RunningAws]:
    """A new local AWS."""
    with running_aws(tmp_path) as aws:
        yield aws


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[Caches]:
    made = Caches(20_000, tmp_path)
    yield made
    made.close()


def test_a_server_runs_once_a_job_asks_for_it_and_not_before(own_aws: RunningAws) -> None:
    machine = own_aws.machine(ENDS)
    for other in ({}, job("s3"), job("dynamodb"), {"exchange": "redis"}, {"channel": "redis"}):
        own_aws.run(machine, other)
    own_aws.run(own_aws.machine(ENDS), [1])
    assert [each.pid for each in own_aws.caches()] == [None, None, None]
    assert not any(listens(each) for each in own_aws.caches())
    running = started(own_aws, "redis")
    assert listens(running)
    assert cache(own_aws, "memcached").pid is None


@pytest.mark.parametrize("name", CHANNELS)
def test_the_same_server_serves_the_next_job(aws: RunningAws, name: str) -> None:
    assert started(aws, name) == started(aws, name)


@pytest.mark.parametrize("name", CHANNELS)
def test_a_server_that_dies_is_started_again_at_its_address(aws: RunningAws, name: str) -> None:
    first = started(aws, name)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    second = eventually(lambda: cache(aws, name), lambda seen: seen.pid not in (None, first.pid))
    assert second.url == first.url
    assert listens(started(aws, name))


@pytest.mark.parametrize("name", CHANNELS)
def test_a_server_that_dies_while_it_starts_is_started_again(aws: RunningAws, name: str) -> None:
    seen = started(aws, name)
    for _ in range(3):  # the second and the third are hit while they start, or just after
        assert seen.pid is not None
        os.kill(seen.pid, signal.SIGKILL)
        last = seen.pid
        seen = eventually(lambda: cache(aws, name), lambda now: now.pid not in (None, last))  # noqa: B023
    assert eventually(lambda: listens(seen), bool)
    assert started(aws, name) == seen


@pytest.mark.parametrize("name", ["redis", PARAMETER_SERVER])
def test_a_redrive_needs_the_server_as_the_start_did(aws: RunningAws, name: str) -> None:
    execution = aws.start(aws.machine(only({"Type": "Fail"})), job(name))
    aws.ended(execution)
    running = cache(aws, name)
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    aws.client("stepfunctions").redrive_execution(executionArn=execution)
    assert listens(running)


def test_a_redrive_is_refused_while_the_server_cannot_run(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    redis = programs / "redis-server"
    redis.symlink_to(str(shutil.which("redis-server")))
    with running_aws(tmp_path / "state", path=str(programs)) as aws:
        execution = aws.start(aws.machine(only({"Type": "Fail"})), job("redis"))
        aws.ended(execution)
        target = redis.readlink()
        redis.unlink()
        os.kill(cache(aws, "redis").pid or 0, signal.SIGKILL)
        with pytest.raises(ClientError, match=r"Validation.* apt-get install redis-server"):
            aws.client("stepfunctions").redrive_execution(executionArn=execution)
        assert aws.ended(execution)["redriveCount"] == 0
        redis.symlink_to(target)
        aws.client("stepfunctions").redrive_execution(executionArn=execution)
        assert listens(cache(aws, "redis"))
        assert aws.ended(execution)["redriveCount"] == 1


def test_a_server_runs_before_the_execution_does(aws: RunningAws) -> None:
    running = started(aws, "redis")
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    aws.start(aws.machine(ENDS), job("redis"))
    assert listens(running)


def test_children_and_many_jobs_at_once_share_one_server(aws: RunningAws) -> None:
    child = aws.machine(ENDS)
    start = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": child, "Input": job("redis")},
        "End": True,
    }
    parent = aws.machine(only(inline_map(start)))
    assert aws.run(parent, {"items": [*range(8)]})["status"] == "SUCCEEDED"
    running = cache(aws, "redis")
    log = Redis.from_url(running.url)
    with log:
        assert log.info("server")["process_id"] == running.pid


def test_nothing_but_loopback_is_bound_and_nothing_is_saved(aws: RunningAws) -> None:
    addresses = {address(started(aws, name))[1] for name in CHANNELS}
    bound = {
        line.split()[1].rpartition(":")[0]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) in addresses
    }
    assert bound == {"0100007F"}
    with Redis.from_url(cache(aws, "redis").url) as client:
        assert client.config_get("save")["save"] == ""
        assert client.config_get("appendonly")["appendonly"] == "no"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    memcached = Memcached(address(cache(aws, "memcached")))
    assert memcached.stats()[b"limit_maxbytes"] == 1024 * 2**20
    memcached.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_servers_end_with_the_local_aws_however_that_ends(
    own_aws: RunningAws, number: signal.Signals
) -> None:
    running = [started(own_aws, name) for name in CHANNELS]
    own_aws.process.send_signal(number)
    own_aws.process.wait(60)
    pids = [each.pid for each in running if each.pid]
    eventually(lambda: [pid for pid in pids if is_alive(pid)], lambda left: left == [])


def test_servers_are_in_the_status_and_down_ends_them(port: int) -> None:
    up = daemon.up(port=port)
    assert [each.name for each in up.caches] == CHANNELS
    assert [address(each)[1] > port for each in up.caches] == [True, True, True]
    aws = RunningAws(up.endpoint_url, process=None)  # type: ignore[arg-type]
    running = [started(aws, name) for name in CHANNELS]
    seen = daemon.status()
    assert seen is not None
    assert [*seen.caches] == running
    assert daemon.down() is True
    assert [each.pid for each in running if each.pid and is_alive(each.pid)] == []


@pytest.mark.parametrize("channel", CACHES)
def test_a_job_is_refused_if_the_program_is_not_installed(tmp_path: Path, channel: str) -> None:
    program = {each.channel: each.program for each in PROGRAMS}[channel]
    with running_aws(tmp_path, path=str(tmp_path)) as aws:
        machine = aws.machine(ENDS)
        with pytest.raises(ClientError) as refused:
            aws.start(machine, job(channel))
        assert aws.executions(machine) == []
        assert aws.run(machine, job("s3"))["status"] == "SUCCEEDED"
    assert refused.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": f"exchange.channel {channel!r} needs the program {program}, which is not "
        f"installed; on Debian: apt-get install {program}",
    }
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_function_that_starts_a_job_is_refused_in_the_same_way(tmp_path: Path) -> None:
    start = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution",
        "Parameters": {"StateMachineArn.$": "$.child", "Input": job("memcached")},
        "End": True,
    }
    with running_aws(tmp_path, path=str(tmp_path)) as aws:
        child = aws.machine(ENDS)
        ended = aws.run(aws.machine(only(start)), {"child": child})
    assert ended["status"] == "FAILED"
    assert "apt-get install memcached" in ended["cause"]


def test_a_port_that_somebody_else_took_is_named(caches: Caches) -> None:
    redis, *_ = caches.statuses()
    with socket.create_server(address(redis)):
        pattern = r"'redis' cannot be used: redis-server ended at once: .*Address already in use"
        with pytest.raises(CacheError, match=pattern):
            caches.start_for('{"exchange": {"channel": "redis"}}')
    caches.start_for('{"exchange": {"channel": "redis"}}')
    assert listens(caches.statuses()[0])


def test_a_server_is_started_again_after_any_failure_to_start_it(tmp_path: Path) -> None:
    caches, asking = Caches(20_000, tmp_path), '{"exchange":{"channel":"redis"}}'
    caches.start_for(asking)
    first = caches.statuses()[0]
    assert first.pid is not None
    shutil.rmtree(tmp_path / "redis")
    (tmp_path / "redis").write_text("no directory")  # its log cannot be written
    os.kill(first.pid, signal.SIGKILL)
    with pytest.raises(
        CacheError, match=r"'redis' cannot be used: redis-server cannot be started: .*exists"
    ):
        caches.start_for(asking)
    (tmp_path / "redis").unlink()
    second = eventually(lambda: caches.statuses()[0], lambda seen: seen.pid is not None)
    caches.start_for(asking)
    assert caches.statuses()[0] == second
    caches.close()


def test_a_server_that_starts_slowly_serves_a_later_job(tmp_path: Path) -> None:
    caches = Caches(20_000, tmp_path, start_wait_s=0.05)  # Python alone takes longer
    assert "does not answer within 0.05 s" in refusal(caches, PARAMETER_SERVER)
    eventually(lambda: refusal(caches, PARAMETER_SERVER), lambda text: text == "")
    caches.close()


def refusal(caches: Caches, channel: str) -> str:
    """Return the error of a job that asks for ``channel``, or nothing."""
    try:
        caches.start_for(json.dumps({"exchange": {"channel": channel}}))
    except CacheError as error:
        return str(error)
    return ""


def test_a_server_that_hangs_is_named_and_left_to_the_jobs_that_use_it(tmp_path: Path) -> None:
    caches = Caches(20_000, tmp_path, start_wait_s=1.0)
    eventually(lambda: refusal(caches, "redis"), lambda text: text == "")
    hanging = caches.statuses()[0]
    assert hanging.pid is not None
    os.kill(hanging.pid, signal.SIGSTOP)
    assert re.search(
        rf"process {hanging.pid} on .*, does not answer; `step", refusal(caches, "redis")
    )
    os.kill(hanging.pid, signal.SIGCONT)
    eventually(lambda: refusal(caches, "redis"), lambda text: text == "")
    assert caches.statuses()[0] == hanging
    caches.close()
    assert not is_alive(hanging.pid)


def test_ports_are_the_first_free_ones_above(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        above = taken.getsockname()[1]
        made = Caches(above - 1, tmp_path)
        ports = [address(each)[1] for each in made.statuses()]
        made.close()
    assert above < ports[0] < ports[1] < ports[2] <= above + 20
    parameters = template_parameters(made.statuses(), 7)
    assert bool(parameters.pop("TorchImageUri")) == (find_spec("torch") is not None)
    assert len(parameters.pop("ParameterServerToken")) >= 32
    assert parameters == {
        "AccountConcurrency": "7",
        "TorchInstructions": "all",
        "RedisUrl": f"redis://127.0.0.1:{ports[0]}",
        "MemcachedUrl": f"memcached://127.0.0.1:{ports[1]}",
        "ParameterServerUrl": f"thrift://127.0.0.1:{ports[2]}",
    }


def test_ports_that_are_kept_are_kept_from_one_another(tmp_path: Path) -> None:
    first = Caches(20_000, tmp_path / "first")
    above = address(first.statuses()[0])[1] - 1
    second = Caches(above, tmp_path / "second")
    both = [*first.statuses(), *second.statuses()]
    assert len({address(each)[1] for each in both}) == len(both)
    for made in (first, second):  # one server's health endpoint has the other's default port
        made.start_for(f'{{"exchange":{{"channel":"{PARAMETER_SERVER}"}}}}')
    first.close()
    second.close()


def test_ports_go_on_below_the_last_one(tmp_path: Path) -> None:
    made = Caches(65535, tmp_path)
    assert all(1024 <= address(each)[1] <= 65535 for each in made.statuses())
    made.close()


def test_nothing_starts_once_they_are_closed(tmp_path: Path) -> None:
    made = Caches(20_000, tmp_path)
    made.close()
    with pytest.raises(CacheError, match="the local AWS is ending"):
        made.start_for('{"exchange": {"channel": "redis"}}')


def metric(aws: RunningAws, namespace: str, name: str, dimensions: dict[str, str]) -> float | None:
    """Return the newest value of a metric in CloudWatch."""
    now = datetime.now(UTC)
    named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    answer = aws.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=named,
        StartTime=now - timedelta(days=2),
        EndTime=now + timedelta(minutes=1),
        Period=86_400,
        Statistics=["Maximum"],
    )
    return answer["Datapoints"][-1]["Maximum"] if answer["Datapoints"] else None


def test_cloudwatch_counts_what_caches_have(aws: RunningAws) -> None:
    redis, memcached = address(started(aws, "redis")), address(started(aws, "memcached"))
    clients = [Redis(*redis), Memcached(memcached)]
    for client in clients:
        client.set("a", "x" * 5000)
        client.set("b", "y")
    ids = [{"CacheClusterId": f"{host}:{port}"} for host, port in (redis, memcached)]
    for each, bytes_name in zip(ids, ("BytesUsedForCache", "BytesUsedForCacheItems"), strict=True):
        assert metric(aws, "AWS/ElastiCache", "CurrItems", each) == 2
        assert (metric(aws, "AWS/ElastiCache", bytes_name, each) or 0) > 5000
    for client in clients:
        client.delete("a")
        client.delete("b")
        client.close()


def test_cloudwatch_counts_the_bytes_of_a_bucket(aws: RunningAws) -> None:
    bucket = f"counted-{os.urandom(4).hex()}"
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    for name in ("a", "b", "b"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"x" * 1000)
    of_bucket = {"StorageType": "StandardStorage", "BucketName": bucket}
    assert metric(aws, "AWS/S3", "BucketSizeBytes", of_bucket) == 2000
