"""Estimators of scikit-learn that train as jobs.

::

    from stepml.estimators import StepMLClassifier

    model = StepMLClassifier(workers=4, channel="redis").fit(X, y)
    model.predict(X)
"""

from importlib.util import find_spec

if find_spec("sklearn") is None:
    raise ImportError(
        "the estimators need scikit-learn; install it with: pip install 'stepml[estimators]'"
    )

from stepml.estimators.classifier import StepMLClassifier
from stepml.estimators.kmeans import StepMLKMeans
from stepml.estimators.regressor import StepMLRegressor
from stepml.estimators.stored_rows import clean_up

__all__ = ["StepMLClassifier", "StepMLKMeans", "StepMLRegressor", "clean_up"]
