"""scikit-learn gives for a trained model what it gives for its own one with equal coefficients."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any, cast

import joblib
import matplotlib
import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_clusterer, is_regressor
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
    average_precision_score,
    brier_score_loss,
    get_scorer,
    make_scorer,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    TunedThresholdClassifierCV,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from stepml.ml.artifact import Artifact
from stepml.ml.data import scaled
from stepml.ml.models import LogisticRegression as OwnLogisticRegression
from stepml.trained_model import TrainedModel
from tests.support.artifacts import MODELS as NUMBERED
from tests.support.artifacts import NAMED, Example, example

Call = Callable[[Any, Any, Any], Any]

# scikit-learn takes no fractions for classes.
MODELS = [kind for kind in (*NUMBERED, *NAMED) if kind != "svm of several classes"]
REGRESSORS, CLUSTERERS = ["linear"], ["kmeans"]
CLASSIFIERS = [kind for kind in MODELS if kind not in (*REGRESSORS, *CLUSTERERS)]
PROBABLE = [kind for kind in CLASSIFIERS if "svm" not in kind]
SEVERAL = ["softmax", "svm of whole classes", "softmax of text"]
BINARY = [kind for kind in CLASSIFIERS if kind not in SEVERAL]
PROBABLE_BINARY = [kind for kind in PROBABLE if kind in BINARY]
WITH_LABELS = [*CLASSIFIERS, *REGRESSORS]


def oracle(model: TrainedModel) -> Any:
    """Return scikit-learn's model with the coefficients of ``model``, as if it was fitted."""
    if is_clusterer(model):
        centroids = model.cluster_centers_.astype(np.float64)
        own = KMeans(len(centroids), init=centroids, n_init=1, max_iter=1)
        with warnings.catch_warnings(action="ignore"):
            own.fit(centroids)
        return own
    if is_regressor(model):
        own = LinearRegression()
        own.coef_, own.intercept_ = model.coef_, model.intercept_
    else:
        own = LogisticRegression() if hasattr(model, "predict_proba") else LinearSVC()
        own.coef_ = model.coef_
        own.intercept_ = model.intercept_
        own.classes_ = model.classes_
    own.n_features_in_ = model.n_features_in_
    return own


def pair(kind: str, prepared: str = "") -> tuple[TrainedModel, Any, Any, Any, Any]:
    """Return a model, its oracle, rows for each of them, and labels."""
    it = example(kind, prepared=prepared)
    model = TrainedModel(it.artifact)
    rows = it.X
    if it.artifact.scale is not None and is_clusterer(model):  # centroids are of prepared rows
        rows = np.asarray(scaled(it.X, it.artifact.scale))
    return model, oracle(model), it.X, rows.astype(np.float64), labels(it, model)


def labels(it: Example, model: TrainedModel) -> Any:
    """Return labels of which many are predicted correctly, and each occurs."""
    rng = np.random.default_rng(1)
    noise = rng.random(len(it.X)) < 0.3
    if is_classifier(model):
        y = np.where(noise, rng.choice(model.classes_, len(it.X)), model.predict(it.X))
        # As `expected` returns them.
        return y == 1 if model.card.get("negative_class", 0) is None else y
    return model.predict(it.X) + noise


def scorer(name: str) -> Call:
    return cast(Call, get_scorer(name))


def average_precision(response: Any, label: int) -> Call:
    """Return the average precision of one class, by the methods ``response``."""

    def measure(model: Any, X: Any, y: Any) -> Any:
        chosen = {"response_method": response, "pos_label": model.classes_[label]}
        return make_scorer(average_precision_score, **chosen)(model, X, y)

    return measure


def brier_score(model: Any, X: Any, y: Any) -> Any:
    chosen = {"response_method": "predict_proba", "pos_label": model.classes_[0]}
    return make_scorer(brier_score_loss, **chosen)(model, X, y)


def calibrated(model: Any, X: Any, y: Any) -> Any:
    return CalibratedClassifierCV(FrozenEstimator(model)).fit(X, y).predict_proba(X)


def tuned(model: Any, X: Any, y: Any) -> Any:
    wrapped = TunedThresholdClassifierCV(
        FrozenEstimator(model),
        scoring=make_scorer(average_precision_score, pos_label=model.classes_[0]),
        cv="prefit",
        refit=False,
    )
    return wrapped.fit(X, y).predict(X)


