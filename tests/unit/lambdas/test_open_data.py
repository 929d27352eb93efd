"""A job may leave open the format of its data, and whether they have a label."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stepml.job.errors import StepMLError
from tests.support.jobs import Job, csv_rows

KMEANS: dict[str, Any] = {
    "model": {"name": "kmeans", "n_clusters": 2},
    "algorithm": {"name": "expectation_maximisation"},
}


def job(objects: dict[str, bytes], path: str, data: dict[str, Any], **spec: Any) -> Job:
    found = Job(data={"uri": f"s3://data/{path}", **data}, **spec)
    found.data.delete("rows.csv")
    for name, content in objects.items():
        found.data.save(name, content)
    return found


def table() -> bytes:
    sink = io.BytesIO()
    n = np.arange(60.0)
    pq.write_table(pa.table({"a": n, "y": n % 2}), sink)
    return sink.getvalue()


def archive() -> bytes:
    sink = io.BytesIO()
    np.savez(sink, X=np.arange(120, dtype=np.float32).reshape(60, 2), y=np.arange(60) % 2)
    return sink.getvalue()


LIBSVM = b"".join(b"%d 1:%d\n" % (n % 2, n) for n in range(60))


@pytest.mark.parametrize(
    ("name", "content", "path", "found"),
    [
        ("rows.csv", csv_rows(), "rows.csv", "csv"),
        ("part/1.CSV", csv_rows(), "part/", "csv"),
        ("rows.tsv", csv_rows().replace(b",", b"\t"), "rows.tsv", "tsv"),
        ("rows.libsvm", LIBSVM, "rows.libsvm", "libsvm"),
        ("rows.npz", archive(), "rows.npz", "npz"),
        ("t/x.parquet", table(), "t", "parquet"),
    ],
)
def test_the_format_is_that_of_the_ending(name: str, content: bytes, path: str, found: str) -> None:
    guessed = job({name: content}, path, {})
    state = guessed.prepare()
    plan = guessed.partition_plan()
    assert plan.spec.data.format == found
    assert any(note.startswith(f"format {found}, as the names") for note in plan.notes)
    assert state.functions.partition == ("partition-parquet" if found == "parquet" else "partition")
    given = job({name: content}, path, {"format": found})
    given.prepare()
    assert given.partition_plan().digest == plan.digest
    assert given.partition_plan().spec == plan.spec


def test_a_guessed_format_gives_the_same_bits() -> None:
    bits = []
    for data in ({}, {"format": "csv"}):
        begun = job({"rows.csv": csv_rows()}, "rows.csv", data)
        begun.initialised()
        begun.epoch(1)
        bits.append(begun.state_bits(1))
    assert bits[0] == bits[1]


@pytest.mark.parametrize(
    ("names", "path", "data", "message"),
    [
        (
            ["rows"],
            "rows",
            {},
            "data.format: expected csv, tsv, parquet, libsvm, npz or idx, because",
        ),
        (["rows"], "rows", {}, "do not tell it: rows"),
        (["a/1.csv", "a/2.npz"], "a/", {}, "tell several (csv, npz): a/1.csv, a/2.npz"),
        (["rows.csv"], "other.csv", {}, "data.uri: nothing lies at s3://data/other.csv"),
        (["x.libsvm"], "x.libsvm", {"label": "y"}, "data.label: with data.format 'libsvm'"),
    ],
)
def test_what_the_names_do_not_tell_is_refused(
    names: list[str], path: str, data: dict[str, Any], message: str
) -> None:
    with pytest.raises(StepMLError) as caught:
        job(dict.fromkeys(names, csv_rows()), path, data).prepare()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "n_features", "label"),
    [
        ({}, 5, ""),
        ({"has_label": False}, 5, ""),
        ({"has_label": True}, 4, "column 5"),
        ({"label": 0}, 4, "column 1"),
        ({"label": -1}, 4, "column 5"),
    ],
)
def test_clusters_take_all_columns_unless_a_label_is_named(
    data: dict[str, Any], n_features: int, label: str
) -> None:
    begun = job({"rows.csv": csv_rows()}, "rows.csv", data, **KMEANS)
    begun.initialised()
    plan = begun.training_plan()
    assert (plan.n_features, plan.about.label) == (n_features, label)
    left_out = [note for note in plan.about.notes if "left out as the label" in note]
    assert len(left_out) == int(data == {"has_label": True})


@pytest.mark.parametrize(("name", "content"), [("x.libsvm", LIBSVM), ("x.npz", archive())])
def test_labels_that_are_no_column_stay_labels(name: str, content: bytes) -> None:
    begun = job({name: content}, name, {}, **KMEANS)
    begun.prepare()
    assert begun.partition_plan().layout.has_label


def test_a_resumed_job_reads_its_data_as_before() -> None:
    """An earlier version took the last column for the label, and its plan says so."""
    first = job({"rows.csv": csv_rows()}, "rows.csv", {"has_label": True}, **KMEANS)
    first.initialised()
    first.epoch(1)
    second = Job("second", first.storage, **first.spec | {"resume_from": "job"})
    second.data = first.data
    second.spec["data"] = {"uri": "s3://data/rows.csv"}
    second.initialised()
    assert second.training_plan().n_features == 4


@pytest.mark.parametrize(
    ("key", "missing", "older"),
    [
        ("rows.parquet", "fail", {"settings": None, "has_classes": False}),
        ("rows.csv", "mean", {"missing": "mean"}),
    ],
)
def test_a_job_of_an_earlier_version_is_resumed(
    key: str, missing: str, older: dict[str, Any]
) -> None:
    """Its plan lacks what is known from the job's settings, or has another name for it."""
    content = csv_rows() if key == "rows.csv" else table()
    first = job({key: content}, key, {"missing": missing})
    first.initialised()
    first.epoch(1)
    entry = first.store.partition_plan
    plan = entry.load()
    entry.save(msgspec.structs.replace(plan, layout=replace(plan.layout, **older)))
    second = Job("second", first.storage, **first.spec | {"resume_from": "job"})
    second.data = first.data
    second.spec["stop"] = {"max_epochs": 2}
    second.initialised()
    assert second.partition_plan().resumed_epochs == 1
