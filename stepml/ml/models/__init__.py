"""Models: loss, gradient, prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepml.job.errors import NotAvailableError
from stepml.job.model_base import ModelSpec
from stepml.job.spec_base import tag
from stepml.ml.class_names import NUMBERS, ClassNames
from stepml.ml.models.base import DataFacts, Evaluation, LabelUnit, LossModel, Model
from stepml.ml.models.custom import CustomClasses, CustomNumbers
from stepml.ml.models.kmeans import KMeans
from stepml.ml.models.linear import LinearModel
from stepml.ml.models.linear_regression import LinearRegression
from stepml.ml.models.logistic_regression import LogisticRegression
from stepml.ml.models.neural import NeuralNetwork
from stepml.ml.models.neural_classifier import NeuralClassifier
from stepml.ml.models.neural_regressor import NeuralRegressor
from stepml.ml.models.penalty import Penalty
from stepml.ml.models.seeding import initial_centroids
from stepml.ml.models.softmax_regression import SoftmaxRegression
from stepml.ml.models.svm import BinarySvm, OneVsRestSvm
from stepml.ml.neural.layout import ChannelScale, NetworkLayout

__all__ = [
    "MODELS",
    "BinarySvm",
    "ChannelScale",
    "CustomClasses",
    "CustomNumbers",
    "DataFacts",
    "Evaluation",
    "KMeans",
    "LabelUnit",
    "LinearModel",
    "LinearRegression",
    "LogisticRegression",
    "LossModel",
    "Model",
    "NetworkLayout",
    "NeuralClassifier",
    "NeuralNetwork",
    "NeuralRegressor",
    "OneVsRestSvm",
    "Penalty",
    "SoftmaxRegression",
    "build_model",
    "initial_centroids",
    "restore_model",
]

MODELS: dict[str, type[Model]] = {
    "logistic_regression": LogisticRegression,
    "softmax_regression": SoftmaxRegression,
    "svm": BinarySvm,
    "linear_regression": LinearRegression,
    "kmeans": KMeans,
    "neural": NeuralClassifier,
    "custom": CustomNumbers,
}


def build_model(
    spec: ModelSpec,
    n_features: int,
    labels: Sequence[float] | None,
    label_counts: Sequence[int] | None = None,
    label_unit: LabelUnit | None = None,
    network: NetworkLayout | None = None,
    channels: ChannelScale | None = None,
    code: Path | None = None,
    names: ClassNames = NUMBERS,
) -> Model:
    """Return the model of a job.

    Parameters
    ----------
    spec : ModelSpec
    n_features : int
    labels : sequence of float, or None
        The distinct labels of the data, in ascending order; None: more than 1,000.
    label_counts : sequence of int, optional
        Rows of each label; balanced class weights need them.
    label_unit : LabelUnit, optional
        The unit in which a regression trains; default: that of the data.
    network : NetworkLayout, optional
        The parameters of a neural network; without it, torch has to build the network.
    channels : ChannelScale, optional
        The normalisation of images.
    code : Path, optional
        The directory of the user's own code.
    names : ClassNames, optional
        The names of labels that are codes.

    Raises
    ------
    BadLabelError
        The labels do not fit the model.
    """
    facts = DataFacts(
        n_features,
        labels,
        label_counts,
        label_unit=label_unit or LabelUnit(),
        network=network,
        channels=channels,
        code=code,
        names=names,
    )
    model = _model_named(tag(spec)).from_spec(spec, facts)
    model.code = code
    return model


def restore_model(card: Mapping[str, Any]) -> Model:
    """Return the trained model of an artifact's card, for predictions and evaluation.

    Parameters
    ----------
    card : mapping
        ``model`` (its name in the job spec), ``n_features``, and the items of `Model.describe`.
        Class weights are not in it: the restored model counts all rows alike.

    Raises
    ------
    NotAvailableError
        This version does not know the model.
    """
    return _model_named(card["model"]).from_card(card)


def _model_named(name: str) -> type[Model]:
    if name not in MODELS:
        raise NotAvailableError(
            f"model {name!r} is not known to this version; known: {', '.join(MODELS)}"
        )
    return MODELS[name]
