"""Labels that are no numbers: a job with them is the job with 0, 1, 2, …, and speaks of names."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stepml.job import keys
from stepml.job.errors import BadLabelError, BadRowError
from stepml.job.reports import JobReport
from stepml.ml.artifact import Artifact
from stepml.trained_model import TrainedModel
from tests.support.jobs import Job

N_ROWS = 240
RNG = np.random.default_rng(3)
CODES = RNG.integers(0, 3, N_ROWS)
X = pd.DataFrame({"a": CODES + RNG.normal(0, 0.7, N_ROWS), "b": RNG.normal(size=N_ROWS)})
ROWS = X.to_numpy()
# Of one length, so that rows of CSV lie at the same places.
TEXT = ["a", "b", "z"]
BIG = [20180130, 20180131, 20180199]
BOOLEANS = [False, True]
LABELS: dict[str, list[Any]] = {"text": TEXT, "integer": BIG, "boolean": BOOLEANS}
MODELS: dict[str, dict[str, Any]] = {
    "softmax_regression": {"class_weight": {0: 2, 1: 0.5}},
    "svm": {},
    "logistic_regression": {"positive_class": 1, "class_weight": "balanced"},
}


def content_of(labels: list[Any], format: str) -> bytes:  # noqa: A002 - the job's field
    chosen = [labels[code % len(labels)] for code in CODES]
    file = io.BytesIO()
    if format == "npz":
        np.savez(file, X=np.ascontiguousarray(X), y=np.array(chosen))
    elif format == "parquet":
        X.assign(y=chosen).to_parquet(file, index=False)
    else:
        X.assign(y=chosen).to_csv(file, index=False, float_format="%.3f")
    return file.getvalue()


def trained(content: bytes, format: str, **spec: Any) -> tuple[TrainedModel, JobReport]:  # noqa: A002
    data = {"uri": f"s3://data/rows.{format}", "format": format, "standardise": True}
    job = Job(**{"stop": {"max_epochs": 1}, **spec, "data": data | spec.get("data", {})})
    job.data.save(f"rows.{format}", content)
    job.initialised()
    job.epoch(1)
    report = job.finalise(1)
    files = (job.storage.load(key("job")) for key in (keys.model, keys.model_card))
    return TrainedModel(Artifact.unpack(*files)), report


def named(model: dict[str, Any], labels: list[Any]) -> dict[str, Any]:
    """Return the model's fields with ``labels`` in the place of their codes."""
    found = dict(model)
    if "positive_class" in model:
        found["positive_class"] = labels[model["positive_class"]]
    if isinstance(weights := model.get("class_weight"), dict):
        found["class_weight"] = {str(labels[code]): weight for code, weight in weights.items()}
    return found


@pytest.mark.parametrize("format", ["csv", "npz", "parquet"])
@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", LABELS)
def test_names_do_not_change_what_is_learnt(
    kind: str,
    name: str,
    stratify: bool,
    format: str,  # noqa: A002 - the job's field
) -> None:
    labels, data = LABELS[kind], {"stratify": stratify}
    codes = list(range(len(labels)))
    width = {"text": 1, "integer": 8, "boolean": 5}[kind]
    if format == "csv" and kind != "text":  # numbers of this length, with the same value
        codes = [f"{code}.{'0' * (width - 2)}" for code in codes]
    if format == "csv" and kind == "boolean":
        labels = ["False", "True "]  # the blank makes it as long, and is no part of it
    plain, before = trained(
        content_of(codes, format),
        format,
        data=data,
        model={"name": name, **named(MODELS[name], [0, 1, 2])},
    )
    asked = {"name": name, **named(MODELS[name], LABELS[kind])}
    model, report = trained(content_of(labels, format), format, data=data, model=asked)

    np.testing.assert_array_equal(model.coef_, plain.coef_)
    assert report.metrics == before.metrics
    assert report.confusion_matrix == before.confusion_matrix
    is_one_of_many = name == "logistic_regression" and kind != "boolean"
    expected = [0, 1] if is_one_of_many else LABELS[kind]
    assert model.classes_.tolist() == expected
    assert [each.label for each in report.per_class] == expected
    assert report.dataset.classes == LABELS[kind]
    predicted = plain.predict(ROWS).astype(int)
    assert model.predict(ROWS).tolist() == [expected[code] for code in predicted]
    y = [LABELS[kind][code % len(labels)] for code in CODES]
    assert model.score(ROWS, y) == plain.score(ROWS, CODES % len(labels))
    assert model.expected(y).tolist() == [
        label == LABELS[kind][1] if is_one_of_many else label for label in y
    ]


