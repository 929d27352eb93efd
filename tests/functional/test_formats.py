"""The same rows in every format, through the real state machines and functions."""

from __future__ import annotations

import gzip
import io
import struct
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from tests.support.local_stack import LocalStack

N_SAMPLES, N_FEATURES = 1200, 12


def pixels() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return rows of two classes with whole numbers, most of them 0."""
    rng = np.random.default_rng(0)
    X = rng.integers(1, 256, (N_SAMPLES, N_FEATURES)) * (rng.random((N_SAMPLES, N_FEATURES)) < 0.3)
    y = X[:, :4].sum(axis=1) > X[:, 4:8].sum(axis=1)
    return X.astype(np.uint8), y.astype(np.uint8)


def csv(X: Any, y: Any) -> dict[str, bytes]:
    lines = [",".join(map(str, [*row, label])) for row, label in zip(X, y, strict=True)]
    return {"rows.csv": ("\n".join(lines) + "\n").encode()}


def libsvm(X: Any, y: Any) -> dict[str, bytes]:
    rows = (
        " ".join([str(label), *(f"{i + 1}:{value}" for i, value in enumerate(row) if value)])
        for row, label in zip(X, y, strict=True)
    )
    return {"rows.libsvm": ("\n".join(rows) + "\n").encode()}


def npz(X: Any, y: Any) -> dict[str, bytes]:
    halves = {}
    for number, part in enumerate((slice(0, 700), slice(700, None))):
        packed = io.BytesIO()
        np.savez_compressed(packed, X=X[part], y=y[part])
        halves[f"{number}.npz"] = packed.getvalue()
    return halves


def sparse_npz(X: Any, y: Any) -> dict[str, bytes]:
    matrix, packed = scipy.sparse.csr_matrix(X), io.BytesIO()
    np.savez(
        packed,
        data=matrix.data,
        indices=matrix.indices,
        indptr=matrix.indptr,
        shape=matrix.shape,
        format=b"csr",
        y=y,
    )
    return {"rows.npz": packed.getvalue()}


def parquet(X: Any, y: Any) -> dict[str, bytes]:
    columns = {f"x{number}": column for number, column in enumerate(X.T)}
    packed = io.BytesIO()
    pq.write_table(pa.table({**columns, "label": y}), packed, row_group_size=250)
    return {"rows.parquet": packed.getvalue()}


def idx(X: Any, y: Any) -> dict[str, bytes]:
    images = struct.pack(">BBBBIII", 0, 0, 8, 3, N_SAMPLES, 3, 4) + X.tobytes()
    labels = struct.pack(">BBBBI", 0, 0, 8, 1, N_SAMPLES) + y.tobytes()
    return {
        "train-images-idx3-ubyte.gz": gzip.compress(images),
        "train-labels-idx1-ubyte.gz": gzip.compress(labels),
    }


@pytest.mark.parametrize(
    ("write", "data", "matrix"),
    [
        (csv, {"format": "csv"}, "dense"),
        (libsvm, {"format": "libsvm"}, "dense"),
        (libsvm, {"format": "libsvm", "matrix": "sparse"}, "sparse"),
        (npz, {"format": "npz"}, "dense"),
        (sparse_npz, {"format": "npz", "matrix": "sparse"}, "sparse"),
        (parquet, {"format": "parquet", "label": "label"}, "dense"),
        (idx, {"format": "idx"}, "dense"),
    ],
    ids=["csv", "libsvm", "libsvm sparse", "npz", "npz sparse", "parquet", "idx.gz"],
)
def test_a_job_learns_the_rows(
    local_stack: LocalStack,
    write: Callable[[Any, Any], dict[str, bytes]],
    data: dict[str, Any],
    matrix: str,
) -> None:
    folder = f"formats/{uuid.uuid4().hex[:8]}"
    for name, content in write(*pixels()).items():
        uri = local_stack.upload(f"{folder}/{name}", content)
    ended = local_stack.run(
        {
            "data": {"uri": f"{uri.rpartition('/')[0]}/", "standardise": True, "ranges": 3} | data,
            "workers": 2,
            "model": {"name": "logistic_regression"},
            "algorithm": {"name": "model_averaging", "learning_rate": 1.0, "batch_size": 50},
            "stop": {"max_epochs": 4},
        }
    )
    assert ended["status"] == "SUCCEEDED", ended
    report = ended["report"]
    assert report["metrics"]["accuracy"] > 0.95
    assert report["dataset"]["matrix"] == matrix
    assert report["dataset"]["training_rows"] + report["dataset"]["validation_rows"] == N_SAMPLES
