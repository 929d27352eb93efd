"""Rows in memory become files that a job reads."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from scipy import sparse

from stepml.client import packed_rows as module
from stepml.client.catalogues import FolderFiles
from stepml.client.packed_rows import PackedRows, packed_rows
from stepml.job.data import Data
from stepml.ml.data import Layout, plan_data

RNG = np.random.default_rng(0)
X = RNG.normal(size=(11, 3))
WORDS = np.array(["no", "yes"] * 5 + ["no"])
COLUMNS = {"age": [30, 40, None], "city": ["Bern", None, "Köln"], "member": [True, False, True]}
TABLES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "pyarrow": lambda: pa.table(COLUMNS),
    "columns": lambda: COLUMNS,
    "rows": lambda: pl.DataFrame(COLUMNS).to_dicts(),
}
SMALL_PARTS = pytest.mark.parametrize("part_bytes", [2**25, 60, 1])


def arrays(rows: PackedRows) -> list[dict[str, Any]]:
    """Return the arrays of each npz file."""
    files = [np.load(io.BytesIO(rows.file(number))) for number in range(len(rows.names))]
    return [dict(each) for each in files]


def table(rows: PackedRows) -> pa.Table:
    """Return the table in all Parquet files."""
    files = [io.BytesIO(rows.file(number)) for number in range(len(rows.names))]
    return pa.concat_tables(pyarrow.parquet.read_table(each) for each in files)


def layout(rows: PackedRows, folder: Path) -> Layout:
    """Return a job's understanding of the files."""
    (folder / "rows").mkdir()
    for number, name in enumerate(rows.names):
        (folder / "rows" / name).write_bytes(rows.file(number))
    settings = {name: each for name, each in rows.settings.items() if name != "weight"}
    data = Data(uri="s3://here/rows/", format=rows.ending[1:], missing="mean", **settings)
    return plan_data(FolderFiles(folder), "rows/", data, has_classes=True).layout


@SMALL_PARTS
@pytest.mark.parametrize("y", [None, WORDS, WORDS == "yes", np.arange(11)])
def test_arrays_are_npz_in_files_of_limited_size(
    y: Any, part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_BYTES", part_bytes)
    rows = packed_rows(X, y)
    parts = arrays(rows)
    assert [len(each["X"]) for each in parts[:-1]] == [max(1, part_bytes // 24)] * (len(parts) - 1)
    assert np.array_equal(np.concatenate([each["X"] for each in parts]), X)
    assert ("y" in parts[0]) == (y is not None)
    if y is not None:
        assert np.array_equal(np.concatenate([each["y"] for each in parts]), y)


@SMALL_PARTS
def test_sparse_rows_stay_sparse(part_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_BYTES", part_bytes)
    matrix = sparse.random_array((11, 5), density=0.3, rng=np.random.default_rng(1))
    rows = packed_rows(matrix, WORDS)
    parts = [sparse.load_npz(io.BytesIO(rows.file(number))) for number in range(len(rows.names))]
    assert np.array_equal(sparse.vstack(parts).toarray(), matrix.toarray())


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("part_bytes", [2**25, 1])
def test_tables_are_parquet(kind: str, part_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_BYTES", part_bytes)
    rows = packed_rows(TABLES[kind](), ["a", "b", "a"], [1, 2, 3])
    assert rows.settings == {"has_label": True, "weight": "weight", "label": "label"}
    expected = COLUMNS | {"weight": [1, 2, 3], "label": ["a", "b", "a"]}
    assert table(rows).to_pydict() == expected


def test_the_label_of_a_table_is_named_as_its_series_or_like_no_column() -> None:
    labels = pd.Series([1, 0, 1], name="buys")
    assert packed_rows(COLUMNS, labels).settings["label"] == "buys"
    taken = COLUMNS | {"label": [1, 2, 3]}
    assert packed_rows(taken, labels.rename("age")).settings["label"] == "label_"


@pytest.mark.parametrize(
    "given",
    [
        X,
        X[:, :2].astype(np.float32),
        np.arange(33, dtype=np.uint8).reshape(11, 3),
        X > 0,
        sparse.csr_array(X),
        sparse.dok_matrix(X),
    ],
)
def test_a_job_understands_the_files(given: Any, tmp_path: Path) -> None:
    found = layout(packed_rows(given, WORDS), tmp_path)
    assert (found.n_features, found.label_kind) == (given.shape[1], "text")


def test_images_keep_their_shape(tmp_path: Path) -> None:
    images = np.zeros((11, 4, 5), np.uint8)
    assert layout(packed_rows(images, WORDS), tmp_path).row_shape == (4, 5)


def test_the_digest_is_that_of_the_content() -> None:
    same = [X, X.copy(), np.asfortranarray(X), X.tolist()]
    digests = {packed_rows(each, WORDS).digest for each in same}
    digests |= {packed_rows(X, WORDS.astype(object)).digest}
    assert len(digests) == 1
    others = [
        packed_rows(X),
        packed_rows(X[::-1], WORDS),
        packed_rows(X.astype(np.float32), WORDS),
        packed_rows(X, np.roll(WORDS, 1)),
        packed_rows(X, np.ones(11)),
        packed_rows(X, WORDS, np.ones(11)),
        packed_rows(X, sample_weight=np.ones(11)),
        packed_rows(sparse.csr_array(X), WORDS),
    ]
    assert len({each.digest for each in others} | digests) == 1 + len(others)


SPARSE_TABLE = pd.DataFrame.sparse.from_spmatrix(sparse.eye(3, format="csr"), columns=[*"abc"])


@pytest.mark.parametrize(
    ("given", "y", "weights", "message"),
    [
        (np.zeros(3), None, None, r"X of shape \(n_samples, n_features\), got \(3,\)"),
        (np.array([["a"]]), None, None, "X of real numbers, got <U1; a table may have text"),
        (np.zeros((2, 2)) + 1j, None, None, "X of real numbers, got complex128"),
        (X, WORDS[:3], None, r"y of shape \(11,\), got \(3,\)"),
        (X, WORDS, np.ones((11, 2)), r"sample_weight of shape \(11,\), got \(11, 2\)"),
        (X, WORDS, -np.ones(11), "sample_weight of finite numbers from 0, got -1"),
        (X, WORDS, np.full(11, np.nan), "sample_weight of finite numbers from 0, got nan"),
        (X, WORDS, WORDS, "sample_weight of numbers, got <U"),
        (X, np.array([1, "a"] * 5 + [2], object), None, "y of one type, got objects of int, str"),
        (X, np.zeros(11, "M8[s]"), None, "y of numbers, text or booleans, got datetime64"),
        (pd.DataFrame({"a": [1, "b"]}), None, None, "cannot be stored as Parquet.*column a"),
        (SPARSE_TABLE, None, None, r"stored as Parquet: Sparse pandas data \(column a\)"),
        (pd.DataFrame([[1, 2]]), None, None, "names of columns that are strings, got"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), None, None, "columns that differ"),
    ],
)
def test_unsuitable_rows_are_refused(given: Any, y: Any, weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        packed_rows(given, y, weights)
