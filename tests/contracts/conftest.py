"""Every backend that a contract is held on, against a real server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from storage import DurableStorage
from storage.memory import MemoryStorage
from storage.s3 import S3Storage


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_storage(s3_endpoint: str) -> S3Storage:
    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    bucket = f"contract-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return S3Storage(bucket, client)


@pytest.fixture(params=["memory", "s3"])
def storage(request: pytest.FixtureRequest) -> DurableStorage:
    make: dict[str, Callable[[], DurableStorage]] = {
        "memory": MemoryStorage,
        "s3": lambda: request.getfixturevalue("s3_storage"),
    }
    return make[request.param]()
