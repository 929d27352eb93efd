"""A function that loads a shard holds it once, and at most 110 MB more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from stepml.ml.data import Shard, arrays, pack_shard, scale_of
from stepml.ml.data.moments import Moments
from stepml.ml.matrices import CsrMatrix, Matrix
from storage.s3 import S3Storage

SHARD_BYTES = 128 * 2**20
N_FEATURES = 50

# Like `lambdas.job_store.shards`; Linux reports the process's peak memory.
LOADER = """
import re, sys
from pathlib import Path
from stepml.ml.data import Scale, unpack_shard
from storage.s3 import S3Storage

storage = S3Storage(sys.argv[1])
shard = unpack_shard(storage.load_buffer("shard"), Scale.unpack(storage.load("scale")))
assert shard.y[-1] == 1
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def dense() -> Matrix:
    X = np.ones((SHARD_BYTES // (4 * N_FEATURES), N_FEATURES), np.float32)
    X[::7, 3] = np.nan
    return X


def sparse() -> Matrix:
    n_pairs = 20
    n = SHARD_BYTES // (8 * n_pairs + 8)
    indices = np.tile(np.arange(0, 2 * n_pairs, 2, dtype=np.int32), n)
    indptr = np.arange(0, len(indices) + 1, n_pairs)
    return CsrMatrix(indptr, indices, np.ones(len(indices), np.float32), N_FEATURES)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
@pytest.mark.parametrize("make", [dense, sparse])
def test_a_shard_is_loaded_and_scaled_in_its_own_memory(
    s3_storage: S3Storage, aws_endpoint: str, make: Callable[[], Matrix]
) -> None:
    X = make()
    ones = np.ones(N_FEATURES)
    scale = scale_of(
        Moments(ones.astype(np.int64), ones, 4 * ones, ones - 1, ones + 1), sparse=make is sparse
    )
    packed = pack_shard(Shard(X, np.ones(len(X), np.float32)))
    s3_storage.save_many({"shard": packed, "scale": scale.pack()})
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": aws_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-c", LOADER, s3_storage.bucket]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(answer.stdout) * 1024 <= 1.3 * len(packed) + 110e6
    assert arrays.header(packed).value_bytes >= 0.99 * SHARD_BYTES
