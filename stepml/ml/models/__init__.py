"""Models: loss, gradient, prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepml.job import spec
from stepml.job.availability import MODELS
from stepml.job.errors import NotAvailableError
from stepml.job.spec import tag
from stepml.ml.models.base import Evaluation, LossModel, Model
from stepml.ml.models.classes import classes_of, positive_of, weights_of
from stepml.ml.models.classifiers import BinaryClassifier
from stepml.ml.models.kmeans import Accumulated, KMeans
from stepml.ml.models.linear import LinearModel
from stepml.ml.models.linear_regression import LinearRegression
from stepml.ml.models.logistic_regression import LogisticRegression
from stepml.ml.models.penalty import Penalty
from stepml.ml.models.seeding import initial_centroids
from stepml.ml.models.softmax_regression import SoftmaxRegression
from stepml.ml.models.svm import BinarySvm, OneVsRestSvm

__all__ = [
    "Accumulated",
    "BinarySvm",
    "Evaluation",
    "KMeans",
    "LinearModel",
    "LinearRegression",
    "LogisticRegression",
    "LossModel",
    "Model",
    "OneVsRestSvm",
    "Penalty",
    "SoftmaxRegression",
    "build_model",
    "initial_centroids",
    "restore_model",
]

_BINARY: dict[str, type[BinaryClassifier]] = {
    "logistic_regression": LogisticRegression,
    "svm": BinarySvm,
}
Classifier = spec.LogisticRegression | spec.SoftmaxRegression | spec.Svm


def build_model(
    model: spec.Model,
    n_features: int,
    labels: Sequence[float] | None,
    label_counts: Sequence[int] | None = None,
) -> Model:
    """Return the model that the job spec asks for.

    Parameters
    ----------
    model : spec.Model
    n_features : int
    labels : sequence of float, or None
        The distinct labels of the data, in ascending order; None: more than 1,000.
    label_counts : sequence of int, optional
        Rows of each label; balanced class weights need them.

    Raises
    ------
    BadLabelError
        The labels do not fit the model.
    """
    if isinstance(model, spec.KMeans):
        return KMeans(n_features, model.n_clusters)
    if isinstance(model, spec.LinearRegression):
        return LinearRegression(n_features, l1=model.l1, l2=model.l2)
    if isinstance(model, Classifier):
        return _classifier(model, n_features, labels, label_counts)
    raise _not_available(tag(model))


def restore_model(card: Mapping[str, Any]) -> Model:
    """Return the model that an artifact's card describes, to predict and evaluate with.

    Parameters
    ----------
    card : mapping
        ``model`` (its name in the job spec), ``n_features``, and what `Model.describe` gave.
        Class weights are not in it: the restored model counts all rows alike.

    Raises
    ------
    NotAvailableError
        This version does not know the model.
    """
    name, n_features = card["model"], card["n_features"]
    if name == "kmeans":
        return KMeans(n_features, card["n_clusters"])
    if name == "linear_regression":
        return LinearRegression(n_features)
    if name == "softmax_regression":
        return SoftmaxRegression(n_features, card["classes"])
    if name == "svm" and "positive_class" not in card:
        return OneVsRestSvm(n_features, card["classes"])
    if name in _BINARY:
        return _BINARY[name](n_features, card["positive_class"], card["negative_class"])
    raise _not_available(name)


def _classifier(
    model: Classifier,
    n_features: int,
    labels: Sequence[float] | None,
    label_counts: Sequence[int] | None,
) -> Model:
    classes = classes_of(labels, tag(model))
    if isinstance(model, spec.SoftmaxRegression):
        weights = weights_of(model.class_weight, classes, label_counts)
        return SoftmaxRegression(n_features, classes, weights=weights, l2=model.l2)
    if isinstance(model, spec.Svm) and model.positive_class is None and len(classes) > 2:
        weights = weights_of(model.class_weight, classes, label_counts)
        return OneVsRestSvm(n_features, classes, weights=weights, l2=model.l2)
    positive = positive_of(model.positive_class, classes, tag(model))
    weights = weights_of(model.class_weight, classes, label_counts, positive)
    others = [label for label in classes if label != positive]
    negative = others[0] if len(others) == 1 else None
    return _BINARY[tag(model)](n_features, positive, negative, weights=weights, l2=model.l2)


def _not_available(name: str) -> NotAvailableError:
    return NotAvailableError(f"model {name!r} is not available yet; available: {', '.join(MODELS)}")