def fixed_threshold(response: str) -> Call:
    def predict(model: Any, X: Any, y: Any) -> Any:
        return (
            FixedThresholdClassifier(
                FrozenEstimator(model),
                threshold=0.3,
                pos_label=model.classes_[0],
                response_method=response,
            )
            .fit(X, y)
            .predict(X)
        )

    return predict


def importances(model: Any, X: Any, y: Any) -> Any:
    return permutation_importance(model, X, y, n_repeats=2, random_state=0).importances


def dependence(model: Any, X: Any, y: Any) -> Any:
    return partial_dependence(model, X, [1], grid_resolution=5)["average"]


def pipeline(model: Any, X: Any, y: Any) -> Any:
    whole = make_pipeline(FunctionTransformer(np.negative), model)
    check_is_fitted(whole)
    return whole.predict(X), whole.score(X, y)


def fitted_pipeline(model: Any, X: Any, y: Any) -> Any:
    return make_pipeline(StandardScaler(), FrozenEstimator(model)).fit(X, y).predict(X)


def weighted_score(model: Any, X: Any, y: Any) -> Any:
    return model.score(X, y, sample_weight=np.arange(len(X)))


def cross_validated(model: Any, X: Any, y: Any) -> Any:
    return cross_val_score(FrozenEstimator(model), X, y, cv=3)


def stacked(model: Any, X: Any, y: Any) -> Any:
    prior = DummyClassifier().fit(X, y)
    named = [("model", model), ("prior", prior)]
    return StackingClassifier(named, cv="prefit").fit(X, y).predict_proba(X)


def selected(model: Any, X: Any, y: Any) -> Any:
    return SelectFromModel(model, prefit=True).get_support()


GRID: list[tuple[str, Call, list[str]]] = [
    ("predict", lambda model, X, y: model.predict(X), [*MODELS]),
    ("decision_function", lambda model, X, y: model.decision_function(X), CLASSIFIERS),
    ("predict_proba", lambda model, X, y: model.predict_proba(X), PROBABLE),
    ("predict_log_proba", lambda model, X, y: model.predict_log_proba(X), PROBABLE),
    ("transform", lambda model, X, y: model.transform(X), CLUSTERERS),
    ("names", lambda model, X, y: model.get_feature_names_out().tolist(), CLUSTERERS),
    ("score", lambda model, X, y: model.score(X, y), [*MODELS]),
    ("weighted score", weighted_score, [*MODELS]),
    ("score of one label", lambda model, X, y: model.score(X, np.full(len(X), y[0])), [*MODELS]),
    ("cross validation", cross_validated, WITH_LABELS),
    ("pipeline", pipeline, [*MODELS]),
    ("fitted pipeline", fitted_pipeline, [*MODELS]),
    ("permutation importance", importances, [*MODELS]),
    ("partial dependence", dependence, WITH_LABELS),
    ("selected features", selected, WITH_LABELS),
    ("calibrated", calibrated, [each for each in CLASSIFIERS if each not in NAMED]),
    ("stacked", stacked, CLASSIFIERS),
    ("tuned threshold", tuned, [each for each in BINARY if each not in NAMED]),
    ("threshold of a decision", fixed_threshold("decision_function"), BINARY),
    ("threshold of a probability", fixed_threshold("predict_proba"), PROBABLE_BINARY),
    ("brier score", brier_score, PROBABLE_BINARY),
    *((name, scorer(name), CLASSIFIERS) for name in ("accuracy", "f1_macro", "balanced_accuracy")),
    *((name, scorer(name), PROBABLE) for name in ("neg_log_loss", "roc_auc_ovr", "roc_auc_ovo")),
    ("roc_auc", scorer("roc_auc"), BINARY),
    *((name, scorer(name), REGRESSORS) for name in ("r2", "neg_root_mean_squared_error")),
    *(
        (f"average precision of class {label} by {response}", each, kinds)
        for label in (0, 1)
        for response, kinds in (
            ("decision_function", BINARY),
            ("predict_proba", PROBABLE_BINARY),
            (("decision_function", "predict_proba"), BINARY),
        )
        for each in (average_precision(response, label),)
    ),
]
# The oracle's rows are prepared before they reach a pipeline; the others take long.
WRAPPED = pipeline, fitted_pipeline, calibrated, stacked, tuned, importances, cross_validated
CASES = [
    pytest.param(kind, call, id=f"{name}-{kind}") for name, call, kinds in GRID for kind in kinds
]