@pytest.mark.parametrize("kind", LABELS)
def test_classes_have_the_type_of_the_labels(kind: str) -> None:
    model, _ = trained(content_of(LABELS[kind], "npz"), "npz", model={"name": "softmax_regression"})
    dtype = {"text": np.str_, "integer": np.int64, "boolean": np.bool_}[kind]
    assert model.classes_.dtype.type is model.predict(ROWS).dtype.type is dtype


def test_a_positive_class_is_named_in_the_card() -> None:
    model, _ = trained(
        content_of(["no", "yes"], "csv"),
        "csv",
        model={"name": "logistic_regression", "positive_class": "no"},
    )
    assert model.card["positive_class"] == "no"
    assert model.card["negative_class"] == "yes"
    assert model.classes_.tolist() == ["no", "yes"]
    z = model.decision_function(ROWS)
    assert model.predict(ROWS).tolist() == np.where(z > 0, "yes", "no").tolist()


REFUSED: list[tuple[list[Any], dict[str, Any], str]] = [
    (
        TEXT,
        {"name": "linear_regression"},
        r"the label, column 3 \('y'\): model 'linear_regression' learns numbers, but the labels "
        "are text; classes are learnt by logistic_regression, softmax_regression",
    ),
    (
        TEXT,
        {"name": "logistic_regression"},
        r"column 3 \('y'\): logistic_regression needs two labels, the data have 3 \(a, b, z\); to "
        "learn all of them, choose model softmax_regression",
    ),
    (
        TEXT,
        {"name": "logistic_regression", "positive_class": "rose"},
        r"^model.positive_class: expected a label of the data \(a, b, z\), got rose",
    ),
    (
        TEXT,
        {"name": "logistic_regression", "positive_class": True},
        r"^model.positive_class: expected a label of the data \(a, b, z\), got True",
    ),
    (
        TEXT,
        {"name": "svm", "class_weight": {"rose": 1}},
        r"^model.class_weight: expected labels of the data \(a, b, z\), got 'rose'",
    ),
    ([TEXT[0]], {"name": "svm"}, r"svm needs two labels; the data have only: a"),
    (
        [f"name {number}" for number in range(3)],
        {"name": "svm", "positive_class": "name 7"},
        "got name 7",
    ),
]


@pytest.mark.parametrize(("labels", "model", "message"), REFUSED)
def test_labels_that_do_not_suit_are_refused_by_name(
    labels: list[Any], model: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadLabelError, match=message):
        trained(content_of(labels, "csv"), "csv", model=model)


@pytest.mark.parametrize("name", ["logistic_regression", "softmax_regression", "svm"])
def test_a_continuous_label_is_refused_with_the_model_that_is_meant(name: str) -> None:
    file = io.BytesIO()
    X.assign(price=X.a * 1000).to_csv(file, index=False)
    with pytest.raises(BadLabelError, match="did you mean model linear_regression") as refused:
        trained(file.getvalue(), "csv", model={"name": name})
    assert "the label, column 3 ('price'): " in str(refused.value)
    assert "positive_class" not in str(refused.value)


def test_more_than_1000_texts_are_refused() -> None:
    file = io.BytesIO()
    pd.DataFrame({"x": range(1500), "name": [f"name {n}" for n in range(1500)]}).to_csv(
        file, index=False
    )
    with pytest.raises(BadLabelError, match="more than 1,000 different ones") as refused:
        trained(file.getvalue(), "csv", model={"name": "softmax_regression"})
    assert "linear_regression" not in str(refused.value)


