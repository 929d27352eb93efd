"""The peak memory of functions, and the modules that they load."""

from __future__ import annotations

import sys

import pytest

from storage.s3 import S3Storage
from tests.support.fresh_functions import (
    heavy_modules,
    peak_bytes,
    store_contributions,
    store_dense,
)

SHARD_BYTES = 100 * 10**6
WINDOW_BYTES = 16 * 2**20  # of contributions that a reducer loads concurrently

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")


@on_linux
def test_an_executor_holds_its_shard_once(s3_storage: S3Storage, aws_endpoint: str) -> None:
    event = store_dense(s3_storage, "job", SHARD_BYTES)
    peak = peak_bytes("lambdas.executor", event, s3_storage.bucket, aws_endpoint)
    assert peak <= 1.3 * SHARD_BYTES + 110e6


@on_linux
def test_a_reducer_holds_a_window_of_contributions(
    s3_storage: S3Storage, aws_endpoint: str
) -> None:
    few, many = (
        peak_bytes(
            "lambdas.reducer",
            store_contributions(s3_storage, f"job-{world_size}", world_size),
            s3_storage.bucket,
            aws_endpoint,
        )
        for world_size in (2, 16)
    )
    # Twice, because the memory of concurrent requests varies. All contributions would be 64 MB.
    assert many <= few + 2 * WINDOW_BYTES


def test_handlers_load_nothing_that_their_package_lacks() -> None:
    assert heavy_modules() == []
