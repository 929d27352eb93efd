"""``stepml predict``: files of every format in, CSV and a score out."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from sklearn import metrics
from typer.testing import CliRunner

from stepml.cli.app import app
from stepml.job import keys
from stepml.ml.class_names import ClassNames
from stepml.trained_model import TrainedModel
from tests.support.artifacts import MODELS, NAMED, NAMES, example, write
from tests.support.moto_stack import BUCKET, MotoStack


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("AWS_ENDPOINT_URL", "STEPML_LOCAL", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


def predicted(*arguments: str | Path) -> tuple[list[list[str]], str]:
    """Run the command; return header, rows and stderr."""
    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return list(csv.reader(io.StringIO(result.stdout))), result.stderr


def refused(*arguments: str | Path, code: int = 2) -> str:
    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return result.stderr.strip().splitlines()[-1]


def text_of(X: Any, y: Any = None, names: Any = (), delimiter: str = ",") -> str:
    columns = X if y is None else np.column_stack([X, y])
    header = [delimiter.join(names)] if names else []
    rows = [delimiter.join(map(str, row)) for row in np.asarray(columns, np.float32).tolist()]
    return "\n".join([*header, *rows]) + "\n"


def labels_of(model: TrainedModel, X: Any) -> Any:
    """Return labels that agree with most predictions."""
    y = model.predict(X).astype(np.float32)
    y[::10] = np.roll(y, 1)[::10]
    return y


@pytest.mark.parametrize("prepared", ["", "dense", "sparse"])
@pytest.mark.parametrize("kind", MODELS)
def test_the_table_is_what_the_model_predicts(kind: str, prepared: str, tmp_path: Path) -> None:
    it = example(kind, prepared=prepared)
    model = TrainedModel(it.artifact)
    (tmp_path / "rows.csv").write_text(text_of(it.X))

    rows, stderr = predicted(write(it.artifact, tmp_path / "model"), "rows.csv")

    values = np.array(rows[1:], np.float32)
    assert np.allclose(values[:, 0], model.predict(it.X), rtol=1e-5, atol=1e-5)
    classes = getattr(model, "classes_", []) if hasattr(model, "predict_proba") else []
    assert rows[0] == ["prediction", *(f"probability_{label:g}" for label in classes)]
    if len(classes):
        assert np.allclose(values[:, 1:], model.predict_proba(it.X), atol=1e-5)
    assert "there is no label" in stderr
    assert "100 rows" in stderr
    assert "accuracy" not in stderr
    assert ("inertia" in stderr) == (kind == "kmeans")


def test_whole_labels_are_written_as_such(tmp_path: Path) -> None:
    it = example("svm of several classes")
    (tmp_path / "rows.csv").write_text(text_of(it.X))

    rows, _ = predicted(write(it.artifact, tmp_path / "model"), "rows.csv")

    assert {row[0] for row in rows[1:]} <= {"0.5", "1", "3"}


@pytest.mark.parametrize("zero_based", [True, False])
def test_pairs_are_counted_as_in_the_job_whatever_their_rows_show(
    zero_based: bool, tmp_path: Path
) -> None:
    it = example("softmax")
    job = it.artifact.card["job"]
    job["data"] |= {"format": "libsvm", "zero_based": zero_based}
    first = 0 if zero_based else 1
    (tmp_path / "rows.svm").write_text(f"0 qid:1 {first + 1}:2.5\n")

    rows, stderr = predicted(write(it.artifact, tmp_path / "model"), tmp_path / "rows.svm")

    X = np.zeros((1, it.X.shape[1]), np.float32)
    X[0, 1] = 2.5
    expected = TrainedModel(it.artifact).predict_proba(X).astype(np.float32)
    assert np.array_equal(np.array(rows[1:], np.float32)[:, 1:], expected)
    assert "queries of rows (qid) are left out" in stderr


@pytest.mark.parametrize("ending", ["csv", "tsv", "libsvm", "npz", "sparse.npz", "parquet", "idx"])
def test_every_format_is_scored_by_its_labels(ending: str, tmp_path: Path) -> None:
    it = example("softmax")
    X = it.X.astype(">f4")
    model = TrainedModel(it.artifact)
    y = labels_of(model, X)
    expected = f"accuracy {model.score(X, y):.4f}"
    file = tmp_path / f"rows.{ending}"
    if ending in ("csv", "tsv"):
        file.write_text(text_of(X, y, delimiter="," if ending == "csv" else "\t"))
    elif ending == "libsvm":
        pairs = (" ".join(f"{at + 1}:{x}" for at, x in enumerate(row) if x) for row in X.tolist())
        file.write_text("".join(f"{label:g} {row}\n" for label, row in zip(y, pairs, strict=True)))
    elif ending == "npz":
        np.savez(file, X=X, y=y)
    elif ending == "sparse.npz":
        csr = scipy.sparse.csr_matrix(it.X)
        shape = {"shape": csr.shape, "format": b"csr"}
        np.savez(file, data=csr.data, indices=csr.indices, indptr=csr.indptr, y=y, **shape)
    elif ending == "parquet":
        columns = dict(zip(NAMES, it.X.T, strict=True))
        pq.write_table(pa.table({**columns, "label": y}), file)
    else:
        file = tmp_path / "images-idx2-float.gz"
        sizes = np.array(X.shape, ">u4").tobytes()
        file.write_bytes(gzip.compress(b"\0\0\x0d\x02" + sizes + X.tobytes()))
        labels = b"\0\0\x08\x01" + sizes[:4] + y.astype(np.uint8).tobytes()
        (tmp_path / "labels-idx1-float.gz").write_bytes(gzip.compress(labels))

    rows, stderr = predicted(write(it.artifact, tmp_path / "model"), file)

    assert np.array_equal(np.array(rows[1:], np.float32)[:, 0], model.predict(it.X))
    assert expected in stderr
    assert f"assumed: format {ending.removeprefix('sparse.')}" in stderr


def test_a_regression_is_scored_over_all_blocks(tmp_path: Path) -> None:
    it = example("linear")
    X = np.tile(it.X, (100, 1))
    model = TrainedModel(it.artifact)
    y = model.predict(X) + np.arange(len(X), dtype=np.float32) % 5
    (tmp_path / "rows.csv").write_text(text_of(X, y))

    rows, stderr = predicted(write(it.artifact, tmp_path / "model"), "rows.csv")

    assert len(rows) == 1 + len(X)
    assert f"rmse {np.sqrt(6):.4f}" in stderr
    assert "mae 2.0000" in stderr
    assert f"r2 {model.score(X, y):.4f}" in stderr


def test_labels_are_compared_as_the_file_has_them(tmp_path: Path) -> None:
    it = example("linear")
    labels = 1e8 + np.arange(100)  # float32 has every eighth
    predicted_numbers = TrainedModel(it.artifact).predict(it.X).astype(np.float64)
    lines = [",".join(map(str, [*row, label])) for row, label in zip(it.X, labels, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    arguments = [write(it.artifact, tmp_path / "model"), "rows.csv", "--out", "x.csv", "--json"]

    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])

    rmse = np.sqrt(np.mean((predicted_numbers - labels) ** 2))
    assert json.loads(result.stdout)["metrics"]["rmse"] == pytest.approx(rmse, rel=1e-12)


KINDS_OF_CLASSES = [kind for kind in MODELS if kind not in ("linear", "kmeans")]


@pytest.mark.parametrize("kind", KINDS_OF_CLASSES)
def test_classes_are_measured_as_by_scikit_learn(kind: str, tmp_path: Path) -> None:
    it = example(kind)
    X = np.tile(it.X, (30, 1)).astype(np.float32)  # several blocks
    model = TrainedModel(it.artifact)
    y = labels_of(model, X)
    positive = it.artifact.card.get("positive_class")
    if kind == "logistic, one against rest":
        y = np.where(y == 1, np.float32(3), np.arange(len(y)) % 3).astype(np.float32)
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    arguments = [write(it.artifact, tmp_path / "model"), "rows.npz", "--out", "x.csv", "--json"]

    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])

    found = json.loads(result.stdout)
    expected, guessed = model.expected(y).astype(float), model.predict(X).astype(float)
    if kind == "logistic, one against rest":
        positive = 1.0
    texts = expected.astype(str), guessed.astype(str)  # scikit-learn refuses fractions as classes
    several = {"average": "macro"} if positive is None else {"pos_label": str(positive)}
    three = metrics.precision_recall_fscore_support(
        *texts, **({"average": "binary"} | several), zero_division=0
    )
    numbers = {"accuracy": metrics.accuracy_score(*texts)}
    numbers |= dict(zip(("precision", "recall", "f1"), three, strict=False))
    if positive is not None:
        sign = -1 if positive == min(model.classes_) else 1
        scores = sign * model.decision_function(X)
        numbers["auc"] = metrics.roc_auc_score(expected == positive, scores)
        numbers["average_precision"] = metrics.average_precision_score(expected == positive, scores)
    if hasattr(model, "predict_proba"):
        numbers["log_loss"] = metrics.log_loss(texts[0], model.predict_proba(X))
    assert found["metrics"] == pytest.approx(numbers)
    assert found["confusion_matrix"] == metrics.confusion_matrix(*texts).tolist()
    assert [row["support"] for row in found["per_class"]] == np.sum(
        found["confusion_matrix"], axis=1
    ).tolist()
    assert [row["label"] for row in found["per_class"]] == pytest.approx(model.classes_.tolist())


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("form", ["csv", "npz"])
def test_named_classes_are_written_and_measured(kind: str, form: str, tmp_path: Path) -> None:
    it = example(kind)
    model = TrainedModel(it.artifact)
    y = model.predict(it.X)
    y[::7] = np.roll(y, 1)[::7]
    if form == "npz":
        np.savez(tmp_path / "rows.npz", X=it.X, y=y)
    else:
        lines = [f"{line},{label}" for line, label in zip(text_of(it.X).split(), y, strict=False)]
        (tmp_path / "rows.csv").write_text("\n".join(lines))
    place = write(it.artifact, tmp_path / "model")
    arguments = ["predict", place, f"rows.{form}", "--out", "out.csv", "--json"]

    result = CliRunner().invoke(app, list(map(str, arguments)))

    found, rows = (
        json.loads(result.stdout),
        list(csv.reader(Path("out.csv").read_text().splitlines())),
    )
    classes = [str(label) for label in model.classes_]
    names = [f"probability_{each}" for each in classes] if hasattr(model, "predict_proba") else []
    assert rows[0] == ["prediction", *names]
    assert [row[0] for row in rows[1:]] == model.predict(it.X).astype(str).tolist()
    right = metrics.accuracy_score(y, model.predict(it.X))
    assert found["metrics"]["accuracy"] == pytest.approx(right) == model.score(it.X, y)
    assert [each["label"] for each in found["per_class"]] == model.classes_.tolist()
    matrix = metrics.confusion_matrix(y, model.predict(it.X))
    assert found["confusion_matrix"] == matrix.tolist()


def test_names_of_classes_are_quoted_where_csv_needs_it(tmp_path: Path) -> None:
    it = example("logistic of text")
    it.artifact.model.names = ClassNames("text", ("v1.0", 'a "big", one'))  # type: ignore[attr-defined]
    made = replace(it.artifact, card={**it.artifact.card, **it.artifact.model.describe()})
    (tmp_path / "rows.csv").write_text(text_of(it.X))
    rows, _ = predicted(write(made, tmp_path / "model"), "rows.csv")
    assert rows[0] == ["prediction", "probability_v1.0", 'probability_a "big", one']
    assert {row[0] for row in rows[1:]} == {"v1.0", 'a "big", one'}


def test_labels_that_training_did_not_have_are_named(tmp_path: Path) -> None:
    it = example("softmax of text")
    lines = text_of(it.X[:3]).split()
    (tmp_path / "rows.csv").write_text("\n".join(f"{line},rose" for line in lines))
    _, stderr = predicted(write(it.artifact, tmp_path / "model"), "rows.csv")
    assert "accuracy 0.0000" in stderr
    assert "the model never predicts some labels of the data: rose" in stderr


def test_labels_without_number_take_no_square_of_memory(tmp_path: Path) -> None:
    it = example("softmax")
    X = np.tile(it.X, (200, 1))
    np.savez(tmp_path / "rows.npz", X=X, y=np.arange(len(X)) + 0.5)
    arguments = [write(it.artifact, tmp_path / "model"), "rows.npz", "--out", "x.csv", "--json"]
    found = json.loads(CliRunner().invoke(app, ["predict", *map(str, arguments)]).stdout)
    assert found["metrics"]["accuracy"] == 0
    assert (len(found["unknown_labels"]), found["confusion_matrix"]) == (len(X), [])
    assert len(found["per_class"]) == len(X) + 3


def test_few_classes_are_shown_as_a_table(tmp_path: Path) -> None:
    it = example("softmax")
    y = TrainedModel(it.artifact).predict(it.X)
    (tmp_path / "rows.csv").write_text(text_of(it.X, y))
    stderr = predicted(write(it.artifact, tmp_path / "model"), "rows.csv")[1]
    assert "class  precision     recall         f1       rows" in stderr
    assert f"    1     1.0000     1.0000     1.0000  {np.sum(y == 1):9}" in stderr


def test_labels_that_are_never_predicted_are_named_as_in_the_file(tmp_path: Path) -> None:
    it = example("logistic")
    (tmp_path / "rows.csv").write_text(text_of(it.X, np.full(100, 0.3)))
    stderr = predicted(write(it.artifact, tmp_path / "model"), "rows.csv")[1]
    assert stderr.endswith("never predicts some labels of the data: 0.3\n")


def test_one_label_against_the_rest_is_scored_by_the_data_s_labels(tmp_path: Path) -> None:
    it = example("logistic, one against rest")
    y = np.where(TrainedModel(it.artifact).predict(it.X) == 1, 3, np.arange(100) % 3)
    (tmp_path / "rows.csv").write_text(text_of(it.X, y))

    assert "accuracy 1.0000" in predicted(write(it.artifact, tmp_path / "model"), "rows.csv")[1]


@pytest.mark.parametrize("column", ["when", 0, -6])
@pytest.mark.parametrize("role", ["validation", "weight"])
def test_columns_that_said_which_rows_validate_or_count_are_no_features(
    role: str, column: str | int, tmp_path: Path
) -> None:
    setting = {"column": column, "after": 5.0} if role == "validation" else column
    it = example("linear", features=True, **{role: setting})
    model = TrainedModel(it.artifact)
    when, y = np.arange(100.0), model.predict(it.X)
    columns = {"when": when, **dict(zip(NAMES, it.X.T, strict=True)), "y": y}
    with_label = ",".join(columns) + "\n" + text_of(np.stack(list(columns.values()), axis=1))
    (tmp_path / "rows.csv").write_text(with_label)
    del columns["y"]
    without = ",".join(columns) + "\n" + text_of(np.stack(list(columns.values()), axis=1))
    (tmp_path / "unlabelled.csv").write_text(without)
    artifact = write(it.artifact, tmp_path / "model")

    for name in ("rows.csv", "unlabelled.csv")[: 2 if column == "when" else 1]:
        rows, stderr = predicted(artifact, name)
        found = np.array(rows[1:], np.float32)[:, 0]
        assert found == pytest.approx(model.predict(it.X), rel=1e-4, abs=1e-4)
        assert ("rmse" in stderr) == (name == "rows.csv")
        says_weight = f"in the job, they count by data.weight {column!r}" in stderr
        assert says_weight == (role == "weight" and name == "rows.csv")


def test_columns_are_put_into_the_order_of_the_features(tmp_path: Path) -> None:
    it = example("linear", features=True)
    order = [2, 0, 3, 1]
    names = [NAMES[place] for place in order]
    model, y = write(it.artifact, tmp_path / "model"), TrainedModel(it.artifact).predict(it.X)
    (tmp_path / "plain.csv").write_text(text_of(it.X[:, order], names=names))
    labelled = np.column_stack([it.X[:, order[:2]], y, it.X[:, order[2:]]])
    (tmp_path / "labelled.csv").write_text(text_of(labelled, names=[*names[:2], "y", *names[2:]]))

    plain, _ = predicted(model, "plain.csv")
    with_label, stderr = predicted(model, "labelled.csv")

    assert plain == with_label
    assert np.allclose(np.array(plain[1:], np.float32)[:, 0], y)
    assert "assumed: the label is column 'y'" in stderr
    assert "rmse 0.0000" in stderr


def test_a_header_of_numbers_is_known_by_the_model_s_names(tmp_path: Path) -> None:
    it = example("linear", features=True)
    it.artifact.card["features"][:] = ["1", "2", "3", "4"]  # type: ignore[index]
    (tmp_path / "rows.csv").write_text("1,2,3,4\n0,0,0,0\n")

    rows, _ = predicted(write(it.artifact, tmp_path / "model"), "rows.csv")

    assert len(rows) == 2


def test_a_header_of_numbers_is_known_by_the_rows(tmp_path: Path) -> None:
    it = example("linear")
    write(it.artifact, tmp_path / "model")
    numbers = [str(number) for number in range(it.X.shape[1])]
    (tmp_path / "rows.csv").write_text(text_of(it.X[:5], names=numbers))

    rows, stderr = predicted("model", "rows.csv")

    assert len(rows) == 1 + 5
    assert "assumed: line 1, '0,1,2,3', is a header; --no-header makes it a row" in stderr


@pytest.mark.parametrize("named", [True, False])
def test_a_line_that_may_be_a_header_is_asked_for(named: bool, tmp_path: Path) -> None:
    it = example("linear", features=named)
    write(it.artifact, tmp_path / "model")
    (tmp_path / "rows.csv").write_text("0,1,2,3\n1,2,3,4\n3,4,5,6\n")

    message = refused("model", "rows.csv")

    assert "line 1, '0,1,2,3', may be a row, or a header" in message
    assert message.endswith("give --header or --no-header")
    assert len(predicted("model", "rows.csv", "--no-header")[0]) == 1 + 3
    if not named:
        assert len(predicted("model", "rows.csv", "--header")[0]) == 1 + 2


def test_an_index_without_a_name_is_left_out(tmp_path: Path) -> None:
    it = example("linear", features=True)
    write(it.artifact, tmp_path / "model")
    rows = np.column_stack([np.arange(5), it.X[:5]])
    (tmp_path / "rows.csv").write_text(text_of(rows, names=["", *NAMES]))

    found, stderr = predicted("model", "rows.csv")

    expected = TrainedModel(it.artifact).predict(it.X[:5])
    assert np.allclose([float(row[0]) for row in found[1:]], expected, rtol=1e-5)
    assert "left out: (no name)" in stderr


def test_where_the_label_is_can_be_said(tmp_path: Path) -> None:
    it = example("linear")
    y = TrainedModel(it.artifact).predict(it.X)
    model = write(it.artifact, tmp_path / "model")
    first = np.column_stack([y, it.X])
    (tmp_path / "rows.csv").write_text(text_of(first))
    (tmp_path / "named.csv").write_text(text_of(first, names=["out", *NAMES]))

    for options in (["rows.csv", "--label", "0"], ["rows.csv", "--label", "-5"]):
        assert "rmse 0.0000" in predicted(model, *options)[1]
    assert "rmse 0.0000" in predicted(model, "named.csv", "--label", "out")[1]
    (tmp_path / "job").mkdir()
    indexed = example("linear", label=0)
    stderr = predicted(write(indexed.artifact, tmp_path / "job"), "rows.csv")[1]
    assert "assumed: the label is column 1" in stderr
    assert "rmse 0.0000" in stderr


def test_labels_can_be_ignored(tmp_path: Path) -> None:
    it = example()
    np.savez(tmp_path / "rows.npz", X=it.X, y=np.zeros(100))
    (tmp_path / "rows.svm").write_text("7 1:2\n7 4:1\n")
    model = write(it.artifact, tmp_path / "model")

    assert "accuracy" not in predicted(model, "rows.npz", "--no-label")[1]
    rows, stderr = predicted(model, "rows.svm", "--no-label")
    assert (len(rows), "accuracy" in stderr) == (3, False)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(99), "rows.npz: y has shape (99,) and type float64"),
        (np.zeros((100, 2)), "rows.npz: y has shape (100, 2)"),
        (np.full(100, "1"), "rows.npz: y has type <U1; expected are numbers"),
        (np.full(100, None), "rows.npz: y holds Python objects"),
    ],
)
@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_labels_that_cannot_be_read_are_not_taken_for_none(
    kind: str, y: Any, message: str, tmp_path: Path
) -> None:
    it = example()
    csr = scipy.sparse.csr_matrix(it.X)
    parts = {"data": csr.data, "indices": csr.indices, "indptr": csr.indptr}
    sparse = {**parts, "shape": csr.shape, "format": b"csr"}
    np.savez(tmp_path / "rows.npz", y=y, **({"X": it.X} if kind == "dense" else sparse))
    model = write(it.artifact, tmp_path / "model")

    assert message in refused(model, "rows.npz")
    assert len(predicted(model, "rows.npz", "--no-label")[0]) == 101


@pytest.mark.parametrize("name", ["rows.npz", "images-idx2"])
def test_arrays_without_labels_are_predicted_and_that_is_told(name: str, tmp_path: Path) -> None:
    it = example()
    if name == "rows.npz":
        np.savez(tmp_path / name, X=it.X)
    else:
        sizes = np.array(it.X.shape, ">u4").tobytes()
        content = b"\0\0\x0d\x02" + sizes + it.X.astype(">f4").tobytes()
        (tmp_path / name).write_bytes(content)

    rows, stderr = predicted(write(it.artifact, tmp_path / "model"), name)

    assert len(rows) == 101
    assert "there are no labels" in stderr


def test_an_ending_says_more_than_the_rest_of_a_name(tmp_path: Path) -> None:
    it = example("linear")
    y = TrainedModel(it.artifact).predict(it.X)
    (tmp_path / "images_idx1.csv").write_text(text_of(it.X, y))
    (tmp_path / "labels_idx1.csv").write_text("")
    np.savez(tmp_path / "images_idx3.npz", X=it.X, y=y)
    model = write(it.artifact, tmp_path / "model")

    for name in ("images_idx1.csv", "images_idx3.npz"):
        stderr = predicted(model, name)[1]
        assert f"assumed: format {name[-3:]}" in stderr
        assert "rmse 0.0000" in stderr


def test_missing_values_are_filled_as_in_the_job(tmp_path: Path) -> None:
    it = example("linear", prepared="dense", missing="mean")
    assert it.artifact.scale is not None
    model = write(it.artifact, tmp_path / "model")
    (tmp_path / "rows.csv").write_text("1,,3,4\n")

    rows, _ = predicted(model, "rows.csv")

    filled = [[1, it.artifact.scale.fill[1], 3, 4]]
    assert float(rows[1][0]) == pytest.approx(float(TrainedModel(it.artifact).predict(filled)[0]))


def test_the_table_goes_to_a_file_and_the_score_into_the_json(tmp_path: Path) -> None:
    it = example("linear")
    y = TrainedModel(it.artifact).predict(it.X)
    (tmp_path / "rows.txt").write_text(text_of(it.X, y))
    model = write(it.artifact, tmp_path / "model")

    arguments = ["predict", str(model), "rows.txt", "--out", "table.csv", "--json"]
    result = CliRunner().invoke(app, arguments)

    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    perfect = {"rmse": pytest.approx(0), "mae": pytest.approx(0), "r2": pytest.approx(1)}
    assert document["metrics"] == perfect
    assert document["rows"] == 100
    assert document["has_label"] is True
    assert document["assumed"] == ["format csv", "the label is column 5"]
    assert (tmp_path / "table.csv").read_text().count("\n") == 101
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model", "rows.txt", "table.csv"]


def test_a_bad_row_leaves_no_table(tmp_path: Path) -> None:
    it = example("linear")
    (tmp_path / "rows.csv").write_text("1,2,3,4\n1,2,x,4\n")
    (tmp_path / "table.csv").write_text("from before")
    model = write(it.artifact, tmp_path / "model")

    line = refused(model, "rows.csv", "--out", "table.csv")

    assert line == "BadRowError: rows.csv, line 2: column 3 is 'x', not a number: '1,2,x,4'"
    assert (tmp_path / "table.csv").read_text() == "from before"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("1,2,3\n", [], "InvalidDataError: rows.csv: the model has 4 features, the data have 3"),
        ("1,2,3,4,5,6\n", [], "the model has 4 features, the data have 6"),
        ("1,2,3,4,5\n", ["--no-label"], "the model has 4 features, the data have 5"),
        ("1,2,3,4\n", ["--label", "0"], "the model has 4 features, the data have 3"),
        ("a,b,c,x\n1,2,3,4\n", [], "rows.csv: expected the model's 4 features by name; missing: d"),
        ("a,b,c,d\n1,2,3,4\n", ["--keep", "e"], "--keep: expected one of a, b, c, d; got 'e'"),
        ("1,2,3,4\n", ["--keep", "4"], "--keep: expected 0 to 3, or -4 to -1 from the end"),
        ("1,2,3,4\n", ["--format", "npz", "--keep", "1"], "rows.csv is not npz"),
        ("1 1:2\n", ["--format", "libsvm", "--keep", "0"], "--keep: libsvm has no columns to"),
        ("prediction,b,c,d,a\n1,2,3,4,5\n", ["--keep", "prediction"], "other columns than those"),
        ("1,2,3,4\n", ["--out", "x.xlsx"], "--out: expected a name that ends with .csv, .jsonl"),
        ("1,2,3,4\n", ["--out-format", "parquet"], "expected the name of a file with --out"),
        ("1,2,3,4,5\n", ["--label", "y"], "--label: expected an index: there is no header; got"),
        ("a,b,c,d,e\n1,2,3,4,5\n", ["--label", "z"], "expected one of a, b, c, d, e; got 'z'"),
        ("1,2,3,4,5\n", ["--label", "5"], "--label: expected 0 to 4, or -5 to -1 from the end"),
        ("1,2,3,4,5\n", ["--label", "1", "--no-label"], "exclude each other"),
        ("", [], "EmptyDataError: the data set is empty"),
        ("1,2,,4\n", [], "BadRowError: rows.csv, line 1: column 3"),
        ("PK\x03\x04", [], "InvalidDataError: rows.csv is zip"),
        ("1,2,3,4\n", ["--format", "npz"], "InvalidDataError: rows.csv is not npz"),
        ("1,2,3,4\n", ["--format", "npz", "--label", "1"], "--label: npz has no columns"),
        ("1 1:2\n", ["--format", "libsvm", "--label", "1"], "begin with their label"),
        ("1 5:2\n", ["--format", "libsvm"], "BadRowError: rows.csv, line 1"),
        ("1,2,3,4\n", ["--json"], '"message": "--json: stdout has the result'),
        (
            "1,2,3,4\n",
            ["--out", "none/x.csv"],
            "'none/x.csv' cannot be written: there is no",
        ),
        ("1,2,3,4\n", ["--out", "model"], "written: Is a directory; give the name of a file"),
        ("a,b,c,d\nx,2,3,4\nz,2,3,4\n", [], "rows.csv, line 2: column 1 ('a') is 'x', not a"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    text: str, options: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(text)
    model = write(example(features=True).artifact, tmp_path / "model")

    if "--json" in options:
        result = CliRunner().invoke(app, ["predict", str(model), "rows.csv", *options])
        assert (result.exit_code, result.stderr) == (2, "")
        assert message in result.stdout
    else:
        assert message in refused(model, "rows.csv", *options)


def test_the_help_says_what_every_command_says() -> None:
    result = CliRunner().invoke(app, ["predict", "--help"])

    assert result.exit_code == 0
    assert all(option in result.stdout for option in ("--json", "--local", "--endpoint-url"))
    lines = [line.strip() for line in result.stdout.strip().splitlines()]
    assert lines[-1].startswith("Example: stepml predict ")
    assert all(len(line) <= 80 for line in lines)


def _empty_folder(tmp_path: Path) -> str:
    (tmp_path / "empty" / "_hidden").mkdir(parents=True)
    (tmp_path / "empty" / "_hidden" / "rows.csv").write_text("1,2,3,4\n")
    (tmp_path / "empty" / ".rows.csv").write_text("1,2,3,4\n")
    (tmp_path / "empty" / "none.csv").touch()
    return "empty"


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    model = write(example().artifact, tmp_path / "model")
    (tmp_path / "rows.csv").write_text("1,2,3,4\n")

    assert refused(model, "x.csv").endswith(
        "data 'x.csv' cannot be read: No such file or directory"
    )
    assert "no file with content at empty" in refused(model, _empty_folder(tmp_path))
    assert "ModelNotFoundError: no model at ./none" in refused("./none", "rows.csv")
    (model / "model.json").write_text("{}")
    assert "NotAnArtifactError: model/model.safetensors: the card" in refused("model", "rows.csv")


def test_a_run_s_name_stands_for_its_model(tmp_path: Path, stack: MotoStack) -> None:
    it = example("linear")
    write(it.artifact, tmp_path / "runs" / "here")
    packed, card = it.artifact.pack()
    stack.put(keys.model("there"), packed)
    stack.put(keys.model_card("there"), card)
    (tmp_path / "rows.csv").write_text("1,2,3,4\n")

    here, _ = predicted("here", "rows.csv")
    there, _ = predicted("there", "rows.csv", "--endpoint-url", stack.endpoint_url)

    assert here == there
    line = refused("nowhere", "rows.csv", "--endpoint-url", stack.endpoint_url)
    assert f"no model at s3://{BUCKET}/jobs/nowhere" in line


def test_data_are_read_from_s3(tmp_path: Path, stack: MotoStack) -> None:
    it = example("linear")
    y = TrainedModel(it.artifact).predict(it.X)
    model = write(it.artifact, tmp_path / "model")
    stack.put("data/rows.csv", text_of(it.X, y).encode())
    stack.put("data/bad.csv", b"1,2,3,4\n1,2,3\n")
    where = ("--endpoint-url", stack.endpoint_url)

    rows, stderr = predicted(model, f"s3://{BUCKET}/data/rows.csv", *where)

    assert np.allclose(np.array(rows[1:], np.float32)[:, 0], y)
    assert "rmse 0.0000" in stderr
    assert f"BadRowError: s3://{BUCKET}/data/bad.csv, line 2" in str(
        CliRunner()
        .invoke(app, ["predict", str(model), f"s3://{BUCKET}/data/bad.csv", *where])
        .stderr
    )
    assert "no object at s3://" in refused(model, f"s3://{BUCKET}/data/none.csv", *where)
    assert "no object at s3://" in refused(model, f"s3://{BUCKET}/data/none/", *where)
    for key, part in {"b.csv": it.X[20:], "a/x.csv": it.X[:20], "_SUCCESS": [[1]]}.items():
        stack.put(f"many/{key}", text_of(part).encode())
    for prefix in ("many", "many/"):
        assert predicted(model, f"s3://{BUCKET}/{prefix}", *where)[0] == rows
    nowhere = ("--endpoint-url", "http://127.0.0.1:9")
    assert "nothing answers" in refused(model, f"s3://{BUCKET}/data/rows.csv", *nowhere, code=3)


@pytest.mark.parametrize("name", ["rows.csv", "labelled.csv", "rows.svm", "rows.npz"])
def test_the_command_as_a_process(name: str, tmp_path: Path) -> None:
    it = example("svm")
    model = TrainedModel(it.artifact)
    y = model.predict(it.X)
    (tmp_path / "rows.csv").write_text(text_of(it.X))
    (tmp_path / "labelled.csv").write_text(text_of(it.X, y))
    pairs = (" ".join(f"{at + 1}:{x}" for at, x in enumerate(row) if x) for row in it.X.tolist())
    lines = (f"{label:g} {row}\n" for label, row in zip(y, pairs, strict=True))
    (tmp_path / "rows.svm").write_text("".join(lines))
    np.savez_compressed(tmp_path / "rows.npz", X=it.X, y=y)
    write(it.artifact, tmp_path / "model")

    command = [sys.executable, "-m", "stepml", "predict", "model", name]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    assert answer.stdout.splitlines() == ["prediction", *(f"{label:g}" for label in y)]
    assert ("accuracy 1.0000" in answer.stderr) == (name != "rows.csv")
    assert all(len(line) <= 80 for line in answer.stderr.splitlines())


def test_rows_are_read_from_standard_input(tmp_path: Path) -> None:
    it = example("logistic")
    model = write(it.artifact, tmp_path / "model")

    result = CliRunner().invoke(app, ["predict", str(model), "-"], input=text_of(it.X))

    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 1 + len(it.X)
    assert "assumed: format csv" in result.stderr


def test_rows_are_read_from_a_pipe(tmp_path: Path) -> None:
    it = example("logistic")
    model = write(it.artifact, tmp_path / "model")
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as file:
        file.write(text_of(it.X[:20]))
    try:
        rows, _ = predicted(model, f"/dev/fd/{reader}")
    finally:
        os.close(reader)

    assert len(rows) == 1 + 20


def test_an_error_in_a_pipe_names_it(tmp_path: Path) -> None:
    model = write(example("logistic").artifact, tmp_path / "model")

    result = CliRunner().invoke(app, ["predict", str(model), "-"], input="1,2,x,4\n")

    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("BadRowError: -, line 1: column 3")


def test_stdout_may_be_named(tmp_path: Path) -> None:
    it = example("logistic")
    (tmp_path / "rows.csv").write_text(text_of(it.X))
    model = write(it.artifact, tmp_path / "model")

    assert predicted(model, "rows.csv", "--out", "-") == predicted(model, "rows.csv")
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("missing", ["", "NA"])
@pytest.mark.parametrize("kind", ["logistic", "softmax", "linear"])
def test_rows_without_a_label_are_predicted_and_not_scored(
    kind: str, missing: str, tmp_path: Path
) -> None:
    it = example(kind)
    model = TrainedModel(it.artifact)
    y = labels_of(model, it.X)
    lines = text_of(it.X, y).splitlines()
    for row in range(0, 100, 3):
        lines[row] = f"{lines[row].rpartition(',')[0]},{missing}"
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    known = np.arange(100) % 3 > 0

    rows, stderr = predicted(write(it.artifact, tmp_path / "model"), "rows.csv")

    values = np.array(rows[1:], np.float32)[:, 0]
    assert np.allclose(values, model.predict(it.X), rtol=1e-5, atol=1e-5)
    assert "100 rows, 34 without a label" in stderr
    name = "r2" if kind == "linear" else "accuracy"
    assert f"{name} {model.score(it.X[known], y[known]):.4f}" in stderr


def test_rows_of_which_none_has_a_label_have_no_score(tmp_path: Path) -> None:
    it = example("logistic", features=True)
    (tmp_path / "rows.csv").write_text("a,b,c,d,y\n1,2,3,4,\n2,3,4,5,\n")

    rows, stderr = predicted(write(it.artifact, tmp_path / "model"), "rows.csv")

    assert len(rows) == 3
    assert "2 rows, 2 without a label" in stderr
    assert "accuracy" not in stderr


def test_nulls_for_labels_are_rows_without_a_label(tmp_path: Path) -> None:
    it = example("logistic", features=True)
    columns = dict(zip(NAMES, it.X.T, strict=True))
    labels = pa.array([None, *map(int, labels_of(TrainedModel(it.artifact), it.X)[1:])])
    pq.write_table(pa.table({**columns, "y": labels}), tmp_path / "rows.parquet")

    rows, stderr = predicted(write(it.artifact, tmp_path / "model"), "rows.parquet")

    assert len(rows) == 101
    assert "100 rows, 1 without a label" in stderr
    assert "accuracy" in stderr


WITH_IDS = 'id,a,b,name,c,d,y\n007,1,2,"x",3,4,1\n,2,3,z,4,5,\n8,3,4,é,5,6,2\n'


def test_columns_that_are_no_features_are_left_out_and_may_be_kept(tmp_path: Path) -> None:
    it = example("logistic", features=True)
    (tmp_path / "rows.csv").write_text(WITH_IDS.replace('"', ""))
    model = write(it.artifact, tmp_path / "model")

    plain, stderr = predicted(model, "rows.csv")
    rows, _ = predicted(model, "rows.csv", "--keep", "name", "--keep", "id", "--keep", "-1")

    assert "no features, and left out: id, name" in stderr
    assert [row[3:] for row in rows] == plain
    assert [row[:3] for row in rows] == [
        ["name", "id", "-1"], ["x", "007", "1"], ["z", "", ""], ["é", "8", "2"]
    ]  # fmt: skip
    expected = TrainedModel(it.artifact).predict([[1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]])
    assert [float(row[0]) for row in plain[1:]] == expected.tolist()


VARIANTS = {
    "gzip": lambda text: gzip.compress(text.encode()),
    "bom, crlf": lambda text: ("\ufeff" + text.replace("\n", "\r\n")).encode(),
    "cr": lambda text: text.replace("\n", "\r").encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "latin-1": lambda text: text.encode("latin-1"),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "blank lines": lambda text: text.replace("\n", "\n  \n").encode(),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_dialect_of_text_gives_the_same(variant: str, tmp_path: Path) -> None:
    it = example("logistic", features=True)
    text = WITH_IDS.replace('"', "")
    (tmp_path / "plain.csv").write_text(text)
    ending = ".gz" if variant == "gzip" else ""
    (tmp_path / f"rows.csv{ending}").write_bytes(VARIANTS[variant](text))
    model = write(it.artifact, tmp_path / "model")

    found, stderr = predicted(model, f"rows.csv{ending}", "--keep", "name", "--keep", "id")

    assert found == predicted(model, "plain.csv", "--keep", "name", "--keep", "id")[0]
    assert "assumed: format csv" in stderr


def test_text_may_be_written_in_another_way_than_in_training(tmp_path: Path) -> None:
    it = example("linear", features=True)
    (tmp_path / "rows.csv").write_text(text_of(it.X, names=NAMES))
    (tmp_path / "comma.csv").write_text(
        text_of(it.X, names=NAMES).replace(",", ";").replace(".", ",")
    )
    model = write(it.artifact, tmp_path / "model")

    rows, _ = predicted(model, "rows.csv")
    commas, stderr = predicted(model, "comma.csv", "--set", "decimal=,")

    assert commas == rows
    assert "columns are separated by ';'; --set delimiter says otherwise" in stderr
    assert "not a number; give --set decimal=, if that" in refused(model, "comma.csv")
    assert "--set: expected delimiter, " in refused(model, "rows.csv", "--set", "scale=none")
    assert "--set: decimal: expected" in refused(model, "rows.csv", "--set", "decimal=x")


def test_columns_of_parquet_are_kept_with_their_types(tmp_path: Path) -> None:
    it = example("linear", features=True)
    columns = dict(zip(NAMES, it.X.T, strict=True))
    kept = {"id": pa.array(range(100), pa.int64()), "day": pa.array(["x"] * 100)}
    pq.write_table(pa.table({**columns, **kept}), tmp_path / "rows.parquet", row_group_size=7)
    model = write(it.artifact, tmp_path / "model")
    arguments = ("rows.parquet", "--keep", "day", "--keep", "id")

    predicted(model, *arguments, "--out", "out.parquet")
    rows, _ = predicted(model, *arguments)

    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.field("id").type == pa.int64()
    assert table.schema.field("day").type == pa.string()
    assert table.column_names == ["day", "id", "prediction"] == rows[0]
    assert table["id"].to_pylist() == list(range(100)) == [int(row[1]) for row in rows[1:]]
    assert np.array_equal(table["prediction"], np.array([row[2] for row in rows[1:]], np.float32))


@pytest.mark.parametrize("kind", ["logistic", "svm of several classes", "linear", "kmeans"])
def test_every_format_of_predictions_has_the_same_content(kind: str, tmp_path: Path) -> None:
    it = example(kind, features=True)
    (tmp_path / "rows.csv").write_text(text_of(it.X, names=NAMES))
    model = write(it.artifact, tmp_path / "model")

    rows, _ = predicted(model, "rows.csv", "--keep", "a")
    for out in ("x.parquet", "x.jsonl", "x.csv", "x.csv.gz", "x.jsonl.gz"):
        predicted(model, "rows.csv", "--keep", "a", "--out", out)
    lines, _ = CliRunner().invoke(
        app, ["predict", str(model), "rows.csv", "--keep", "a", "--out-format", "jsonl"]
    ).stdout, None  # fmt: skip

    text = (tmp_path / "x.csv").read_text()
    assert list(csv.reader(io.StringIO(text))) == rows
    assert gzip.decompress((tmp_path / "x.csv.gz").read_bytes()).decode() == text
    json_text = (tmp_path / "x.jsonl").read_text()
    assert gzip.decompress((tmp_path / "x.jsonl.gz").read_bytes()).decode() == json_text == lines
    objects = [json.loads(line) for line in json_text.splitlines()]
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.column_names == rows[0] == list(objects[0])
    for name in table.column_names[1:]:
        place = rows[0].index(name)
        expected = np.array([row[place] for row in rows[1:]], np.float32)
        assert np.array_equal(table[name], expected)
        assert np.array_equal(np.array([each[name] for each in objects], np.float32), expected)


def test_a_folder_is_read_as_one_table(tmp_path: Path) -> None:
    it = example("softmax")
    y = labels_of(TrainedModel(it.artifact), it.X)
    model = write(it.artifact, tmp_path / "model")
    (tmp_path / "rows.csv").write_text(text_of(it.X, y))
    (tmp_path / "many" / "b").mkdir(parents=True)
    (tmp_path / "many" / "_temporary").mkdir()
    (tmp_path / "many" / "a.csv").write_text(text_of(it.X[:30], y[:30]))
    (tmp_path / "many" / "b" / "c.csv").write_text(text_of(it.X[30:], y[30:]))
    (tmp_path / "many" / "_temporary" / "x.csv").write_text("1")
    (tmp_path / "many" / "_SUCCESS").touch()

    one, said = predicted(model, "rows.csv", "--keep", "2")
    many, also_said = predicted(model, "many", "--keep", "2")

    assert many == one
    assert also_said == said
    (tmp_path / "many" / "d.tsv").write_text("1")
    assert "--format: expected one of csv, tsv, because there are" in refused(model, "many")


def test_files_of_a_folder_may_have_their_columns_in_another_order(tmp_path: Path) -> None:
    it = example("linear", features=True)
    model = write(it.artifact, tmp_path / "model")
    (tmp_path / "many").mkdir()
    (tmp_path / "rows.csv").write_text(text_of(it.X, names=NAMES))
    (tmp_path / "many" / "a.csv").write_text(text_of(it.X[:30], names=NAMES))
    (tmp_path / "many" / "b.csv").write_text(text_of(it.X[30:, ::-1], names=NAMES[::-1]))

    one, _ = predicted(model, "rows.csv", "--keep", "a")
    many, _ = predicted(model, "many", "--keep", "a")

    assert many == one


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_folders_are_columns_if_they_are_so_in_the_job(ending: str, tmp_path: Path) -> None:
    it = example("linear", features=True)
    it.artifact.card["job"]["data"] |= {"path_columns": True}
    model = write(it.artifact, tmp_path / "model")
    X = it.X.copy()
    X[:, 3] = np.repeat([2020.0, 2021.0], len(X) // 2)
    (tmp_path / "rows.csv").write_text(text_of(X, names=NAMES))
    for year, rows in ((2020, X[: len(X) // 2, :3]), (2021, X[len(X) // 2 :, :3])):
        folder = tmp_path / "many" / f"d={year}"
        folder.mkdir(parents=True)
        if ending == "csv":
            (folder / "x.csv").write_text(text_of(rows, names=NAMES[:3]))
        else:
            columns = dict(zip(NAMES[:3], rows.T, strict=True))
            pq.write_table(pa.table(columns), folder / "x.parquet")

    one, _ = predicted(model, "rows.csv")
    many, _ = predicted(model, "many", "--keep", "d", "--keep", "a")
    alone, _ = predicted(model, "many", "--keep", "d")
    single, _ = predicted(model, f"many/d=2021/x.{ending}")

    assert [row[2:] for row in many] == [row[1:] for row in alone] == one
    assert [row[0] for row in many] == ["d", *["2020"] * (len(X) // 2), *["2021"] * (len(X) // 2)]
    assert single[1:] == one[1 + len(X) // 2 :]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_objects_of_a_folder_may_have_their_columns_in_another_order(
    ending: str, tmp_path: Path
) -> None:
    it = example("linear", features=True)
    table = pa.table({"id": [f"p{n}" for n in range(100)], **dict(zip(NAMES, it.X.T, strict=True))})
    parts = [table.slice(0, 40), table.slice(40).select(["d", "id", "b", "c", "a"])]
    (tmp_path / "rows").mkdir()
    for number, part in enumerate(parts):
        path = tmp_path / "rows" / f"{number}.{ending}"
        if ending == "csv":
            pa_csv.write_csv(part, path)
        else:
            pq.write_table(part, path)

    rows, _ = predicted(write(it.artifact, tmp_path / "model"), "rows", "--keep", "id")

    assert [row[0] for row in rows[1:]] == table["id"].to_pylist()
    expected = TrainedModel(it.artifact).predict(it.X)
    assert np.allclose([float(row[1]) for row in rows[1:]], expected, rtol=1e-4, atol=1e-4)


def test_a_table_without_rows_has_no_predictions(tmp_path: Path) -> None:
    model = write(example("linear", features=True).artifact, tmp_path / "model")
    (tmp_path / "rows.csv").write_text("a,b,c,d\n" + ("\n" + " " * 98 + "\n") * 11_000)

    for out in ("x.csv", "x.jsonl", "x.parquet"):
        _, stderr = predicted(model, "rows.csv", "--header", "--out", out)
        assert "0 rows" in stderr

    assert (tmp_path / "x.csv").read_text() == "prediction\n"
    assert (tmp_path / "x.jsonl").read_text() == ""
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 0


@pytest.mark.parametrize("where", ["/dev/full", "file/x.csv"])
def test_predictions_that_cannot_be_written_leave_nothing(where: str, tmp_path: Path) -> None:
    it = example("logistic")
    (tmp_path / "rows.csv").write_text(text_of(it.X))
    (tmp_path / "file").touch()
    model = write(it.artifact, tmp_path / "model")

    line = refused(model, "rows.csv", "--out", where, code=3 if "full" in where else 2)

    assert f"--out '{where}' cannot be written: " in line
    assert not list(tmp_path.glob(".*"))


def test_the_file_of_the_rows_is_not_overwritten(tmp_path: Path) -> None:
    it = example("logistic")
    rows = tmp_path / "rows.csv"
    rows.write_text(text_of(it.X))
    before = rows.read_text()
    model = write(it.artifact, tmp_path / "model")

    line = refused(model, "rows.csv", "--out", str(rows))

    assert "--out: expected another file than that of the rows" in line
    assert rows.read_text() == before


def test_an_unknown_model_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.csv").write_text("1,2\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    line = refused("absent", "rows.csv", code=3)

    assert "there is no model at absent or runs/absent, and nothing answers at" in line
