"""Models: loss, gradient, prediction."""

from __future__ import annotations

from collections.abc import Sequence

from stepml.job import spec
from stepml.job.availability import MODELS, tag
from stepml.job.errors import NotAvailableError
from stepml.ml.models.base import Evaluation, Model
from stepml.ml.models.logistic_regression import LogisticRegression

__all__ = ["Evaluation", "LogisticRegression", "Model", "build_model"]


def build_model(model: spec.Model, n_features: int, labels: Sequence[float]) -> Model:
    """Return the model that the job spec asks for.

    Parameters
    ----------
    model : spec.Model
    n_features : int
    labels : sequence of float
        The distinct labels of the data, in ascending order.

    Raises
    ------
    BadLabelError
        The labels do not fit the model.
    """
    if isinstance(model, spec.LogisticRegression):
        return LogisticRegression.from_spec(model, n_features, labels)
    raise NotAvailableError(
        f"model {tag(model)!r} is not available yet; available: {', '.join(MODELS)}"
    )
