"""A job's result has the same bits on every channel, in every pattern."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from lambdas import exchanges
from storage.factory import MEMCACHED_URL_VARIABLE, REDIS_URL_VARIABLE, TABLE_VARIABLE
from tests.contracts.conftest import aws_client, emptied
from tests.unit.jobs import Job

WIDE = 40_000  # features: gradients of 160 KB are cut into chunks


@pytest.fixture(params=["s3", "redis", "memcached", "dynamodb"])
def configured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each channel, configured as in a function's environment."""
    if request.param == "dynamodb":
        configure_dynamodb(request.getfixturevalue("aws_endpoint"), monkeypatch)
    elif request.param == "redis":
        monkeypatch.setenv(REDIS_URL_VARIABLE, emptied(request, "redis_one").url)
    elif request.param == "memcached":
        monkeypatch.setenv(MEMCACHED_URL_VARIABLE, emptied(request, "memcached_one").url)
    exchanges.kept.cache_clear()
    yield request.param
    if request.param != "s3":
        exchanges.kept(request.param).close()
    exchanges.kept.cache_clear()


def configure_dynamodb(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = f"training-{uuid.uuid4().hex}"
    aws_client("dynamodb", endpoint).create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for name, value in (
        (TABLE_VARIABLE, table),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)


@cache
def wide_rows() -> bytes:
    rng = np.random.default_rng(0)
    return b"".join(
        b"%d 1:%.3f %d:1.5 %d:%.3f\n"
        % (rng.integers(2), rng.normal(), rng.integers(2, WIDE), WIDE, rng.normal())
        for _ in range(40)
    )


# By what is tried: a job's model, algorithm and data.
GRADIENTS = {"name": "gradient_averaging", "batch_size": 6}
LEARNERS: dict[str, dict[str, Any]] = {
    "gradient_averaging": {"algorithm": GRADIENTS},
    "adam": {"algorithm": GRADIENTS | {"optimiser": "adam"}},
    "model_averaging": {"algorithm": {"name": "model_averaging", "batch_size": 6}},
    "admm": {"algorithm": {"name": "admm", "local_iterations": 3}},
    "expectation_maximisation": {
        "algorithm": {"name": "expectation_maximisation"},
        "model": {"name": "kmeans", "n_clusters": 3},
    },
}


def trained(channel: str, pattern: str, learner: str, matrix: str = "auto") -> tuple[Job, bytes]:
    """Return a job after two epochs, and the bits of its state."""
    job = Job(
        data={"uri": "s3://data/rows.libsvm", "format": "libsvm", "matrix": matrix},
        exchange={"channel": channel, "pattern": pattern},
        **LEARNERS[learner],
    )
    job.data.save("rows.libsvm", wide_rows())
    job.initialised()
    job.epoch(1)
    job.epoch(2)
    return job, job.state_bits(2)


@cache
def expected(learner: str) -> bytes:
    return trained("s3", "reduce", learner)[1]


@pytest.mark.parametrize("pattern", ["reduce", "reduce_scatter"])
@pytest.mark.parametrize("learner", LEARNERS)
def test_channel_and_pattern_change_no_bit(configured: str, pattern: str, learner: str) -> None:
    job, bits = trained(configured, pattern, learner)
    assert bits == expected(learner)
    job.finalise(2)
    channel = exchanges.open_kept(configured, job.storage)
    assert [*channel.list("jobs/job/exchange/")] == []


@pytest.mark.parametrize("learner", LEARNERS)
def test_sparse_rows_are_learnt_as_dense_ones_are(learner: str) -> None:
    """But for the order of additions."""
    both = [trained("s3", "reduce", learner, matrix)[1] for matrix in ("sparse", "dense")]
    sparse, dense = (np.frombuffer(bits, np.float32) for bits in both)
    assert sparse == pytest.approx(dense, abs=1e-4)
