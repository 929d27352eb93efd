"""Estimators of scikit-learn train as jobs, and do all that scikit-learn asks of estimators.

With STEPML_ALL_CHECKS, as `make estimators` sets it, every check of scikit-learn runs; otherwise
those in `SHORT`.
"""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import stepml
from stepml import StepMLClassifier, StepMLKMeans, StepMLRegressor
from stepml.estimators import clean_up
from stepml.tracking import JsonLines
from tests.support.local_stack import LocalStack
from tests.support.paths import ROOT

ESTIMATORS: list[Any] = [StepMLClassifier, StepMLRegressor, StepMLKMeans]
# Checks that fail, and why this is no mistake; that they fail is checked as well.
EXCLUDED = {
    (StepMLClassifier, "check_sample_weight_equivalence_on_dense_data"): "asks for 1e-7, but "
    "parameters are float32: a test below asks for 1e-4",
    (StepMLClassifier, "check_sample_weight_equivalence_on_sparse_data"): "likewise",
    (
        StepMLKMeans,
        "check_sample_weight_equivalence_on_dense_data",
    ): "k-means++ draws rows by their "
    "positions, and repeated rows have others: another start, as in scikit-learn's own KMeans",
    (StepMLKMeans, "check_sample_weight_equivalence_on_sparse_data"): "likewise",
}
SHORT = {
    "check_estimators_unfitted",
    "check_n_features_in",
    "check_no_attributes_set_in_init",
    "check_set_params",
    "check_sample_weights_list",
    "check_parameters_default_constructible",
}
X, y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"], object)[y]


def checks() -> Iterator[Any]:
    """Yield each check of each estimator with a name."""
    for kind in ESTIMATORS:
        for number, (_, check) in enumerate(estimator_checks_generator(kind())):
            name = (check.func if isinstance(check, partial) else check).__name__
            if "STEPML_ALL_CHECKS" in os.environ or name in SHORT:
                yield pytest.param(kind, name, check, id=f"{kind.__name__}-{number}-{name}")