def test_booleans_are_0_and_1_for_a_regression() -> None:
    learnt = {"name": "linear_regression"}
    model, report = trained(content_of(BOOLEANS, "csv"), "csv", model=learnt)
    assert report.dataset.label_range == [0, 1]
    assert not hasattr(model, "classes_")
    plain, _ = trained(content_of([0, 1], "npz"), "npz", model=learnt)
    npz, _ = trained(content_of(BOOLEANS, "npz"), "npz", model=learnt)
    np.testing.assert_array_equal(npz.coef_, plain.coef_)


def test_large_integers_of_libsvm_are_classes() -> None:
    def lines(labels: list[int]) -> bytes:
        rows = zip(CODES % 2, X.a, X.b, strict=True)
        return "".join(f"{labels[code]} 1:{a:.3f} 2:{b:.3f}\n" for code, a, b in rows).encode()

    model, report = trained(lines(BIG), "libsvm", data={"standardise": False})
    plain, _ = trained(lines([10000000, 10000001]), "libsvm", data={"standardise": False})
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    assert model.classes_.tolist() == report.dataset.classes == BIG[:2]


def test_a_missing_label_of_parquet_is_a_bad_row() -> None:
    file = io.BytesIO()
    X.assign(y=[None if n == 7 else TEXT[n % 2] for n in range(N_ROWS)]).to_parquet(file)
    with pytest.raises(BadRowError, match=r"row 7 \(from 0\): the label is missing$"):
        trained(file.getvalue(), "parquet")
    _, report = trained(file.getvalue(), "parquet", data={"on_bad_row": "skip"})
    assert (report.dataset.rows, report.dataset.classes) == (N_ROWS - 1, TEXT[:2])


@pytest.mark.parametrize("positive", [0, "0", "0.0", False], ids=repr)
def test_a_positive_class_that_is_a_number_may_be_written_as_text(positive: Any) -> None:
    content = content_of([0, 1], "npz")
    model, _ = trained(
        content, "npz", model={"name": "logistic_regression", "positive_class": positive}
    )
    assert (model.card["positive_class"], model.card["negative_class"]) == (0, 1)
    with pytest.raises(BadLabelError, match=r"expected a label of the data \(0, 1\), got yes"):
        trained(content, "npz", model={"name": "svm", "positive_class": "yes"})


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC, csv.QUOTE_ALL])
def test_labels_may_be_quoted_beside_columns_of_any_type(quoting: Any) -> None:
    labels = ["yes, often", 'no "never"']
    table = X.assign(day=np.array(["Mo", "Tu"])[CODES % 2], y=[labels[code % 2] for code in CODES])
    content = table.to_csv(index=False, quoting=quoting).encode()
    model, report = trained(content, "csv")
    assert report.dataset.classes == sorted(labels)
    assert model.score(table, table.y) > 0.8  # the day says it


def test_kmeans_leaves_out_text() -> None:
    model, report = trained(
        content_of([f"name {n}" for n in range(3)], "csv"),
        "csv",
        data={"label": "y"},
        model={"name": "kmeans", "n_clusters": 3},
        algorithm={"name": "expectation_maximisation"},
    )
    assert model.n_features_in_ == 2
    assert report.dataset.classes == []


def test_a_mistake_among_numbers_is_no_text() -> None:
    content = content_of([0, 1], "csv").replace(b",1\n", b",one\n", 1)
    with pytest.raises(BadRowError, match=r"column 3 \('y'\) is 'one', not a number"):
        trained(content, "csv")


def test_a_score_of_strange_labels_says_what_is_wrong() -> None:
    model, _ = trained(content_of(TEXT, "npz"), "npz", model={"name": "softmax_regression"})
    for y, message in [
        ([None] * N_ROWS, "y has no value in row 0"),
        (TEXT, r"expected y of shape \(240,\), got \(3,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.score(ROWS, y)
    assert model.score(ROWS, ["rose"] * N_ROWS) == 0
    booleans, _ = trained(content_of(BOOLEANS, "npz"), "npz")
    with pytest.raises(ValueError, match="y has 'maybe' in row 0, which is neither true nor false"):
        booleans.score(ROWS, ["maybe"] * N_ROWS)
    y = CODES % 2
    assert (
        booleans.score(ROWS, y)
        == booleans.score(ROWS, y == 1)
        == booleans.score(ROWS, y.astype(bool))
    )
