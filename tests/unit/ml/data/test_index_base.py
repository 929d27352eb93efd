"""Indices of libsvm count from 0 or 1: as the job says, or as the first rows show."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from stepml.job.errors import BadRowError, InvalidJobError
from stepml.job.parse import parse_job
from stepml.ml.data.manifest import Manifest
from stepml.ml.data.sniff import sniff
from stepml.ml.data.source_format import SourceFormat
from tests.support.data_sets import MemoryObjects, all_shards, described, partition
from tests.support.jobs import Job

SVM: dict[str, Any] = {"uri": "s3://data/rows.svm", "format": "libsvm"}


def dumped(n_rows: int, *, zero_based: bool, **options: Any) -> bytes:
    datasets = pytest.importorskip("sklearn.datasets")
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n_rows, 6)) * (rng.random((n_rows, 6)) < 0.5)
    file = io.BytesIO()
    datasets.dump_svmlight_file(
        X, rng.integers(2, size=n_rows), file, zero_based=zero_based, **options
    )
    return file.getvalue()


def read(text: bytes, n_ranges: int = 1, **options: Any) -> tuple[Manifest, list[bytes]]:
    store = MemoryObjects(x=text)
    manifest = partition(store, n_ranges, format="libsvm", **options)
    shards = all_shards(store, manifest, 2)
    return manifest, [np.asarray(each.X).tobytes() + each.y.tobytes() for each in shards]


@pytest.mark.parametrize("zero_based", ["auto", True])
def test_what_scikit_learn_dumps_is_read_as_if_it_counted_from_1(zero_based: Any) -> None:
    manifest, from_1 = read(dumped(40, zero_based=False), n_features=6)
    assert manifest.n_features == 6
    assert not manifest.layout.zero_based
    for options in ({}, {"n_features": 6}):
        manifest, from_0 = read(dumped(40, zero_based=True), zero_based=zero_based, **options)
        assert manifest.n_features == 6
        assert manifest.layout.zero_based
        # The offsets of rows differ, so the rows are shuffled in another way.
        assert sorted(map(len, from_0)) == sorted(map(len, from_1))


def test_the_pairs_are_those_of_the_same_rows_from_1() -> None:
    rows = b"1 1:2 3:4\n0 2:5\n" * 20
    same = b"1 0:2 2:4\n0 1:5\n" * 20
    for n_ranges in (1, 3):
        assert read(same, n_ranges)[1] == read(rows, n_ranges)[1]


@pytest.mark.parametrize(
    ("text", "n_features", "zero_based"),
    [
        (b"1 1:1\n0 0:1\n", None, True),
        (b"1 1:1\n0\t00:1\n", None, True),
        (b"1 1:1\n0 2:1 # 0:1\n", None, False),
        (b"1 1:1\n0 10:1\n", 20, False),
        (b"1 1:1\n0 2:0:1\n", None, False),
        (b"1 3:1\n0 0:1\n", 3, True),
        (b"1 1:1 2:1\n" * 20_000 + b"0 0:1\n", None, True),  # behind the first 64 KB
        (b"1 1:1 2:1\n" * 900_000 + b"0 0:1\n", None, False),  # behind the first 8 MB
    ],
)
def test_the_first_rows_show_the_first_index(
    text: bytes, n_features: int | None, zero_based: bool
) -> None:
    store = MemoryObjects(x=text)
    found = sniff(store, described(store), SourceFormat("libsvm", n_features=n_features))
    assert found.zero_based is zero_based


def test_the_number_of_features_as_an_index_ends_the_search() -> None:
    store = MemoryObjects(x=b"1 3:1\n" * 2_000_000)
    sniff(store, described(store), SourceFormat("libsvm", n_features=3))
    assert store.read_bytes < 2**21


@pytest.mark.parametrize("on_bad_row", ["fail", "skip"])
def test_index_0_in_later_rows_is_refused_even_if_bad_rows_are_skipped(on_bad_row: str) -> None:
    text = b"1 1:1 2:1\nbad\n" * 3 + b"0 0:1 2:3\n"
    with pytest.raises(BadRowError) as caught:
        read(text.replace(b"bad\n", b""), zero_based=False, on_bad_row=on_bad_row)
    assert str(caught.value) == (
        "s3 object x, line 4: the pair '0:1' has index 0: indices count from 1, unless "
        "data.zero_based is true: '0 0:1 2:3'"
    )
    if on_bad_row == "skip":
        with pytest.raises(BadRowError, match=r"line 7: .* data.zero_based"):
            read(text, zero_based=False, on_bad_row=on_bad_row)


def test_an_index_beyond_the_last_is_named_as_the_file_counts() -> None:
    with pytest.raises(BadRowError, match="index above 2, the last one of n_features 3"):
        read(b"1 0:1 3:1\n", n_features=3)


@pytest.mark.parametrize("blank", [b" ", b"\t", b"  "])
def test_queries_are_left_out(blank: bytes) -> None:
    rows = b"1 1:2 3:4\n0 2:5\n1\n" * 20
    queries = (
        rows.replace(b"1 1:", b"1 qid:7 1:").replace(b"0 2", b"0 qid:8 2").replace(b" ", blank)
    )
    manifest, _ = read(queries + b"2 qid:9\n")
    assert (manifest.n_rows, manifest.n_features, manifest.nnz) == (61, 3, 60)
    assert manifest.labels == (0, 1, 2)


def prepared(text: bytes, **data: Any) -> tuple[Any, list[str]]:
    job = Job(data=SVM | data)
    job.data.save("rows.svm", text)
    job.partitioned()
    plan = job.partition_plan()
    return plan.spec.data.zero_based, plan.notes


def test_the_job_has_the_decision_and_says_so() -> None:
    from_0, from_1 = b"1 0:2 2:4\n0 1:5\n" * 20, b"1 1:2 3:4\n0 2:5\n" * 20
    said = "indices count from 0, as one of the first rows has index 0"
    assert prepared(from_0) == (True, [f"{said}; data.zero_based is true"])
    assert prepared(from_1) == (False, [])
    assert prepared(from_1, zero_based=True) == (True, [])
    queries = from_1.replace(b"1 1", b"1 qid:3 1")
    assert prepared(queries) == (False, ["the queries of rows (qid) are left out"])


def test_without_indices_the_field_is_refused() -> None:
    with pytest.raises(InvalidJobError, match=r"data.zero_based true: requires .* libsvm, got"):
        parse_job(
            {
                "data": {"uri": "s3://bucket/x.csv", "format": "csv", "zero_based": True},
                "model": {"name": "logistic_regression"},
            }
        )
