"""The models that each kind of estimator trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from stepml.estimators.job_fields import Fields, Group, name_of, plain
from stepml.job.errors import InvalidJobError
from stepml.job.model_base import ModelSpec
from stepml.job.models import (
    MODELS,
    KMeans,
    LinearRegression,
    LogisticRegression,
    SoftmaxRegression,
)
from stepml.job.spec_base import SpecGroup, listed, tag

Array = npt.NDArray[np.float64]

USUAL_REGRESSION = tag(LinearRegression)
CLUSTERS = tag(KMeans)
_OF_NUMBERS = "mean_squared_error"  # the loss of models that learn either classes or numbers


def usual_classifier(n_classes: int) -> str:
    """Return the model of a classifier whose ``model`` is None."""
    return tag(LogisticRegression if n_classes == 2 else SoftmaxRegression)


def learns_several(model: Group | None) -> bool:
    """Return whether a model may learn more than two classes."""
    name = name_of(model)
    return name not in MODELS or MODELS[name].learns_several


def require_classifier(model: Group | None) -> None:
    """Raise `InvalidJobError` if a model does not learn the classes of ``y``."""
    _require(model, lambda each: each.learns_classes, "a classifier")
    fields = plain(model) if isinstance(model, Mapping | SpecGroup) else {}
    if fields.get("positive_class") is not None:
        raise InvalidJobError(
            "model.positive_class: a classifier learns the classes of y; leave it out, and pass "
            f"y == {fields['positive_class']!r}"
        )
    if fields.get("loss") == _OF_NUMBERS:
        raise InvalidJobError(
            f"model.loss: a classifier expects a loss of classes, got {_OF_NUMBERS!r}"
        )


def require_regression(model: Group | None) -> None:
    """Raise `InvalidJobError` if a model does not learn numbers."""
    _require(model, lambda each: "rmse" in each.metrics, "a regressor")


def of_numbers(model: Fields) -> Fields:
    """Return the fields of a regressor's model, which may learn classes as well."""
    return {"loss": _OF_NUMBERS, **model} if _has_both(model, "loss") else model


def of_classes(model: Fields) -> Fields:
    """Return the fields of a classifier's model, which may learn numbers as well."""
    return {"learns": "classes", **model} if _has_both(model, "learns") else model


def _has_both(model: Fields, field: str) -> bool:
    """Return whether a ``field`` of a model says that it learns classes, or numbers."""
    spec = MODELS.get(model["name"])
    learns_both = spec is not None and spec.learns_classes and "rmse" in spec.metrics
    return spec is not None and learns_both and field in spec.__struct_fields__


def with_penalty_by_weight(
    model: Fields, algorithm: Fields | None, weights: Array | None
) -> Fields:
    """Return the fields of a classifier whose open penalty is that of scikit-learn's C = 1.

    A job chooses it by the number of rows, with as many digits; here, a row of weight 2 counts as
    two rows.
    """
    spec = MODELS.get(model["name"])
    decays = algorithm is not None and algorithm.get("weight_decay")
    is_chosen = spec is not None and "l2" in spec.open_fields and model.get("l2") is None
    if weights is None or not is_chosen or model.get("l1") or decays:
        return model
    return {**model, "l2": float(f"{1 / weights.sum():.3g}")}


def _require(model: Group | None, suits: Callable[[type[ModelSpec]], bool], what: str) -> None:
    name = name_of(model)
    # Models of others, and names with a typing error, are checked with the job.
    if name in MODELS and not suits(MODELS[name]):
        choices = tuple(each for each, spec in MODELS.items() if suits(spec))
        raise InvalidJobError(f"model: {what} trains {listed(choices)}, got {name!r}")
