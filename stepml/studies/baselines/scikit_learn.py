"""The baseline of scikit-learn: the estimator with the objective of the job, on one core."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from stepml.job.errors import NotAvailableError
from stepml.job.installing import install_command
from stepml.job.models import KMeans, LinearRegression, LogisticRegression, SoftmaxRegression, Svm
from stepml.job.spec_base import tag
from stepml.ml.matrices import CsrMatrix, Matrix
from stepml.ml.models import Evaluation, LossModel, Penalty
from stepml.ml.models.base import Array, Floats
from stepml.ml.models.row_weights import parts_of
from stepml.studies.baselines.preparation import Prepared

_MOST_ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted estimator, judged like a job."""

    n_iterations: int
    evaluation: Evaluation


def require_scikit_learn() -> None:
    """Raise `NotAvailableError` if scikit-learn is not installed."""
    if find_spec("sklearn") is None:
        raise NotAvailableError(
            f"baseline 'scikit-learn': it is not installed: {install_command('data')}"
        )


def fit(job: Prepared) -> Fitted:
    """Fit the estimator with the objective of a job that one rank trains.

    Raises
    ------
    NotAvailableError
        There is no such estimator.
    """
    model, (X, y) = job.model(), job.shards[0]
    penalty = model.penalty if isinstance(model, LossModel) else Penalty()
    estimator = _estimator(job, penalty, len(y), len(job.facts.labels or ()))
    if isinstance(job.spec.model, KMeans):
        estimator.fit(_rows(X), sample_weight=parts_of(y)[1])
        w = model.parameters({"centroids": estimator.cluster_centers_})
    else:
        targets, weights = _targets(job, y)
        if weights is None:
            estimator.fit(_rows(X), targets)
        else:
            estimator.fit(_rows(X), targets, sample_weight=weights)
        is_pair = isinstance(job.spec.model, SoftmaxRegression) and len(estimator.classes_) == 2
        w = _linear_parameters(estimator, is_pair=is_pair)
    iterations = np.max(np.ravel(getattr(estimator, "n_iter_", None) or 1))
    return Fitted(int(iterations), model.evaluate(w, *job.validation))


def _estimator(job: Prepared, penalty: Penalty, n_rows: int, n_classes: int) -> Any:
    cluster, linear_model = _library("sklearn.cluster"), _library("sklearn.linear_model")
    spec, seed = job.spec.model, job.spec.data.seed
    l1, l2 = penalty.l1, penalty.l2
    if isinstance(spec, SoftmaxRegression) and n_classes == 2:
        l2 /= 2  # of the difference of two equal coefficients, which is the estimator's
    both, share = l1 + l2, l1 / (l1 + l2) if l1 else 0.0
    most = {"max_iter": _MOST_ITERATIONS, "random_state": seed}
    match spec:
        case LogisticRegression() | SoftmaxRegression():
            strength = 1 / (both * n_rows) if both else np.inf
            solver = "saga" if l1 else "lbfgs"
            return linear_model.LogisticRegression(
                C=strength, l1_ratio=share, solver=solver, **most
            )
        case Svm():
            return linear_model.SGDClassifier(
                loss=spec.loss, alpha=both, l1_ratio=share, penalty="elasticnet", **most
            )
        case LinearRegression():
            if l1:
                return linear_model.ElasticNet(alpha=both, l1_ratio=share, **most)
            return linear_model.Ridge(alpha=l2 * n_rows)
        case KMeans():
            return cluster.KMeans(spec.n_clusters, n_init=spec.restarts, random_state=seed)
    raise NotAvailableError(f"baseline 'scikit-learn': has no estimator for model {tag(spec)!r}")


def _library(name: str) -> Any:
    """Return a module of a library without types."""
    return import_module(name)


def _rows(X: Matrix) -> Any:
    if not isinstance(X, CsrMatrix):
        return X
    start, stop = X.indptr[0], X.indptr[-1]
    pairs = X.values[start:stop], X.indices[start:stop], X.indptr - start
    return _library("scipy.sparse").csr_matrix(pairs, shape=X.shape)


def _targets(job: Prepared, y: Array) -> tuple[Array, Floats | None]:
    """Return targets and weights; ours of two classes are signs times weights of classes."""
    y, of_rows = parts_of(y)
    spec = job.spec.model
    weights = getattr(spec, "class_weight", None)
    if y.dtype.kind != "f" or isinstance(spec, LinearRegression):
        if weights is not None:
            raise NotAvailableError(
                "baseline 'scikit-learn': model.class_weight of several classes is not compared"
            )
        return y, of_rows
    if weights is None:
        return y > 0, of_rows
    return y > 0, np.abs(y) if of_rows is None else np.abs(y) * of_rows


def _linear_parameters(estimator: Any, *, is_pair: bool) -> Floats:
    """Return our parameters: coefficients by feature, then intercepts.

    Of a pair of classes, the estimator has the difference of our parameters.
    """
    coefficients, intercepts = np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_)
    if is_pair:
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    return np.concatenate([coefficients.T.ravel(), intercepts]).astype(np.float32)