@pytest.fixture(scope="module", autouse=True)
def aws(local_stack: LocalStack) -> Iterator[LocalStack]:
    """Every fit trains on this stack, and all of them together leave nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", local_stack.endpoint_url)
        yield local_stack
        clean_up()


def stored(aws: LocalStack) -> set[str]:
    return {key for prefix in ("data/", "fits/", "jobs/", "datasets/") for key in aws.keys(prefix)}


@pytest.mark.filterwarnings("ignore")  # checks provoke them
@pytest.mark.parametrize(("kind", "name", "check"), list(checks()))
def test_scikit_learn_accepts_the_estimator(kind: Any, name: str, check: Any) -> None:
    if (kind, name) in EXCLUDED:
        with pytest.raises(AssertionError):
            check(kind())
    else:
        check(kind())


def test_a_grid_search_trains_in_several_processes() -> None:
    pipeline = make_pipeline(StandardScaler(), StepMLClassifier(client=stepml.Client()))
    grid = GridSearchCV(pipeline, {"stepmlclassifier__l2": [1e-3, 1.0]}, cv=2, n_jobs=2)
    grid.fit(X, NAMES)
    assert grid.best_params_ == {"stepmlclassifier__l2": 1e-3}
    assert grid.best_score_ > 0.9
    assert set(grid.predict(X)) == set(NAMES)


def test_callbacks_of_the_client_hear_of_fits(tmp_path: Path) -> None:
    client = stepml.Client(callbacks=[JsonLines(tmp_path / "fits.jsonl")])
    model = clone(StepMLRegressor(client=client)).fit(X, y)
    lines = [json.loads(each) for each in (tmp_path / "fits.jsonl").read_text().splitlines()]
    assert {each["job_id"] for each in lines} == {model.run_.name}
    assert sum(each["event"] == "epoch" for each in lines) == model.n_iter_
    assert pickle.loads(pickle.dumps(client)).callbacks == ()


def test_a_saved_estimator_has_neither_data_nor_connection() -> None:
    model = StepMLClassifier(workers=2, client=stepml.Client()).fit(X, NAMES)
    file = io.BytesIO()
    joblib.dump(model, file)
    assert len(file.getvalue()) < X.nbytes + 10_000
    file.seek(0)
    loaded = joblib.load(file)
    assert not hasattr(loaded, "run_")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert loaded.history_ == model.history_


def test_a_fit_leaves_nothing_unless_it_is_asked_to(aws: LocalStack) -> None:
    clean_up()
    before = stored(aws)
    StepMLRegressor().fit(X, y)
    assert not {key for key in stored(aws) - before if key.startswith("jobs/")}
    with pytest.raises(ValueError, match=r"BadRowError.*1e\+39, too large for float32"):
        StepMLRegressor().fit(np.where(X.max() == X, 1e39, X), y)
    clean_up()
    assert stored(aws) == before
    kept = StepMLRegressor(keep=True).fit(X, y)
    clean_up()
    assert kept.run_.model().card == kept.model_.card


def test_fits_on_the_same_rows_share_an_upload_and_its_partition(aws: LocalStack) -> None:
    clean_up()
    before = stored(aws)
    for l2 in (0.1, 0.2):
        StepMLRegressor(l2=l2).fit(X + 1, y)
    new = stored(aws) - before
    assert len({key for key in new if key.startswith("fits/")}) == 1
    assert len({key for key in new if key.endswith("/manifest.json")}) == 1


def test_a_table_may_have_words_and_lack_values() -> None:
    frame = pd.DataFrame({"length": X[:, 0], "kind": NAMES, "seen": X[:, 1] > 3})
    frame.loc[3, "length"] = None
    labels = pd.Series(np.where(y == 0, "short", "long"), name="size")
    model = StepMLClassifier().fit(frame, labels)
    assert model.feature_names_in_.tolist() == ["length", "kind", "seen"]
    assert model.classes_.tolist() == ["long", "short"]
    assert model.score(frame[["seen", "kind", "length"]][["length", "kind", "seen"]], labels) == 1
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"kind": "sort"}))


def test_weights_are_those_of_scikit_learn() -> None:
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    repeated = np.repeat(np.arange(len(X)), weights)
    exact = {"objective_tolerance": 0, "absolute_tolerance": 1e-6, "local_iterations": 1000}
    model = StepMLClassifier(algorithm={"name": "admm", **exact}, l2=0.1)
    probabilities = model.fit(X, y, weights).predict_proba(X)
    model.fit(X[repeated], y[repeated])
    assert np.allclose(model.predict_proba(X), probabilities, atol=1e-4)
    ridge = Ridge(0.1 * weights.sum()).fit(X, y, weights)
    ours = StepMLRegressor(l2=0.1, standardise=False).fit(X, y, weights)
    assert np.allclose(ours.coef_, ridge.coef_, atol=1e-5)
    assert ours.intercept_ == pytest.approx(ridge.intercept_, abs=1e-5)


def test_the_same_fit_has_the_same_result_wherever_it_trains() -> None:
    rows = sparse.csr_array(X)
    first = StepMLClassifier("svm", workers=3, epochs=2, algorithm="model_averaging")
    second = clone(first).set_params(channel="dynamodb", pattern="reduce_scatter")
    assert np.array_equal(first.fit(rows, y).coef_, second.fit(rows, y).coef_)
    assert not hasattr(first, "predict_proba")
    assert first.n_iter_ == len(first.history_) == 2


def test_a_model_may_be_code_of_ones_own() -> None:
    huber = {"name": "custom", "entry_point": "huber:Huber", "options": {"delta": 0.5}}
    model = StepMLRegressor({**huber, "convex": True}, code=ROOT / "examples" / "own_code").fit(
        X, y
    )
    assert model.score(X, y) > 0.8
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


def test_a_score_of_folds_is_that_of_the_model() -> None:
    assert cross_val_score(StepMLClassifier(), X, NAMES, cv=2).min() > 0.9


def test_wrong_parameters_are_refused_before_anything_is_stored(aws: LocalStack) -> None:
    before = stored(aws)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"channel": "redi"}, r"exchange.channel: .*did you mean 'redis'"),
        ({"epochs": 0}, "stop.max_epochs: expected an integer from 1"),
        ({"learning_rate": 0.1}, "learning_rate: depends on the algorithm"),
        ({"workers": 1000}, "workers: expected at most the number of rows, n_samples=150"),
        ({"workers": "2"}, "workers: expected an integer"),
        ({"client": "local"}, "client: expected a stepml.Client or None, got 'local'"),
        ({"job": "x"}, "job: expected a mapping of fields, got 'x'"),
        ({"model": stepml.Svm}, "model: expected a name, a mapping"),
        ({"model": "kmeans"}, "model: a classifier trains logistic_regression"),
        ({"model": {"name": "svm", "positive_class": 1}}, "model.positive_class: a classifier"),
        ({"job": {"stop": {"patienc": 3}}}, "did you mean 'patience'"),
        ({"class_weight": {"rosa": 2}}, "class_weight: expected labels among"),
    ]
    for settings, message in wrong:
        with pytest.raises(ValueError, match=message):
            StepMLClassifier(**settings).fit(X, NAMES)
    assert stored(aws) == before
