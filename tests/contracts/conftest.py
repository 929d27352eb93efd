"""The backends under contract, on real servers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from lambdas.channels import server as server_channel
from lambdas.channels.storage import cached_channel
from ps_server.protocol.addresses import TOKEN_VARIABLE, URL_VARIABLE
from stepml.job.channels import CHANNELS as SERVICES
from stepml.local import items, objects
from storage import Storage
from storage.blocks import BlockStorage
from storage.dynamodb import DynamoDBStorage
from storage.memcached import MemcachedStorage
from storage.redis import RedisStorage
from storage.retrying import RetryingStorage
from storage.s3 import S3Storage
from storage.testing.memory import MemoryStorage
from tests.support.harness import Harness, OverServer, OverStorage
from tests.support.moto_server import moto_server
from tests.support.parameter_servers import ParameterServerProcess, parameter_server
from tests.support.servers import Server, memcached_server, redis_server

Make = Callable[[pytest.FixtureRequest], Storage]
DAY_S = 86_400
SMALL_BLOCKS = 100_000  # bytes, so that values of 1 MB have several blocks


def memory(_: pytest.FixtureRequest) -> Storage:
    return MemoryStorage()


def s3(request: pytest.FixtureRequest) -> S3Storage:
    client = aws_client("s3", request.getfixturevalue("aws_endpoint"))
    bucket = f"contract-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return S3Storage(bucket, client)


def dynamodb(request: pytest.FixtureRequest, expiry_s: int = DAY_S) -> DynamoDBStorage:
    client = aws_client("dynamodb", request.getfixturevalue("aws_endpoint"))
    table = f"contract-{uuid.uuid4().hex}"
    client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return DynamoDBStorage(table, client, expiry_s)


def redis(
    request: pytest.FixtureRequest, server: str = "redis_one", expiry_s: int = DAY_S
) -> RedisStorage:
    return RedisStorage(emptied(request, server).url, expiry_s=expiry_s)


def memcached(
    request: pytest.FixtureRequest, server: str = "memcached_one", expiry_s: int = DAY_S
) -> MemcachedStorage:
    return MemcachedStorage(emptied(request, server).url, expiry_s=expiry_s)


STORES: dict[str, Make] = {
    "memory": memory,
    "memory-blocks": lambda request: BlockStorage(memory(request), SMALL_BLOCKS),
    "s3": s3,
    "dynamodb": dynamodb,
    "dynamodb-blocks": lambda request: BlockStorage(dynamodb(request)),
    "redis": redis,
    "redis-blocks": lambda request: BlockStorage(redis(request)),
    "redis-cluster": lambda request: redis(request, "redis_cluster"),
    "redis-cluster-blocks": lambda request: BlockStorage(redis(request, "redis_cluster")),
    "memcached": memcached,
    "memcached-blocks": lambda request: BlockStorage(memcached(request)),
    "memcached-two-blocks": lambda request: BlockStorage(memcached(request, "memcached_two")),
}
CHANNELS: dict[str, Make] = {
    "memory": memory,
    "s3": s3,
    "dynamodb": lambda request: BlockStorage(RetryingStorage(dynamodb(request))),
    "redis": lambda request: BlockStorage(RetryingStorage(redis(request))),
    "memcached": lambda request: BlockStorage(RetryingStorage(memcached(request))),
}
DURABLE = ["memory", "s3"]
TRANSPORTS = ["thrift", "grpc"]  # of a parameter server, which is not a storage
SHORT_LIVED: dict[str, Make] = {
    "dynamodb": lambda request: dynamodb(request, expiry_s=1),
    "redis": lambda request: redis(request, expiry_s=1),
    "redis-blocks": lambda request: BlockStorage(redis(request, expiry_s=1)),
    "memcached": lambda request: memcached(request, expiry_s=1),
    "memcached-blocks": lambda request: BlockStorage(memcached(request, expiry_s=1)),
}


@pytest.fixture(params=[*STORES])
def storage(request: pytest.FixtureRequest) -> Iterator[Storage]:
    """Each backend, empty."""
    yield from closing(STORES[request.param](request))


@pytest.fixture(params=[*CHANNELS])
def channel(request: pytest.FixtureRequest) -> Iterator[Storage]:
    """Each storage with the wrappers of a job's channel, empty."""
    yield from closing(CHANNELS[request.param](request))


