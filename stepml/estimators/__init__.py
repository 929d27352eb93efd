"""Estimators of scikit-learn that train as jobs.

::

    from stepml.estimators import StepMLClassifier

    model = StepMLClassifier(workers=4, channel="redis").fit(X, y)
    model.predict(X)
"""

from stepml.estimators.classifier import StepMLClassifier
from stepml.estimators.kmeans import StepMLKMeans
from stepml.estimators.regressor import StepMLRegressor
from stepml.estimators.stored_rows import clean_up

__all__ = ["StepMLClassifier", "StepMLKMeans", "StepMLRegressor", "clean_up"]
