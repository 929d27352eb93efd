"""A job's channel is tried before the job begins, on real servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client

from lambdas.channels import Channels, JobChannel
from lambdas.channels.server import ServerChannel
from lambdas.channels.storage import StorageChannel
from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.addresses import TOKEN_VARIABLE, URL_VARIABLE
from ps_server.protocol.calls import JobSettings
from ps_server.protocol.refusals import MemoryExceeded
from stepml.job import keys
from stepml.job.errors import (
    NotAvailableError,
    NotEnoughServerMemoryError,
    StepMLError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from stepml.job.parse import parse_job
from stepml.job.spec import JobSpec
from storage import Storage
from storage.dynamodb import DynamoDBStorage
from storage.redis import RedisStorage
from storage.retrying import RetryingStorage
from tests.contracts.conftest import aws_client, close_clients
from tests.support.clocks import HandClock
from tests.support.jobs import Job, contents
from tests.support.parameter_servers import ParameterServerProcess, parameter_server
from tests.support.servers import redis_server

LEAST_BYTES = 32  # of a message
PREFIX = keys.exchange_prefix("job", "0123456789abcdef")


def spec(channel: str = "redis") -> JobSpec:
    return parse_job(Job().spec | {"exchange": {"channel": channel}})


def over(storage: Storage, channel: str = "redis") -> JobChannel:
    return StorageChannel(spec(channel), PREFIX, lambda: storage)


def over_server(start_s: float = 10.0) -> JobChannel:
    return ServerChannel(spec("parameter_server"), PREFIX, start_s)


def test_a_storage_is_tried_and_nothing_is_left(channel: Storage) -> None:
    channel.save(f"{PREFIX}000001/value", b"of a rank")
    over(channel).require_answer()
    assert [*channel.list("")] == [f"{PREFIX}000001/value"]


def test_what_a_killed_caller_has_left_goes_with_the_job(channel: Storage) -> None:
    channel.save(keys.probe(PREFIX), b"of a caller that was killed")
    over(channel).require_answer()
    channel.save(keys.probe(PREFIX), b"of a caller that was killed")
    over(channel).clear()
    assert [*channel.list("")] == []


def test_a_parameter_server_is_tried_and_nothing_is_left(server: ParameterServerProcess) -> None:
    over_server().require_answer()
    with server.client() as client:
        assert not client.statistics().jobs


def refuse_writes(client: Any) -> None:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")


def be_full(client: Any) -> None:
    client.config_set("maxmemory", 1)


def refuse_rights(client: Any) -> None:
    client.execute_command("ACL", "SETUSER", "default", "-set")


REFUSALS: list[tuple[Callable[[Any], None], type[StorageError], str]] = [
    (refuse_writes, StorageUnavailableError, "READONLY You can't write against a read only"),
    (be_full, StorageFullError, "OOM command not allowed .* more memory, or end other jobs"),
    (refuse_rights, StorageDeniedError, "NOPERM"),
]


@pytest.mark.parametrize(("refuse", "error", "message"), REFUSALS)
def test_a_redis_that_cannot_be_written_is_refused(
    refuse: Callable[[Any], None], error: type[StorageError], message: str, tmp_path: Path
) -> None:
    with redis_server(tmp_path) as server:
        with redis_client.Redis.from_url(server.url) as client:
            refuse(client)
        storage = RedisStorage(server.url)
        with pytest.raises(error, match=message) as caught:
            over(storage).require_answer()
        assert type(caught.value) is error
        storage.close()


def test_a_replica_is_refused_by_prepare_after_one_round_of_retries(tmp_path: Path) -> None:
    clock, job = HandClock(), Job(exchange={"channel": "redis"})
    with redis_server(tmp_path) as server:
        with redis_client.Redis.from_url(server.url) as client:
            refuse_writes(client)
        storage = RedisStorage(server.url)
        job.channels = Channels(("s3", "redis"), lambda name: RetryingStorage(storage, clock))
        with pytest.raises(NotAvailableError) as caught:
            job.prepare()
        storage.close()
    assert str(caught.value).startswith(
        "exchange.channel 'redis': the server of this deployment is a read-only replica; the "
        "stack's parameter RedisUrl must have the address of the primary (Redis at jobs/job/"
    )
    assert "READONLY You can't write" in str(caught.value)
    assert 1 < clock.now < 10
    assert contents(job.storage) == {}


def test_a_fail_over_is_waited_for(tmp_path: Path) -> None:
    job = Job(exchange={"channel": "redis"})
    with redis_server(tmp_path) as server, redis_client.Redis.from_url(server.url) as client:
        refuse_writes(client)

        class Promoting(HandClock):
            def sleep(self, seconds: float, /) -> None:
                client.execute_command("REPLICAOF", "NO", "ONE")

        storage = RedisStorage(server.url)
        job.channels = Channels(("s3", "redis"), lambda name: RetryingStorage(storage, Promoting()))
        assert job.prepare().job_id == job.job_id
        storage.close()


def test_a_table_that_is_missing_is_refused(aws_endpoint: str) -> None:
    storage = DynamoDBStorage("nowhere", aws_client("dynamodb", aws_endpoint))
    with pytest.raises(StorageError, match="ResourceNotFoundException"):
        over(storage, "dynamodb").require_answer()


def test_a_parameter_server_with_another_token_is_refused(
    server: ParameterServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "another token, long enough too")
    close_clients()
    with pytest.raises(StorageDeniedError, match="refuses the token"):
        over_server().require_answer()


def fill(client: ParameterClient) -> None:
    """Register jobs, ever smaller ones, until there is no room for the smallest."""
    message_bytes, number = 2**20, 0
    while message_bytes >= LEAST_BYTES:
        try:
            client.register(f"jobs/hog-{number}/", JobSettings(1, message_bytes))
            number += 1
        except MemoryExceeded:
            message_bytes //= 2


def test_a_parameter_server_that_is_full_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with parameter_server(tmp_path, memory_mb=1) as server:
        with server.client() as client:
            fill(client)
        monkeypatch.setenv(URL_VARIABLE, server.url("thrift"))
        monkeypatch.setenv(TOKEN_VARIABLE, server.token)
        close_clients()
        with pytest.raises(StepMLError) as caught:
            over_server().require_answer()
        assert isinstance(caught.value, NotEnoughServerMemoryError)
        close_clients()
