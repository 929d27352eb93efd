"""Trained models: their places, their predictions, and input that they refuse."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn import metrics

import stepml
from stepml.job import keys
from stepml.ml.artifact import DamagedArtifactError
from stepml.ml.data import scaled
from stepml.model_loading import ModelNotFoundError
from stepml.records.errors import EndpointUnreachableError
from stepml.trained.rows import BlockSizes
from stepml.trained_model import TrainedModel
from tests.support.artifacts import MODELS, N_FEATURES, Example, example, write
from tests.support.moto_stack import BUCKET, MotoStack, running_stack

CLASSIFIERS = [kind for kind in MODELS if kind not in ("linear", "kmeans")]
WITH_PROBABILITIES = [kind for kind in CLASSIFIERS if "svm" not in kind]


def trained(it: Example) -> TrainedModel:
    return TrainedModel(it.artifact)


@pytest.fixture(scope="module")
def stack() -> Iterator[MotoStack]:
    with running_stack() as running:
        yield running


def test_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, stepml; assert stepml.__version__; "
        "print({'numpy', 'boto3', 'msgspec'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert answer.stdout.strip() == b"set()"


def test_predicting_from_files_needs_no_client_of_aws(tmp_path: Path) -> None:
    write(example().artifact, tmp_path)
    code = (
        "import sys, stepml; stepml.load_model(sys.argv[1]).predict([[1, 2, 3, 4]]); "
        "print({'boto3', 'scipy', 'sklearn', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]

    assert subprocess.run(command, capture_output=True, check=True).stdout.strip() == b"set()"


def test_the_package_says_which_names_it_lacks() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_models'"):
        _ = stepml.load_models


@pytest.mark.parametrize("kind", ["logistic", "logistic, one against rest"])
def test_the_examples_of_the_documentation_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = example(kind)
    write(it.artifact, tmp_path / "runs" / "my-run")
    y = trained(it).predict(it.X)
    rows = np.column_stack([it.X, np.where(y == 1, 3, 7) if "rest" in kind else y])
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",")
    text = Path("docs/models.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)

    assert names["model"].score(names["X"], names["y"]) == 1


@pytest.mark.parametrize("place", ["", "model.safetensors", "model.json", "model/", "job"])
def test_a_model_is_found_in_files(tmp_path: Path, place: str) -> None:
    it = example()
    inner = {"model/": tmp_path / "model", "job": tmp_path / "job" / "model"}
    write(it.artifact, inner.get(place, tmp_path))

    for where in (tmp_path / place, str(tmp_path / place)):
        assert np.array_equal(stepml.load_model(where).predict(it.X), trained(it).predict(it.X))


@pytest.mark.parametrize(
    "place", ["", "/", "/model", "/model/", "/model/model.safetensors", "/model/model.json"]
)
def test_a_model_is_found_in_s3(stack: MotoStack, place: str) -> None:
    it = example()
    packed, card = it.artifact.pack()
    stack.put(keys.model("found"), packed)
    stack.put(keys.model_card("found"), card)

    found = stepml.load_model(f"s3://{BUCKET}/jobs/found{place}", endpoint_url=stack.endpoint_url)

    assert np.array_equal(found.predict(it.X), trained(it).predict(it.X))


def test_a_model_is_found_here_and_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(example().artifact, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    for place in ("", ".", "~", "~/model.json"):
        stepml.load_model(place)


def test_a_missing_model_is_told(stack: MotoStack, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model at .*: expected model.safetensors"):
        stepml.load_model(tmp_path)
    with pytest.raises(FileNotFoundError, match="no model at s3://"):
        stepml.load_model(f"s3://{BUCKET}/jobs/none", endpoint_url=stack.endpoint_url)


def test_a_service_that_does_not_answer_is_no_missing_model() -> None:
    with pytest.raises(EndpointUnreachableError, match="nothing answers"):
        stepml.load_model("s3://bucket/jobs/x", endpoint_url="http://127.0.0.1:9")


def test_a_missing_card_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    write(example().artifact, tmp_path)
    arrays = tmp_path / "model.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedArtifactError, match=r"model\.safetensors: the digest of the arrays"):
        stepml.load_model(tmp_path)
    (tmp_path / "model.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"has no card: expected .*/model\.json"):
        stepml.load_model(tmp_path)


@pytest.mark.parametrize("prepared", ["", "dense", "sparse"])
@pytest.mark.parametrize("kind", MODELS)
def test_predictions_are_those_of_the_model_on_prepared_rows(kind: str, prepared: str) -> None:
    it = example(kind, prepared=prepared)
    model, w = it.artifact.model, it.artifact.parameters
    X = scaled(it.X, it.artifact.scale) if it.artifact.scale else it.X

    assert np.array_equal(trained(it).predict(it.X), model.predict(w, X))


def test_whole_numbers_and_bools_are_rows_too() -> None:
    model = trained(example())
    X = np.arange(-4, 4).reshape(2, 4)

    for dtype in (np.int8, np.int64, np.float16, np.bool_):
        same = X.astype(dtype)
        assert np.array_equal(model.predict(same), model.predict(same.astype(np.float32)))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_blocks_are_seen_nowhere(kind: str, sparse: bool) -> None:
    it = example(kind, prepared="dense")
    X = it.sparse if sparse else it.X
    model = trained(it)
    whole = model.predict(X)
    model._preparation.block_sizes = BlockSizes(values=12, rows=3)

    # Only sums of floats may differ, by the order of addition.
    assert np.allclose(model.predict(X), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_no_rows_have_no_predictions(kind: str) -> None:
    model = trained(example(kind, prepared="dense"))

    for X in (np.zeros((0, N_FEATURES)), scipy.sparse.csr_matrix((0, N_FEATURES))):
        assert model.predict(X).shape == (0,)
        for name in ("decision_function", "predict_proba"):
            if hasattr(model, name):
                assert len(getattr(model, name)(X)) == 0


def test_rows_are_left_as_they_are() -> None:
    it = example(prepared="dense", missing="mean")
    X, sparse = it.X.copy(), scipy.sparse.csr_matrix(it.X)
    X[0, 0] = np.nan
    before, values = X.copy(), sparse.data.copy()

    trained(it).predict(X)
    trained(it).predict(sparse)

    assert np.array_equal(X, before, equal_nan=True)
    assert np.array_equal(sparse.data, values)


@pytest.mark.parametrize("prepared", ["", "dense"])
@pytest.mark.parametrize("kind", WITH_PROBABILITIES)
def test_probabilities_and_decisions_are_in_the_order_of_classes(kind: str, prepared: str) -> None:
    it = example(kind, prepared=prepared)
    model = trained(it)
    predicted, probabilities = model.predict(it.X), model.predict_proba(it.X)
    decisions = model.decision_function(it.X)

    assert np.allclose(probabilities.sum(axis=1), 1)
    assert np.array_equal(model.classes_[probabilities.argmax(axis=1)], predicted)
    second = decisions > 0 if decisions.ndim == 1 else decisions.argmax(axis=1)
    assert np.array_equal(model.classes_[np.asarray(second, int)], predicted)


@pytest.mark.parametrize("prepared", ["", "dense", "sparse"])
@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "kmeans"])
def test_coefficients_are_those_of_rows_as_in_the_data(kind: str, prepared: str) -> None:
    it = example(kind, prepared=prepared)
    model = trained(it)
    assert (it.artifact.scale is None) == (prepared == "")
    z = it.X @ model.coef_.T + model.intercept_

    if kind == "linear":
        assert (model.coef_.shape, type(model.intercept_)) == ((N_FEATURES,), float)
        assert np.allclose(z, model.predict(it.X), atol=1e-5)
    else:
        assert model.coef_.shape == (len(model.intercept_), N_FEATURES)
        decisions = model.decision_function(it.X)
        assert np.allclose(z.reshape(decisions.shape), decisions, atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_has_what_its_kind_has(kind: str) -> None:
    model = trained(example(kind))

    assert hasattr(model, "predict_proba") == (kind in WITH_PROBABILITIES)
    for name in ("classes_", "decision_function"):
        assert hasattr(model, name) == (kind in CLASSIFIERS)
    for name in ("coef_", "intercept_"):
        assert hasattr(model, name) == (kind != "kmeans")
    assert hasattr(model, "cluster_centers_") == (kind == "kmeans")
    assert not hasattr(model, "feature_names_in_")
    assert model.n_features_in_ == N_FEATURES


def test_what_is_lacking_is_named_with_who_has_it() -> None:
    with pytest.raises(AttributeError, match="a svm has no predict_proba: only logistic_regress"):
        _ = trained(example("svm")).predict_proba


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_the_score_of_a_classifier_is_its_accuracy(kind: str) -> None:
    it = example(kind)
    model = trained(it)
    predicted = model.predict(it.X)
    truth = predicted.copy()
    truth[:13] = model.classes_[np.searchsorted(model.classes_, predicted[:13]) - 1]
    y = np.where(truth == 1, 3, 7) if kind == "logistic, one against rest" else truth

    assert model.score(it.X, y) == pytest.approx(0.87)
    assert model.score(it.X, y.tolist()) == pytest.approx(0.87)
    assert metrics.accuracy_score(model.expected(y) * 2, predicted * 2) == pytest.approx(0.87)


def test_one_label_against_the_rest_is_scored_by_labels_or_bools() -> None:
    it = example("logistic, one against rest")
    model = trained(it)
    predicted = model.predict(it.X)

    assert model.score(it.X, predicted == 1) == 1
    with pytest.raises(ValueError, match="got only 0 and 1, and neither is the learnt class 3"):
        model.score(it.X, predicted)


def test_the_scores_of_other_models_are_those_of_scikit_learn() -> None:
    it = example("linear", prepared="dense")
    model = trained(it)
    y = model.predict(it.X) + np.arange(100) % 7
    assert model.score(it.X, y) == pytest.approx(metrics.r2_score(y, model.predict(it.X)))
    assert model.score(it.X, np.ones(100)) == 0
    it = example("kmeans", prepared="dense")
    model = trained(it)
    assert it.artifact.scale is not None
    X = np.asarray(scaled(it.X, it.artifact.scale))
    own = model.cluster_centers_[model.predict(it.X)]
    assert model.score(it.X) == pytest.approx(-np.square(X - own).sum(), rel=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("missing", ["zero", "mean"])
def test_missing_values_are_what_the_job_made_of_them(missing: str, sparse: bool) -> None:
    it = example("linear", prepared="dense", missing=missing)
    assert it.artifact.scale is not None
    X, filled = it.X.copy(), it.X.copy()
    X[3, 1] = np.nan
    filled[3, 1] = it.artifact.scale.fill[1] if missing == "mean" else 0
    held = scipy.sparse.csr_matrix(X) if sparse else X

    assert np.array_equal(trained(it).predict(held), trained(it).predict(filled))


@pytest.mark.parametrize("prepared", ["", "dense"])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_missing_value_is_refused_if_the_job_had_none(sparse: bool, prepared: str) -> None:
    it = example(prepared=prepared, features=True)
    it.X[7, 2] = np.nan
    X = scipy.sparse.csr_matrix(it.X) if sparse else it.X

    with pytest.raises(ValueError, match=r"no value \(NaN\) in row 7, feature 2 \('c'\)"):
        trained(it).predict(X)
