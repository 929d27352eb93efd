"""Functions in fresh processes: their peak memory and imports, and jobs for them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np

from comm import Message
from lambdas.channels import channel_of
from lambdas.job_store import JobStore, TrainingPlan
from stepml.job import algorithms, keys, models, spec
from stepml.job.step import Step
from stepml.ml.algorithms import State
from stepml.ml.data import Shard, pack_shard, scale_of
from stepml.ml.data.moments import Moments
from stepml.ml.data.shards import empty_dense
from stepml.ml.matrices import CsrMatrix
from stepml.ml.models import LossModel
from storage.factory import BUCKET_VARIABLE
from storage.s3 import S3Storage
from tests.support.plain_choices import plain_spec
from tests.unit.deployment.test_deployment_contract import ROOT, template

HEAVY = ("torch", "scipy", "sklearn", "pyarrow", "pandas")  # not in the functions' package
N_FEATURES = 28
WIDE, CLASSES, PAIRS, VALIDATION_ROWS = 47_000, 20, 80, 10_000

# Linux reports the peak memory of a process.
_INVOKE = r"""
import importlib, json, re, sys
from pathlib import Path

class Context:
    aws_request_id = "request"

    def get_remaining_time_in_millis(self):
        return 900_000

importlib.import_module(sys.argv[1]).handler(json.loads(sys.argv[2]), Context())
print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])
"""


BEGAN = {"attempt": "epoch-1.0", "started_at": "2026-01-02T03:04:05.678Z"}


def peak_bytes(module: str, event: dict[str, Any], bucket: str, endpoint: str) -> int:
    """Return the peak memory of a fresh process that calls the handler in ``module`` once."""
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "OPENBLAS_NUM_THREADS": "1",  # as in the template; each thread takes memory of its own
        BUCKET_VARIABLE: bucket,
    }
    command = [sys.executable, "-c", _INVOKE, module, json.dumps(event)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = re.search(r"VmHWM:\s+(\d+) kB", answer.stdout)
    assert found, answer.stdout
    return 1024 * int(found[1])


def heavy_modules() -> list[str]:
    """Return the modules of `HEAVY` that a fresh process loads with the handlers of all functions.

    The function for Parquet has pyarrow in its package, and loads it when it is called.
    """
    functions = [each.get("Properties", {}) for each in template()["Resources"].values()]
    modules = [each["Handler"].rpartition(".")[0] for each in functions if "Handler" in each]
    assert len(modules) >= 10
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(set(HEAVY) & set(listed.stdout.split()))


def store_dense(storage: S3Storage, job_id: str, shard_bytes: int) -> dict[str, Any]:
    """Store a job of logistic regression on standardised rows; return the event of its rank 0."""
    n_rows = shard_bytes // (4 * (N_FEATURES + 1))
    job = spec.JobSpec(
        data=spec.Data(uri="s3://data/rows.csv", format="csv", standardise=True),
        model=models.LogisticRegression(),
        algorithm=algorithms.ModelAveraging(batch_size=1000),
        workers=1,
    )
    plan = _plan(job, "dense", N_FEATURES, 2, [n_rows], validation_rows=0, density=1)
    ones = np.ones(N_FEATURES)
    scale = scale_of(Moments(2 * ones.astype(np.int64), ones, 4 * ones, ones - 1, ones + 1))
    storage.save(keys.scale(job_id), scale.pack())
    _save_shard(storage, plan, 0, _dense_shard(n_rows))
    _begin(storage, job_id, plan)
    return {"job_id": job_id, "epoch": 1, "rank": 0, **BEGAN}


def store_contributions(storage: S3Storage, job_id: str, world_size: int) -> dict[str, Any]:
    """Store contributions to a wide softmax regression, 4 MB each; return the reducer's event."""
    job = spec.JobSpec(
        data=spec.Data(uri="s3://data/rows.libsvm", format="libsvm"),
        model=models.SoftmaxRegression(),
        algorithm=algorithms.ModelAveraging(),
        workers=world_size,
    )
    rows = [1000] * world_size
    plan = _plan(job, "sparse", WIDE, CLASSES, rows, VALIDATION_ROWS, density=PAIRS / WIDE)
    _save_shard(storage, plan, keys.VALIDATION, _sparse_shard())
    _begin(storage, job_id, plan)
    vector = np.full(plan.model().n_parameters, 1e-3 / world_size, np.float32)
    exchange = channel_of(JobStore(storage, job_id), plan).orchestrated()
    for rank in range(world_size):
        exchange.contribute(Step(1), rank, Message(vector, np.array([1.0, 1.0])))
    executors = [{"rank": rank, "seconds": 1.0} for rank in range(world_size)]
    return {"job_id": job_id, "epoch": 1, "executors": executors, **BEGAN}


def _plan(
    job: spec.JobSpec,
    matrix: Any,
    n_features: int,
    n_labels: int,
    shard_rows: list[int],
    validation_rows: int,
    density: float,
) -> TrainingPlan:
    return TrainingPlan(
        spec=plain_spec(job),
        run="run",
        digest=f"data-{job.workers}",
        n_features=n_features,
        matrix=matrix,
        labels=[float(label) for label in range(n_labels)],
        label_counts=[1] * n_labels,
        label_name="",
        feature_names=[],
        shard_rows=shard_rows,
        validation_rows=validation_rows,
        density=density,
        skipped_rows=0,
        skipped_samples=[],
    )


def _save_shard(storage: S3Storage, plan: TrainingPlan, rank: int, shard: Shard) -> None:
    shards = JobStore(storage, "job").shards(plan.digest, plan.spec, plan.matrix)
    storage.save(shards.key(rank), pack_shard(shard))


def _begin(storage: S3Storage, job_id: str, plan: TrainingPlan) -> None:
    model = plan.model()
    assert isinstance(model, LossModel)
    store = JobStore(storage, job_id)
    store.training_plan.publish(plan)
    store.state(0).save(State(model.initial_parameters()))


def _dense_shard(n_rows: int) -> Shard:
    shard = empty_dense(n_rows, N_FEATURES)
    rng = np.random.default_rng(0)
    assert not isinstance(shard.X, CsrMatrix)
    rng.standard_normal(out=shard.X, dtype=np.float32)
    shard.y[:] = shard.X[:, 0] > 0
    return shard


def _sparse_shard() -> Shard:
    rng = np.random.default_rng(0)
    gaps = rng.integers(1, WIDE // PAIRS, (VALIDATION_ROWS, PAIRS), np.int32)
    indices = np.cumsum(gaps, axis=1, dtype=np.int32).ravel() - 1
    indptr = np.arange(0, len(indices) + 1, PAIRS)
    X = CsrMatrix(indptr, indices, np.ones(len(indices), np.float32), WIDE)
    return Shard(X, (np.arange(VALIDATION_ROWS) % CLASSES).astype(np.float32))
