"""The kinds of models that have certain methods."""

from __future__ import annotations

from typing import Any

from stepml.ml.models import (
    MODELS,
    CustomClasses,
    KMeans,
    LinearModel,
    NeuralClassifier,
    NeuralNetwork,
)
from stepml.ml.models.base import WithProbabilities
from stepml.ml.models.classifiers import BinaryClassifier, MulticlassClassifier

Multiclass = MulticlassClassifier | NeuralClassifier | CustomClasses
Classifier = BinaryClassifier | Multiclass


def of_classifiers(model: Any, name: str) -> None:
    """Raise `AttributeError` if a trained ``model`` lacks the method ``name``; likewise below."""
    _require(model, Classifier, "classifiers", name)


def of_probabilities(model: Any, name: str) -> None:
    """As `of_classifiers`."""
    have = [each for each, kind in MODELS.items() if issubclass(kind, WithProbabilities)]
    _require(model, WithProbabilities, " and ".join(have), name)


def of_linear(model: Any, name: str) -> None:
    """As `of_classifiers`."""
    _require(model, LinearModel, "linear models", name)


def of_kmeans(model: Any, name: str) -> None:
    """As `of_classifiers`."""
    _require(model, KMeans, "kmeans", name)


def of_modules(model: Any, name: str) -> None:
    """As `of_classifiers`."""
    _require(model, LinearModel | NeuralNetwork, "networks and linear models", name)


def _require(model: Any, kind: Any, owners: str, name: str) -> None:
    has_it = isinstance(model._model, kind)
    if not has_it:
        raise AttributeError(f"a {model.card['model']} has no {name}: only {owners} have")
