"""Weights follow their rows from every format into the shards, and bad ones are refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from stepml.job.errors import BadRowError, InvalidDataError
from stepml.ml.data import (
    Shard,
    SourceFormat,
    dataset_digest,
    feature_moments,
    merge_moments,
    pack_shard,
    sniff,
    unpack_shard,
)
from stepml.ml.data.ranks import Ranked
from stepml.ml.matrices import CsrMatrix, dense
from tests.support.data_sets import MemoryObjects, all_shards, described, partition

N = 300
NUMBERS = np.arange(N)
WEIGHTS = (NUMBERS % 7) / 4  # of a row, by its first feature

DIGESTS = ["aa01664e125920633df02c83180a35ee", "d79921037f2e386c4bf54bb81e5ec273"]


def columns() -> dict[str, Any]:
    return {"a": NUMBERS + 1, "w": WEIGHTS, "b": NUMBERS % 5, "y": NUMBERS % 2}


def text(cells: dict[str, Any]) -> bytes:
    rows = zip(*cells.values(), strict=True)
    return "\n".join([",".join(cells), *(",".join(map(str, row)) for row in rows), ""]).encode()


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns()), file, row_group_size=70)
    return file.getvalue()


def npz(*, is_csr: bool) -> bytes:
    file, cells = io.BytesIO(), columns()
    X = np.stack([cells["a"], cells["b"]], axis=1).astype(np.float32)
    if is_csr:
        found = sparse.csr_matrix(X)
        parts = {"data": found.data, "indices": found.indices, "indptr": found.indptr}
        arrays: dict[str, Any] = {**parts, "shape": X.shape, "format": b"csr"}
    else:
        arrays = {"X": X}
    np.savez(file, y=cells["y"], w=cells["w"], **arrays)
    return file.getvalue()


OBJECTS = {
    "numbers": ("csv", lambda: text(columns())),
    "categories": ("csv", lambda: text({"c": np.array([*"xyz"])[NUMBERS % 3], **columns()})),
    "parquet": ("parquet", parquet),
    "dense npz": ("npz", lambda: npz(is_csr=False)),
    "sparse npz": ("npz", lambda: npz(is_csr=True)),
}


def store_of(content: bytes) -> MemoryObjects:
    return MemoryObjects(x=content)


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "dense") for name in OBJECTS), ("categories", "sparse"), ("sparse npz", "sparse")],
)
def test_each_row_has_its_weight_in_the_shards(name: str, kind: Any) -> None:
    data_format, content = OBJECTS[name]
    packed = []
    for n_ranges in (1, 3):
        store = store_of(content())
        manifest = partition(store, n_ranges, format=data_format, weight="w", piece_bytes=900)
        shards = all_shards(store, manifest, 2, kind=kind)
        packed.append([bytes(pack_shard(shard)) for shard in shards])
        assert manifest.weight_ends == (0, 1.5)
        width = 2 + 3 * (name == "categories")
        assert manifest.n_features == width
    assert packed[0] == packed[1]
    seen = [unpack_shard(each) for each in packed[0]]
    place = width - 2
    for shard in seen:
        assert shard.weights is not None
        numbers = dense(shard.X)[:, place].astype(int) - 1
        np.testing.assert_array_equal(shard.weights, WEIGHTS[numbers].astype(np.float32))
    assert sum(len(shard.y) for shard in seen) == N


def test_a_column_may_be_named_by_its_index() -> None:
    cells = columns()
    lines = text({name: cells[name] for name in ("w", "a", "b", "y")}).split(b"\n", 1)[1]
    for weight, order in ((0, 0), (-4, 0)):
        store = store_of(lines)
        manifest = partition(store, 1, format="csv", weight=weight, header=False)
        assert (manifest.layout.weight_column, manifest.n_features) == (order, 2)


@pytest.mark.parametrize("is_general", [False, True])
@pytest.mark.parametrize("weight", ["-1", "nan", "", "inf", "1e39", "x"])
def test_bad_weights_are_bad_rows(weight: str, is_general: bool) -> None:
    cells = {"c": np.array([*"xyz"])[NUMBERS % 3], **columns()} if is_general else columns()
    content = text(cells) + ("x," * is_general + f"9,{weight},1,0\n").encode()
    with pytest.raises(BadRowError, match=rf"line {N + 2}: column {2 + is_general} \('w'\)"):
        partition(store_of(content), 1, format="csv", weight="w")
    manifest = partition(store_of(content), 1, format="csv", weight="w", on_bad_row="skip")
    assert (manifest.n_rows, manifest.skipped_rows) == (N, 1)


@pytest.mark.parametrize("data_format", ["parquet", "npz"])
def test_bad_weights_of_arrays_are_bad_rows(data_format: str) -> None:
    file, weights = io.BytesIO(), WEIGHTS.copy()
    weights[17] = -2
    if data_format == "npz":
        np.savez(file, X=NUMBERS[:, None], y=NUMBERS % 2, w=weights)
    else:
        pq.write_table(pa.table({**columns(), "w": weights}), file)
    content = file.getvalue()
    with pytest.raises(BadRowError, match=r"row 17 \(from 0\): .* is -2, expected a weight"):
        partition(store_of(content), 1, format=data_format, weight="w")
    skipping = partition(store_of(content), 1, format=data_format, weight="w", on_bad_row="skip")
    assert skipping.skipped_rows == 1


def test_impossible_columns_and_arrays_are_refused() -> None:
    cases: list[tuple[str, bytes, dict[str, Any], str]] = [
        ("csv", text(columns()), {"weight": "v"}, "data.weight is 'v', which is none of"),
        ("csv", text(columns()), {"weight": "y"}, "data.label: expected another column"),
        (
            "csv",
            text(columns()),
            {"weight": "a", "validates": "a"},
            "data.weight: expected another",
        ),
        (
            "csv",
            text(columns()),
            {"weight": "w", "n_features": 3},
            "n_features is 3, but s3 object x has 2 columns of features$",
        ),
        ("parquet", parquet(), {"weight": 9}, "data.weight is 9, but .* has 4 columns"),
        ("npz", npz(is_csr=False), {"weight": "v"}, "data.weight: .* has no array 'v'"),
        ("npz", npz(is_csr=False), {"weight": "X"}, r"data.weight: real numbers of shape \(300,\)"),
    ]
    for data_format, content, asked, message in cases:
        with pytest.raises(InvalidDataError, match=message):
            partition(store_of(content), 1, format=data_format, **asked)
    file = io.BytesIO()
    pq.write_table(pa.table({**columns(), "w": ["heavy"] * N}), file)
    with pytest.raises(InvalidDataError, match=r"data.weight: column 2 \('w'\) .* of type string"):
        partition(store_of(file.getvalue()), 1, format="parquet", weight="w")


def test_data_without_weights_are_partitioned_as_before() -> None:
    """The digests are those of a version that knew no weights."""
    cells = {"a": NUMBERS, "b": NUMBERS * 7 % 11, "c": NUMBERS % 3, "y": NUMBERS % 2}
    digests = []
    for each in ({**cells, "c": np.array([*"xyz"])[NUMBERS % 3]}, cells):
        store = store_of(text(each))
        layout = sniff(store, described(store), SourceFormat("csv"))
        digests.append(dataset_digest(described(store), layout, 3))
        assert all(
            shard.weights is None for shard in all_shards(store, partition(store, format="csv"), 2)
        )
    assert digests == DIGESTS
    store = store_of(text(columns()))
    weighted = sniff(store, described(store), SourceFormat("csv", weight="w"))
    assert dataset_digest(described(store), weighted, 3) not in digests


def test_moments_are_those_of_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4)).astype(np.float32) * [1, 10, 0, 1] + 5
    X = X.astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    X[rng.random(X.shape) < 0.3] = 0
    times = rng.integers(0, 3, N)
    weights = times.astype(np.float32) / 8
    repeated = feature_moments(np.repeat(X, times, axis=0))
    found = sparse.csr_matrix(X)
    csr = CsrMatrix(found.indptr.astype(np.int64), found.indices, found.data, 4, block_pairs=100)
    for matrix in (X, csr):
        parts = [feature_moments(matrix[p], None, weights[p]) for p in (slice(90), slice(90, N))]
        moments = merge_moments(parts).in_rows(int(times.sum()))
        for name in ("n", "mean", "m2", "low", "high"):
            expected = getattr(repeated, name)
            np.testing.assert_allclose(getattr(moments, name), expected, rtol=1e-6, atol=1e-9)
    nothing = feature_moments(X, None, np.zeros(N, np.float32))
    assert not nothing.n.any()


def test_a_shard_keeps_its_weights_when_it_is_packed() -> None:
    X = np.ones((3, 2), np.float32)
    shard = Shard(X, np.zeros(3, np.float32), weights=np.array([0, 1, 2], np.float32))
    found = unpack_shard(pack_shard(shard))
    assert found.weights is not None
    assert found.weights.tolist() == [0, 1, 2]
    assert found.value_bytes >= shard.value_bytes


@pytest.mark.parametrize("is_sparse", [False, True])
def test_quantiles_are_those_of_repeated_rows(is_sparse: bool) -> None:
    rng = np.random.default_rng(1)
    X = np.round(rng.normal(size=(2000, 3)), 1).astype(np.float32)
    X[:, 2] = rng.random(2000) < 0.7
    times = np.where(X[:, 0] > 0, 3, rng.integers(0, 2, 2000))
    found = sparse.csr_matrix(X)
    csr = CsrMatrix(found.indptr.astype(np.int64), found.indices, found.data, 3)
    weights = times.astype(np.float32) / 7
    ranked = Ranked.of(Shard(csr if is_sparse else X, np.zeros(2000, np.float32), weights=weights))
    repeated = np.repeat(X, times, axis=0)
    for share in (0.25, 0.5, 0.75):
        expected = np.quantile(repeated, share, axis=0)
        np.testing.assert_allclose(ranked.quantile(share), expected, atol=0.101)
    assert ranked.most_frequent()[2] == 1