@pytest.mark.parametrize(("kind", "call"), CASES)
def test_scikit_learn_gives_the_same_as_for_its_own_model(kind: str, call: Call) -> None:
    for prepared in ("",) if call in WRAPPED else ("", "dense"):
        model, own, X, rows, y = pair(kind, prepared)
        right, found = call(own, rows, y), call(model, X, y)

        for one, other in zip(flat(right), flat(found), strict=True):
            assert one.shape == other.shape
            assert are_alike(one, other)


def are_alike(one: Any, other: Any) -> bool:
    if one.dtype.kind == "f":
        return np.allclose(one, other, rtol=1e-3, atol=1e-4)
    return np.array_equal(one, other)


def flat(values: Any) -> list[Any]:
    """Return the arrays of a result, or of a tuple or list of results."""
    several = values if isinstance(values, (tuple, list)) else [values]
    return [np.asarray(each) for each in several]


@pytest.mark.parametrize("kind", MODELS)
def test_attributes_have_the_shapes_of_scikit_learn(kind: str) -> None:
    model, own, *_ = pair(kind)

    for name in ("coef_", "intercept_", "classes_", "cluster_centers_", "n_features_in_"):
        assert hasattr(model, name) == hasattr(own, name), name
        if hasattr(own, name):
            assert np.shape(getattr(model, name)) == np.shape(getattr(own, name)), name
    assert model.n_iter_ == 3
    assert not hasattr(model, "labels_")  # of training rows, which a model does not hold


@pytest.mark.parametrize("kind", MODELS)
def test_methods_are_those_of_scikit_learn_with_their_names(kind: str) -> None:
    model, own, *_ = pair(kind)

    for name in (
        *("fit", "predict", "score", "get_params", "set_params", "transform"),
        *("decision_function", "predict_proba", "predict_log_proba", "get_feature_names_out"),
    ):
        assert hasattr(model, name) == hasattr(own, name), name
        if hasattr(model, name):
            assert getattr(model, name).__name__ == name
            assert getattr(TrainedModel, name).__doc__


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_is_a_fitted_estimator_of_its_kind(kind: str) -> None:
    model, own, *_ = pair(kind)

    check_is_fitted(model)
    check_is_fitted(FrozenEstimator(model))
    for each in (is_classifier, is_regressor, is_clusterer):
        assert each(model) == each(own)
    assert get_tags(model).input_tags.sparse
    assert not get_tags(model).input_tags.allow_nan
    assert get_tags(TrainedModel(example(kind, missing="zero").artifact)).input_tags.allow_nan
    assert "StandardScaler" in repr(make_pipeline(StandardScaler(), model))


def test_a_model_has_no_parameters() -> None:
    model = TrainedModel(example().artifact)

    assert model.get_params() == model.get_params(deep=False) == {}
    assert model.set_params() is model
    with pytest.raises(ValueError, match="has no parameters, got C"):
        model.set_params(C=1)


@pytest.mark.parametrize(
    "copied",
    [
        clone,
        copy.copy,
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: clone(FrozenEstimator(model)).estimator,
    ],
    ids=["clone", "copy", "deepcopy", "pickle", "frozen"],
)
@pytest.mark.parametrize("kind", MODELS)
def test_a_copy_predicts_the_same(kind: str, copied: Callable[[Any], Any]) -> None:
    model, _, X, _, y = pair(kind)
    other = copied(model)

    assert np.array_equal(other.predict(X), model.predict(X))
    assert other.score(X, y) == model.score(X, y)


def test_joblib_keeps_a_model_and_its_methods(tmp_path: Any) -> None:
    model, _, X, *_ = pair("logistic", "dense")
    joblib.dump([model, model.predict_proba], tmp_path / "model")

    other, method = joblib.load(tmp_path / "model")

    assert np.array_equal(other.predict_proba(X), method(X))


