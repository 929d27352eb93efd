"""Facts about data are said or asked for: a header, an index, a label, columns of a path."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stepml.job.data import Data
from stepml.job.errors import DataNotFoundError, KeyNotFoundError, StepMLError, StorageDeniedError
from stepml.job.reports import JobReport
from stepml.ml.data import plan_data
from storage.base import ObjectInfo
from storage.testing.memory import MemoryStorage
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


def test_row_names_above_which_there_is_no_name_are_refused() -> None:
    said = refusal(job(text("a,b,y", range(1, 61), *reals(0, 1), Y)))
    assert "rows have one column more than the header" in said
    assert "row.names=FALSE" in said


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
    note = (
        "left out, as only the path has it: 'year' (year=2020), 'm' (m=1); data.path_columns true "
        "reads it"
    )
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
        ("s3://data/set/*.csv", "(no pattern, but a prefix: set/ is all objects below it)"),
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
    assert said.startswith("BadLabelError: ")
    assert "logistic_regression: labels are stored as float32" in said
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


def trained(begun: Job, epochs: int = 1) -> JobReport:
    begun.spec["stop"] = {"max_epochs": epochs}
    begun.initialised()
    with np.errstate(all="ignore"):
        for epoch in range(1, epochs + 1):
            begun.epoch(epoch)
    return begun.finalise(epochs)


def test_the_report_says_what_the_data_were_taken_for() -> None:
    content = text("a,b,y", *reals(0, 1), Y).replace(b"\n", b"\n,1,0\n", 1)
    data = trained(job(content, {"missing": "mean"})).dataset
    assert (data.rows, data.columns, data.format, data.header) == (61, 3, "csv", True)
    assert (data.label, data.classes, data.label_range) == ("y", [0, 1], [0, 1])
    assert (data.missing_values, data.objects, data.notes, data.warnings) == (1, 1, [], [])


@pytest.mark.parametrize("missing", ["zero", "mean"])
@pytest.mark.parametrize("on_bad_row", ["fail", "skip"])
@pytest.mark.parametrize("kind", ["csv", "npz", "parquet"])
def test_missing_values_of_rows_that_count_are_counted(
    missing: str, on_bad_row: str, kind: str
) -> None:
    gaps = X.copy()
    gaps[3] = np.nan
    gaps[7, 1] = np.nan
    y = Y.astype(float)
    if on_bad_row == "skip":
        y[3] = np.nan
    contents = {
        "csv": text("a,b,y", *gaps.T.tolist(), y.tolist()),
        "npz": npz(X=gaps, y=y),
        "parquet": parquet(None, a=gaps[:, 0], b=gaps[:, 1], y=y),
    }
    begun = job(contents[kind], {"format": kind, "missing": missing, "on_bad_row": on_bad_row})
    begun.initialised()
    facts = begun.training_plan().about
    assert facts.missing_values == (3 if on_bad_row == "fail" else 1)


def test_a_label_that_kmeans_leaves_out_is_said() -> None:
    content = text("a,b,y", *reals(0, 1), Y)
    note = "column 3 ('y') is left out as the label; data.has_label false makes it a feature"
    for data, notes in (({}, []), ({"label": "y"}, []), ({"has_label": True}, [note])):
        found = trained(job(content, data, **KMEANS)).dataset
        assert found.notes == notes
        assert not found.is_learnt


LINEAR = {"model": {"name": "linear_regression"}}
N = np.arange(100)
JUMPS = text("a,y", ((N % 2) * 1000 + N % 7).tolist(), (N % 2).tolist())
SUMS = text("a,b,y", *reals(0, 1), X.sum(axis=1).tolist())
GRADIENT = {"name": "gradient_averaging", "batch_size": 50}


def codes(report: JobReport) -> list[str]:
    return [warning.code for warning in report.warnings]


@pytest.mark.parametrize("model", ["logistic_regression", "softmax_regression", "svm"])
def test_a_model_worse_than_the_constant_one_is_said(model: str) -> None:
    spec: dict[str, Any] = {"model": {"name": model}, "algorithm": GRADIENT}
    report = trained(job(JUMPS, **spec), 2)
    assert codes(report) == ["worse_than_constant"]
    assert "ignores the features" in report.warnings[0].text
    assert "set data.standardise" in report.warnings[0].text
    # Two epochs are too few.
    assert codes(trained(job(JUMPS, {"standardise": True}, **spec), 2)) == ["not_converged"]


def test_a_rate_far_too_large_is_said() -> None:
    algorithm = {"name": "model_averaging", "learning_rate": 1e6}
    (warning,) = trained(job(text("a,b,y", *reals(0, 1), Y), algorithm=algorithm), 2).warnings
    assert warning.code == "worse_than_constant"
    assert "lower algorithm.learning_rate" in warning.text
    assert codes(trained(job(SUMS, algorithm=GRADIENT | {"learning_rate": 9}, **LINEAR), 1)) != []
    assert codes(trained(job(SUMS, algorithm=GRADIENT, **LINEAR), 9)) == []


def test_the_constant_model_is_the_best_one_of_its_kind() -> None:
    for y, spec in (
        (Y, {"name": "logistic_regression"}),
        (Y, {"name": "logistic_regression", "class_weight": {"1": 5}}),
        (N[:60] % 3, {"name": "softmax_regression"}),
        (N[:60] % 3, {"name": "softmax_regression", "class_weight": {"1": 5}}),
        (N[:60] % 3, {"name": "svm"}),
        (Y, {"name": "svm", "class_weight": {"1": 5}}),
        (N[:60] % 3, {"name": "svm", "positive_class": 2}),
        (Y, {"name": "svm", "loss": "squared_hinge", "class_weight": {"1": 5}}),
        (N[:60] % 3, {"name": "svm", "loss": "squared_hinge"}),
        (X[:, 0], {"name": "linear_regression"}),
    ):
        begun = job(text("a,b,y", *reals(0, 1), y.tolist()), model=spec)
        begun.initialised()
        plan, model = begun.training_plan(), begun.training_plan().model()
        manifest = begun.store.data_set(plan.digest).manifest.load()
        w = model.constant_parameters(plan.facts(manifest, np.zeros(2, np.float32)))
        assert w is not None
        targets = model.targets(y.astype(np.float32))
        zeros = np.zeros((60, 2), np.float32)
        least = model.evaluate(w, zeros, targets).loss
        for output in range(len(w) // 3):
            for step in (-0.1, 0.1):
                other = w.copy()
                other[-1 - output] += step
                assert model.evaluate(other, zeros, targets).loss >= least


def test_labels_that_float32_rounds_are_said() -> None:
    near = text("a,b,y", *reals(0, 1), (1.7e9 + 100 * X[:, 0]).tolist())
    (warning, *_) = trained(job(near, **LINEAR)).warnings
    assert warning.code == "labels_rounded"
    assert codes(trained(job(SUMS, **LINEAR))) == []


def test_continuous_labels_of_a_classifier_are_said() -> None:
    many = text("a,b,y", *reals(0, 1), (N[:60] % 30).tolist())
    report = trained(job(many, model={"name": "softmax_regression"}))
    (warning,) = report.dataset.warnings
    assert warning.code == "labels_look_continuous"
    assert warning in report.warnings
    assert "linear_regression" in warning.text


def test_the_mark_of_a_comment_is_no_part_of_a_name() -> None:
    begun = job(text("# a,b,y", *reals(0, 1), Y))
    begun.initialised()
    assert begun.training_plan().feature_names == ["a", "b"]


FRAME = pd.DataFrame(X, columns=["a", "b"]).assign(y=Y)
NAMELESS = pd.DataFrame(X).assign(**{"2": Y}).rename(columns={"2": 2})


@pytest.mark.parametrize("sep", [",", "\t"])
@pytest.mark.parametrize(
    ("frame", "index"),
    [
        (FRAME, False),
        (NAMELESS, False),
        (FRAME.rename_axis("id"), True),
        (FRAME.set_index([FRAME.index, FRAME.index]).rename_axis(["i", "j"]), True),
    ],
)
def test_what_pandas_writes_is_read_as_pandas_reads_it(
    frame: pd.DataFrame, index: bool, sep: str
) -> None:
    content = frame.to_csv(sep=sep, index=index).encode()
    begun = job(content, {"format": {",": "csv", "\t": "tsv"}[sep]})
    begun.initialised()
    expected = pd.read_csv(io.BytesIO(content), sep=sep)
    plan = begun.training_plan()
    assert [*plan.feature_names, plan.label_name] == list(expected.columns)
    assert plan.about.rows == len(expected)
    assert bool(plan.about.notes) == (index or frame is NAMELESS)


@pytest.mark.parametrize("sep", [",", "\t"])
@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        NAMELESS,
        FRAME.set_index([FRAME.index, FRAME.index]),
        pd.read_csv(io.StringIO(FRAME.to_csv())),
        FRAME[FRAME.y == 1],
    ],
)
def test_an_index_that_pandas_writes_without_a_name_is_refused(
    frame: pd.DataFrame, sep: str
) -> None:
    content = frame.to_csv(sep=sep).encode()
    said = refusal(job(content, {"format": {",": "csv", "\t": "tsv"}[sep]}))
    assert "no name, like the index that pandas" in said


@pytest.mark.parametrize(
    "frame",
    [
        FRAME[FRAME.y == 1],
        FRAME.rename_axis("id"),
        FRAME.set_index(FRAME.index.astype(str)),
        FRAME.set_index([FRAME.index, FRAME.index]),
        FRAME.set_index(["a", "b"]),
        FRAME.set_index(pd.date_range("2020-01-01", periods=60, name="day")),
    ],
)
def test_an_index_that_pandas_writes_into_parquet_is_refused(frame: pd.DataFrame) -> None:
    file = io.BytesIO()
    frame.to_parquet(file, index=True)
    said = refusal(job(file.getvalue(), {"format": "parquet"}))
    assert "is the index of a pandas frame" in said


def test_a_range_index_is_no_column_of_parquet() -> None:
    file = io.BytesIO()
    FRAME.to_parquet(file)
    assert partitioned(job(file.getvalue(), {"format": "parquet"})) == (60, 2, [])


def test_folders_that_pandas_writes_are_read_without_their_columns(tmp_path: Path) -> None:
    FRAME.assign(year=N[:60] % 2 + 2020).to_parquet(tmp_path, partition_cols=["year"])
    begun = Job(**KMEANS)
    begun.spec["data"] = {"uri": "s3://data/set/", "format": "parquet", "label": "y"}
    for path in sorted(tmp_path.rglob("*.parquet")):
        begun.data.save(f"set/{path.relative_to(tmp_path)}", path.read_bytes())
    note = "left out, as only the path has it: 'year' (year=2020); data.path_columns true reads it"
    assert partitioned(begun) == (60, 2, [note])


class NoBucket(MemoryStorage):
    """The answers of a bucket that does not exist."""

    def describe(self, key: str) -> ObjectInfo | None:
        raise KeyNotFoundError(key)


def test_a_wrong_bucket_is_told_the_stack_s_own() -> None:
    data = Data(uri="s3://othr/rows.csv", format="csv")
    with pytest.raises(DataNotFoundError) as caught:
        plan_data(NoBucket(), "rows.csv", data, "other")
    assert str(caught.value) == (
        "data.uri: there is no bucket for s3://othr/rows.csv; the bucket of this stack is 'other'"
    )


class Closed(MemoryStorage):
    """The answers of a bucket that may be read, but not listed."""

    def describe_many(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix != "set/rows.csv/":
            raise StorageDeniedError(prefix)
        return iter(())


def test_a_bucket_that_may_not_be_listed_gives_no_hint() -> None:
    data = Data(uri="s3://data/set/rows.csv", format="csv")
    with pytest.raises(DataNotFoundError, match=r"nothing lies at s3://data/set/rows.csv$"):
        plan_data(Closed(), "set/rows.csv", data)
