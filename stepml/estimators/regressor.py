"""A regressor of scikit-learn that trains as a job."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin

from stepml.estimators.checks import checked_labels, checked_rows, checked_weights
from stepml.estimators.models import USUAL_REGRESSION, of_numbers, require_regression
from stepml.estimators.supervised import SupervisedEstimator

Array = npt.NDArray[Any]


class StepMLRegressor(RegressorMixin, SupervisedEstimator):
    """Regressor that trains as a job of StepML: on AWS, or on this machine.

    Its parameters and attributes are those of `StepMLClassifier`, without ``class_weight`` and
    ``classes_``. The usual ``model`` is ``linear_regression``: least squares.

    Examples
    --------
    >>> from stepml import StepMLRegressor
    >>> StepMLRegressor(l1=0.1).fit(X, y).coef_  # doctest: +SKIP
    """

    _stem = "fit-regressor"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a job on rows.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_samples, n_features)
            As in `StepMLClassifier.fit`.
        y : array-like of shape (n_samples,)
            Numbers.
        sample_weight : array-like of shape (n_samples,), optional
            Factor of each row's loss.

        Raises
        ------
        ValueError, RunFailedError, AccessError
            As `StepMLClassifier.fit`.
        """
        require_regression(self.model)
        X = checked_rows(self, X, reset=True)
        y = checked_labels(self, X, y, numbers=True)
        weights = checked_weights(sample_weight, len(y))
        model = of_numbers(self._model_fields(USUAL_REGRESSION))
        self._train(X, y, weights, model, self._algorithm_fields())
        return self

    def predict(self, X: Any) -> Array:
        """Return the number that is predicted for each row, an array of shape (n_samples,)."""
        X = self._checked(X)
        return self.model_.predict(X).astype(np.float64)