def test_fitting_again_is_refused_with_the_way_out() -> None:
    model, _, X, _, y = pair("logistic")

    with pytest.raises(NotImplementedError, match=r"only a job trains .*FrozenEstimator"):
        model.fit(X, y)
    for call in (
        lambda: make_pipeline(StandardScaler(), model).fit(X, y),
        lambda: CalibratedClassifierCV(model).fit(X, y),
        lambda: cross_validate(model, X, y, error_score="raise"),
    ):
        with pytest.raises(NotImplementedError, match="FrozenEstimator"):
            call()
    with (
        warnings.catch_warnings(action="ignore", category=FitFailedWarning),
        pytest.raises(ValueError, match=r"(?s)fits failed.*only a job trains"),
    ):
        cross_validate(model, X, y)


def test_logarithms_reach_beyond_the_smallest_probability() -> None:
    model, own, X, _, _ = pair("logistic")

    z = own.decision_function(20.0 * X)
    right = np.stack([-np.logaddexp(0, z), -np.logaddexp(0, -z)], axis=1)
    found = model.predict_log_proba(20 * X)

    assert right.min() < -200
    assert np.allclose(found, right, rtol=1e-3, atol=1e-4)


@pytest.fixture
def plots() -> Any:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield
    pyplot.close("all")


# A curve leaves out points on a straight line, which depends on the last digits.
CURVES = [kind for kind in BINARY if "softmax" not in kind]
PLOTS: list[tuple[Any, list[str], list[str]]] = [
    (RocCurveDisplay, BINARY, ["roc_auc"]),
    (RocCurveDisplay, CURVES, ["fpr", "tpr", "roc_auc"]),
    (PrecisionRecallDisplay, CURVES, ["precision", "recall", "average_precision"]),
    (DetCurveDisplay, CURVES, ["fpr", "fnr"]),
    (CalibrationDisplay, PROBABLE_BINARY, ["prob_true", "prob_pred", "y_prob"]),
    (ConfusionMatrixDisplay, CLASSIFIERS, ["confusion_matrix", "display_labels"]),
    (PredictionErrorDisplay, REGRESSORS, ["y_true", "y_pred"]),
]


@pytest.mark.parametrize(
    ("kind", "display", "fields"),
    [
        pytest.param(kind, display, fields, id=f"{display.__name__}-{fields[0]}-{kind}")
        for display, kinds, fields in PLOTS
        for kind in kinds
    ],
)
def test_plots_show_the_same(kind: str, display: Any, fields: list[str], plots: Any) -> None:
    model, own, X, rows, y = pair(kind)

    right, found = display.from_estimator(own, rows, y), display.from_estimator(model, X, y)

    for field in fields:
        one, other = (np.asarray(getattr(each, field)) for each in (right, found))
        assert are_alike(one, other), field


@pytest.mark.parametrize("kind", WITH_LABELS)
def test_partial_dependence_is_plotted(kind: str, plots: Any) -> None:
    model, own, X, rows, _ = pair(kind)
    target = model.classes_[1] if is_classifier(model) else None
    options = {"features": [0], "grid_resolution": 4, "target": target}

    right = PartialDependenceDisplay.from_estimator(own, rows, **options)
    found = PartialDependenceDisplay.from_estimator(model, X, **options)

    averages = [each.pd_results[0]["average"] for each in (right, found)]
    assert np.allclose(*averages, rtol=1e-3, atol=1e-4)


def test_decision_boundaries_are_plotted(plots: Any) -> None:
    it = example()
    small = OwnLogisticRegression(2, 1.0, 2.0)
    card = {**it.artifact.card, **small.describe(), "n_features": 2}
    w = np.array([1, -2, 0.5], np.float32)
    model = TrainedModel(Artifact(small, w, None, card))

    shown = [
        DecisionBoundaryDisplay.from_estimator(each, it.X[:, :2], grid_resolution=5).response
        for each in (oracle(model), model)
    ]

    assert np.allclose(*shown, rtol=1e-3, atol=1e-4)


def test_a_score_of_one_row_of_a_regression_is_not_defined() -> None:
    model, _, X, _, y = pair("linear")

    with pytest.warns(UserWarning, match="R² needs at least two rows"):
        assert np.isnan(model.score(X[:1], y[:1]))


def test_scorers_get_the_expected_values_of_one_label_against_the_rest() -> None:
    it = example("logistic, one against rest")
    model = TrainedModel(it.artifact)
    y = np.where(model.predict(it.X) == 1, 3, np.arange(len(it.X)) % 3)

    assert get_scorer("roc_auc")(model, it.X, model.expected(y)) == pytest.approx(1)
