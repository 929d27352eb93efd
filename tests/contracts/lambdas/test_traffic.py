"""The requests and bytes that a function counts are those that its services see."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import redis
from msgspec.structs import astuple

from lambdas.channels.storage import cached_channel
from stepml.job.channels import PARAMETER_SERVER
from stepml.job.packed_times import unpack_times
from stepml.job.parts import Traffic
from storage.s3 import S3Storage
from tests.support.jobs import Job
from tests.support.parameter_servers import ParameterServerProcess
from tests.support.servers import HOST, Server

PROTOCOL_BYTES = 1000  # of a request or an answer, with the key and the commands that wake waiters


def initialised(channel: str, **more: Any) -> Job:
    job = Job(exchange={"channel": channel}, workers=2, **more)
    job.initialised()
    return job


def traffic_of_rank(job: Job, service: str) -> Traffic:
    """Train rank 0 alone, which contributes; return what it has counted."""
    result = job.execute(1, 0)
    times = unpack_times(result.times, "rank", 0, result.cost_usd, job.spec["exchange"]["channel"])
    assert times is not None
    return times.traffic[service]


class Requests:
    """Counts the requests that a client of boto3 sends."""

    def __init__(self, client: Any) -> None:
        self.count = 0
        client.meta.events.register("before-send", self._count)

    def _count(self, **_: Any) -> None:
        self.count += 1


def memcached_stats(server: Server) -> dict[str, int]:
    with socket.create_connection((HOST, server.processes[0].port)) as connection:
        connection.sendall(b"stats\r\n")
        text = b""
        while not text.endswith(b"END\r\n"):
            text += connection.recv(65536)
    pairs = (line.split()[1:] for line in text.decode().splitlines()[:-1])
    return {name: int(value) for name, value in pairs if value.isdecimal()}


def test_s3_sees_the_requests(s3_storage: S3Storage) -> None:
    job = initialised("s3", storage=s3_storage)
    seen = Requests(s3_storage._client)
    traffic = traffic_of_rank(job, "s3")
    assert traffic.requests == seen.count
    assert traffic.sent_bytes > 0
    assert traffic.received_bytes > 0


@pytest.mark.parametrize("configured", ["dynamodb"], indirect=True)
def test_dynamodb_sees_the_requests(configured: str) -> None:
    job = initialised(configured)
    storage: Any = cached_channel(configured)
    while not hasattr(storage, "_client"):
        storage = storage.inner
    seen = Requests(storage._client)
    assert traffic_of_rank(job, configured).requests == seen.count


@pytest.mark.parametrize("configured", ["redis"], indirect=True)
def test_redis_sees_the_requests_and_bytes(configured: str, redis_one: Server) -> None:
    job = initialised(configured)
    with redis.Redis.from_url(redis_one.url) as client:

        def seen() -> tuple[int, int, int]:
            commands: Any = client.info("commandstats")
            stats: Any = client.info("stats")
            calls = sum(
                commands.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("get", "set")
            )
            return calls, stats["total_net_input_bytes"], stats["total_net_output_bytes"]

        before = seen()
        traffic = traffic_of_rank(job, configured)
        requests, *n_bytes = (now - then for now, then in zip(seen(), before, strict=True))
    assert traffic.requests == requests
    own = 20 * PROTOCOL_BYTES  # of `seen`
    for counted, at_server in zip(astuple(traffic)[1:], n_bytes, strict=True):
        assert counted <= at_server <= counted + own + PROTOCOL_BYTES * traffic.requests


@pytest.mark.parametrize("configured", ["memcached"], indirect=True)
def test_memcached_sees_the_bytes(configured: str, memcached_one: Server) -> None:
    job = initialised(configured)
    before = memcached_stats(memcached_one)
    traffic = traffic_of_rank(job, configured)
    after = memcached_stats(memcached_one)
    read = after["bytes_read"] - before["bytes_read"]
    assert traffic.sent_bytes <= read <= traffic.sent_bytes + PROTOCOL_BYTES * traffic.requests
    assert traffic.requests == 2  # a look for an earlier contribution, and the new one


def test_a_parameter_server_sees_the_bytes(server: ParameterServerProcess) -> None:
    job = initialised(PARAMETER_SERVER)
    traffic = traffic_of_rank(job, PARAMETER_SERVER)
    with server.client() as client:
        (statistics,) = client.statistics().jobs
    assert traffic.sent_bytes == statistics.received_bytes
    assert traffic.requests == 3  # a look, a registration and a push
    assert statistics.pushes == 1
