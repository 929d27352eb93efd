"""scikit-learn's tags of a model; the only module that imports scikit-learn."""

from __future__ import annotations

from sklearn.utils import (
    ClassifierTags,
    InputTags,
    RegressorTags,
    Tags,
    TargetTags,
    TransformerTags,
)

from stepml.ml.models import KMeans, LinearRegression, Model
from stepml.ml.models.classifiers import BinaryClassifier


def tags_of(model: Model, *, allow_nan: bool) -> Tags:
    """Return the tags by which scikit-learn chooses scores, plots and wrappers."""
    inputs = InputTags(sparse=True, allow_nan=allow_nan)
    if isinstance(model, KMeans):
        return Tags("clusterer", TargetTags(required=False), TransformerTags(), input_tags=inputs)
    labels = TargetTags(required=True)
    if isinstance(model, LinearRegression):
        return Tags("regressor", labels, regressor_tags=RegressorTags(), input_tags=inputs)
    classes = ClassifierTags(multi_class=not isinstance(model, BinaryClassifier))
    return Tags("classifier", labels, classifier_tags=classes, input_tags=inputs)
