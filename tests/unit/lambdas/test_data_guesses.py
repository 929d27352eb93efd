"""Facts about data are said or asked for: a header, an index, a label, columns of a path."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stepml.job.errors import DataNotFoundError, StepMLError
from tests.support.jobs import Job

RNG = np.random.default_rng(4)
X = RNG.normal(size=(60, 2))
Y = (X.sum(axis=1) > 0).astype(int)
KMEANS = {
    "model": {"name": "kmeans", "n_clusters": 2},
    "algorithm": {"name": "expectation_maximisation"},
}


def text(header: str | None, *columns: Sequence[Any], delimiter: str = ",") -> bytes:
    lines = [delimiter.join(map(str, row)) for row in zip(*columns, strict=True)]
    head = [] if header is None else [header.replace(",", delimiter)]
    return "\n".join([*head, *lines, ""]).encode()


def reals(*columns: int) -> list[list[float]]:
    return [X[:, column].tolist() for column in columns]


def job(content: bytes, data: dict[str, Any] | None = None, **spec: Any) -> Job:
    found = Job(**spec)
    found.spec["data"] = {"uri": "s3://data/rows.csv", "format": "csv"} | (data or {})
    found.data.save("rows.csv", content)
    return found


def refusal(refused: Job) -> str:
    with pytest.raises(StepMLError) as caught:
        refused.partitioned()
    return f"{type(caught.value).__name__}: {caught.value}"


def partitioned(begun: Job) -> tuple[int, int, list[str]]:
    begun.partitioned()
    plan = begun.partition_plan()
    manifest = begun.store.data_set(plan.digest).manifest.load()
    return manifest.n_rows, manifest.n_features, plan.notes


def test_numbered_columns_are_a_header_and_it_is_said() -> None:
    n_rows, n_features, notes = partitioned(job(text("0,1,2", *reals(0, 1), Y)))
    assert (n_rows, n_features) == (60, 2)
    assert notes == ["line 1, '0,1,2', is a header; data.header false makes it a row"]
    for header, rows in ((True, 60), (False, 61)):
        begun = job(text("0,1,2", *reals(0, 1), Y), {"header": header, "label": 0}, **KMEANS)
        assert partitioned(begun) == (rows, 2, [])


def test_numbered_columns_without_a_label() -> None:
    begun = job(text("0,1", *reals(0, 1)), {"has_label": False}, **KMEANS)
    assert partitioned(begun)[:2] == (60, 2)


def test_a_line_that_may_be_a_header_is_asked_for() -> None:
    said = refusal(job(text("2019,2020,2021", *reals(0, 1), Y)))
    assert said == (
        "InvalidDataError: s3 object rows.csv: line 1, '2019,2020,2021', may be a row, or a header "
        "whose names are numbers; set data.header to true or false"
    )


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (",a,b,y", "column 1 has no name"),
        ('"",a,b,y', "column 1 has no name"),
        ("Unnamed: 0,a,b,y", "column 1 has no name"),
        (",,a,y", "columns 1, 2 have no name"),  # an index of two levels
        ("a,b,y,", "column 4 has no name"),
        (",0,1,2", "column 1 has no name"),
    ],
)
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_an_index_without_a_name_is_refused(header: str, columns: str, delimiter: str) -> None:
    content = text(header, range(60), *reals(0, 1), Y, delimiter=delimiter)
    kind = {",": "csv", "\t": "tsv"}[delimiter]
    said = refusal(job(content, {"format": kind}))
    assert said.startswith(f"InvalidDataError: s3 object rows.csv: {columns}, like the index")
    assert "index=False" in said


def test_a_column_that_counts_the_rows_is_said() -> None:
    note = "column 1 ('id') counts the rows; an index is no feature"
    assert partitioned(job(text("id,a,b,y", range(60), *reals(0, 1), Y)))[2] == [note]
    assert partitioned(job(text("id,a,y", range(1, 61), *reals(0), Y)))[2] == [note]
    note = "column 1 counts the rows; an index is no feature"
    assert partitioned(job(text(None, range(60), *reals(0, 1), Y)))[2] == [note]
    assert partitioned(job(text("id,a,b,y", range(7, 67), *reals(0, 1), Y)))[2] == []
    first = {"label": 0}
    assert partitioned(job(text("y,a", range(60), *reals(0)), first, **KMEANS))[2] == []


def test_columns_of_the_same_name_are_refused() -> None:
    assert "two columns are named 'a'" in refusal(job(text("a,a,y", *reals(0, 1), Y)))


def parquet(index_columns: list[Any] | None, **columns: Any) -> bytes:
    table = pa.table(columns)
    if index_columns is not None:
        # As pandas writes it, with other entries that are left out here.
        stored = json.dumps({"index_columns": index_columns})
        table = table.replace_schema_metadata({"pandas": stored})
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("index", "columns"),
    [
        (["id"], {"id": np.arange(60)}),
        (["id"], {"id": [f"row {n}" for n in range(60)]}),
        (["i", "j"], {"i": np.arange(60), "j": np.arange(60)}),
        (["__index_level_0__"], {"__index_level_0__": np.arange(60)}),
    ],
)
@pytest.mark.parametrize("label", [None, "y"])
def test_an_index_in_parquet_is_refused(
    index: list[str], columns: dict[str, Any], label: str | None
) -> None:
    content = parquet(index, a=X[:, 0], b=X[:, 1], y=Y, **columns)
    said = refusal(job(content, {"format": "parquet", "label": label}))
    assert f"column {index[0]!r} is the index of a pandas frame" in said
    assert "index=False" in said


@pytest.mark.parametrize(
    "index", [None, [], [{"kind": "range", "start": 0, "stop": 60, "step": 1}]]
)
def test_parquet_without_an_index_is_read(index: list[Any] | None) -> None:
    content = parquet(index, a=X[:, 0], b=X[:, 1], y=Y)
    assert partitioned(job(content, {"format": "parquet"})) == (60, 2, [])


def folders(data: dict[str, Any], content: bytes, *names: str, **spec: Any) -> Job:
    found = Job(**spec)
    found.spec["data"] = {"uri": "s3://data/set/"} | data
    for name in names:
        found.data.save(f"set/{name}", content)
    return found


CSV = {"format": "csv"}, text("a,b,y", *reals(0, 1), Y)
PARQUET = {"format": "parquet"}, parquet(None, a=X[:, 0], b=X[:, 1], y=Y)


@pytest.mark.parametrize(("data", "content"), [CSV, PARQUET])
def test_columns_of_the_path_are_left_out_and_it_is_said(
    data: dict[str, Any], content: bytes
) -> None:
    names = "year=2020/m=1/x", "year=2021/m=1/x"
    begun = folders(data | {"label": "y"}, content, *names)
    note = "left out, as only the path has it: 'year' (year=2020), 'm' (m=1)"
    assert partitioned(begun) == (120, 2, [note])
    said = refusal(folders(data | {"label": "year"}, content, *names))
    assert "data.label is 'year', a column that only the path has (year=2020)" in said
    for label in (None, -1):
        said = refusal(folders(data | {"label": label}, content, *names))
        assert "data.label: expected the name of a column" in said
        assert "year=2020, m=1" in said
    assert partitioned(folders(data | {"has_label": False}, content, *names, **KMEANS))[2] == [note]


def test_a_wrong_label_is_told_the_right_one() -> None:
    names = [f"pixel_{n}" for n in range(64)]
    content = text(",".join([*names, "digit"]), *[X[:, 0].tolist()] * 64, Y)
    said = refusal(job(content, {"label": "digitt"}))
    assert "rows.csv (did you mean 'digit'?): pixel_0, pixel_1, " in said
    assert said.endswith("pixel_63, digit")
    assert "(did you mean 'digit'?)" in refusal(job(content, {"label": "Digit"}))


def test_letters_with_accents_may_be_written_in_two_ways() -> None:
    content = text("gro\u0308\u00dfe,b,y", *reals(0, 1), Y)
    assert partitioned(job(content, {"label": "gr\u00f6\u00dfe"}, **KMEANS))[:2] == (60, 2)


@pytest.mark.parametrize(
    ("uri", "hint"),
    [
        ("s3://data/rows.csw", "(did you mean 'rows.csv'?)"),
        ("s3://data/sett/", "(did you mean 'set/'?)"),
        ("s3://data/set/part1.csv", "(did you mean 'set/part-1.csv'?)"),
        ("s3://data/something/else", "something/else"),
    ],
)
def test_a_wrong_key_is_told_the_nearest_one(uri: str, hint: str) -> None:
    begun = folders({"format": "csv"} | {"uri": uri}, b"1,2\n", "part-1.csv", "part-2.csv")
    with pytest.raises(DataNotFoundError, match="nothing lies at") as caught:
        begun.prepare()
    assert str(caught.value).endswith(hint)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((16777215, 16777217), "beyond ±16,777,216; the data have 16777217"),
        ((20180130, 20180131), "the data have 20180131"),
        ((0.3, 0.30000001), "which makes 0.3 of 0.30000001"),
        ((0, 1e-46), "which makes 0 of 1e-46"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "libsvm", "npz", "parquet"])
def test_labels_that_float32_changes_are_refused(
    labels: tuple[float, float], message: str, kind: str
) -> None:
    y = np.where(Y == 1, *labels)
    contents = {
        "csv": text("a,b,y", *reals(0, 1), y.tolist()),
        "libsvm": text(None, y.tolist(), [f"1:{a!r}" for a in X[:, 0].tolist()], delimiter=" "),
        "npz": npz(X=X, y=y),
        "parquet": parquet(None, a=X[:, 0], b=X[:, 1], y=y),
    }
    said = refusal(job(contents[kind], {"format": kind}))
    assert said.startswith("BadLabelError: logistic_regression: labels are stored as float32")
    assert message in said


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("labels", [(0.3, 0.5), (16777215, 16777216), (-0.1, 1e-30)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_labels_that_float32_holds_are_classes(labels: tuple[float, float], dtype: Any) -> None:
    begun = job(npz(X=X, y=np.where(Y == 1, *labels).astype(dtype)), {"format": "npz"})
    begun.initialised()
    assert begun.store.training_plan.load().dataset_report().classes == sorted(labels)


def test_a_positive_class_that_float32_would_change_is_no_label() -> None:
    model = {"name": "logistic_regression", "positive_class": 16777217}
    content = text("a,b,y", *reals(0, 1), np.where(Y == 1, 16777215, 16777216).tolist())
    assert "got 16777217" in refusal(job(content, model=model))


@pytest.mark.parametrize("y", [X[:, 0], RNG.permutation(60), np.round(X[:, 0], 1)])
def test_continuous_labels_are_said_to_be_for_regression(y: np.ndarray) -> None:
    said = refusal(job(text("a,b,y", *reals(0, 1), y.tolist())))
    assert "did you mean model linear_regression?" in said
    assert "positive_class" not in said


def test_few_classes_are_not_said_to_be_continuous() -> None:
    content = text("a,b,y", *reals(0, 1), (np.arange(60) % 6).tolist())
    assert "positive_class" in refusal(job(content))