@pytest.fixture(params=[*CHANNELS, *TRANSPORTS])
def exchanges(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """Each channel of a job, empty, with the exchanges over it."""
    if request.param in TRANSPORTS:
        yield from over_server(request, request.param)
        return
    for storage in closing(CHANNELS[request.param](request)):
        yield OverStorage(storage, request.param)


@pytest.fixture(params=TRANSPORTS)
def server_exchanges(request: pytest.FixtureRequest) -> Iterator[OverServer]:
    """The exchanges over a parameter server, by each transport; a test may kill the server."""
    yield from over_server(request, request.param)


def over_server(request: pytest.FixtureRequest, transport: str) -> Iterator[OverServer]:
    server = request.getfixturevalue("parameter_server_one")
    server.start()
    harness = OverServer(server, transport)
    yield harness
    harness.close()


@pytest.fixture
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ParameterServerProcess]:
    """A parameter server, configured as in a function's environment; a test may kill it."""
    server: ParameterServerProcess = request.getfixturevalue("parameter_server_one")
    server.start()
    with server.client() as client:
        client.delete("jobs/")
    yield from configured_for(server, monkeypatch)


@pytest.fixture
def snapshotting_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ParameterServerProcess]:
    """A server of the test's own; it saves its state when it is stopped, otherwise rarely."""
    places = {"snapshots": tmp_path / "snapshots", "snapshot_seconds": 3600}
    with parameter_server(tmp_path, **places) as server:
        yield from configured_for(server, monkeypatch)


def configured_for(
    server: ParameterServerProcess, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ParameterServerProcess]:
    monkeypatch.setenv(URL_VARIABLE, server.url("thrift"))
    monkeypatch.setenv(TOKEN_VARIABLE, server.token)
    yield server
    close_clients()


def close_clients() -> None:
    """Close the connections that functions in this process have cached."""
    while server_channel._clients:
        server_channel._clients.popitem()[1].close()


@pytest.fixture(params=["s3", "redis", "memcached", "dynamodb"])
def configured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each channel, configured as in a function's environment."""
    if request.param == "dynamodb":
        configure_dynamodb(request.getfixturevalue("aws_endpoint"), monkeypatch)
    elif request.param == "redis":
        monkeypatch.setenv(SERVICES["redis"].variable, emptied(request, "redis_one").url)
    elif request.param == "memcached":
        monkeypatch.setenv(SERVICES["memcached"].variable, emptied(request, "memcached_one").url)
    cached_channel.cache_clear()
    yield request.param
    if request.param != "s3":
        cached_channel(request.param).close()
    cached_channel.cache_clear()


def configure_dynamodb(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = f"training-{uuid.uuid4().hex}"
    aws_client("dynamodb", endpoint).create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for name, value in (
        (SERVICES["dynamodb"].variable, table),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)


@pytest.fixture(params=DURABLE)
def durable(request: pytest.FixtureRequest) -> Iterator[Storage]:
    """Each `DurableStorage`, empty."""
    yield from closing(STORES[request.param](request))


@pytest.fixture(params=[*SHORT_LIVED])
def short_lived(request: pytest.FixtureRequest) -> Iterator[Storage]:
    """Each backend with expiry, after a second."""
    yield from closing(SHORT_LIVED[request.param](request))


@pytest.fixture(params=[name for name in STORES if name.endswith("-blocks")])
def blocks(request: pytest.FixtureRequest) -> Iterator[Storage]:
    """Each backend in blocks, empty."""
    yield from closing(STORES[request.param](request))


@pytest.fixture
def s3_storage(request: pytest.FixtureRequest) -> S3Storage:
    return s3(request)


@pytest.fixture
def dynamodb_storage(request: pytest.FixtureRequest) -> DynamoDBStorage:
    return dynamodb(request)


@pytest.fixture(scope="module")
def aws_endpoint() -> Iterator[str]:
    """moto with atomic conditional writes and reads of whole values, as in the local AWS."""
    with pytest.MonkeyPatch.context() as patch, moto_server() as endpoint_url:
        for seam in (*items.seams, *objects.seams):
            patch.setattr(seam.owner, seam.name, seam.kind(seam.replacement))
        yield endpoint_url


@pytest.fixture(scope="session")
def redis_one(directory: Path) -> Iterator[Server]:
    with redis_server(directory) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(directory: Path) -> Iterator[Server]:
    with redis_server(directory, cluster=True) as server:
        yield server


@pytest.fixture(scope="session")
def parameter_server_one(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ParameterServerProcess]:
    directory = tmp_path_factory.mktemp("parameter-server")
    with parameter_server(directory, transports=TRANSPORTS) as server:
        yield server


@pytest.fixture(scope="session")
def memcached_one() -> Iterator[Server]:
    with memcached_server() as server:
        yield server


@pytest.fixture(scope="session")
def memcached_two() -> Iterator[Server]:
    with memcached_server(nodes=2) as server:
        yield server


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


def emptied(request: pytest.FixtureRequest, name: str) -> Server:
    """Return the session's server of that name, emptied."""
    server: Server = request.getfixturevalue(name)
    server.flush()
    return server


def closing(storage: Storage) -> Iterator[Storage]:
    yield storage
    storage.close()


def aws_client(service: Any, endpoint: str, **settings: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(max_pool_connections=16, **settings),
    )
