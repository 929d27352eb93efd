"""K-means of scikit-learn that trains as a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin

from stepml.estimators.base import JobEstimator
from stepml.estimators.checks import checked_rows, checked_weights
from stepml.estimators.models import CLUSTERS

if TYPE_CHECKING:
    from stepml.client import Client

Array = npt.NDArray[Any]


class StepMLKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, JobEstimator):
    """K-means that trains as a job of StepML: on AWS, or on this machine.

    Parameters
    ----------
    n_clusters : int
    restarts : int
        Seedings by k-means++ on a sample of the rows; the best one is used.
    standardise : bool
        Whether distances are those of features with mean 0 and variance 1.
    workers, channel, pattern, epochs, random_state, job, client, keep
        As in `StepMLClassifier`.

    Attributes
    ----------
    cluster_centers_ : array of shape (n_clusters, n_features)
        In the space of the rows as given; of rows that are standardised or encoded, in the space of
        the prepared ones.
    labels_ : array of shape (n_samples,)
        The cluster of each row of the fit.
    inertia_ : float
        Sum of the squared distances of the rows from their centres.
    model_, history_, n_iter_, run_, n_features_in_, feature_names_in_
        As in `StepMLClassifier`.

    Examples
    --------
    >>> from stepml import StepMLKMeans
    >>> StepMLKMeans(10).fit_predict(X)  # doctest: +SKIP
    """

    _stem = "fit-kmeans"

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        restarts: int = 5,
        workers: int | None = None,
        channel: str = "s3",
        pattern: str = "reduce",
        epochs: int | None = None,
        standardise: bool = False,
        random_state: Any = None,
        job: Mapping[str, Any] | None = None,
        client: Client | None = None,
        keep: bool = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.restarts = restarts
        self.workers = workers
        self.channel = channel
        self.pattern = pattern
        self.epochs = epochs
        self.standardise = standardise
        self.random_state = random_state
        self.job = job
        self.client = client
        self.keep = keep

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train a job on rows.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_samples, n_features)
            As in `StepMLClassifier.fit`.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Factor of each row in the means and the inertia.

        Raises
        ------
        ValueError, RunFailedError, AccessError
            As `StepMLClassifier.fit`.
        """
        X = checked_rows(self, X, reset=True)
        weights = checked_weights(sample_weight, X.shape[0])
        # What is no integer is refused with the job.
        if isinstance(self.n_clusters, int | np.integer) and X.shape[0] < self.n_clusters:
            raise ValueError(
                f"n_clusters: expected at most n_samples={X.shape[0]}, got {self.n_clusters}"
            )
        fields = {"name": CLUSTERS, "n_clusters": self.n_clusters, "restarts": self.restarts}
        self._train(X, None, weights, fields)
        self.cluster_centers_: Array = self.model_.cluster_centers_.astype(np.float64)
        self._n_features_out = len(self.cluster_centers_)
        self.labels_: Array = self._clusters(X)
        self.inertia_ = -self.model_.score(X, sample_weight=weights)
        return self

    def predict(self, X: Any) -> Array:
        """Return the nearest centre of each row, an array of int of shape (n_samples,)."""
        return self._clusters(self._checked(X))

    def transform(self, X: Any) -> Array:
        """Return the distance of each row from each centre, of shape (n_samples, n_clusters)."""
        X = self._checked(X)
        return self.model_.transform(X).astype(np.float64)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return minus the sum of the squared distances of rows from their centres."""
        X = self._checked(X)
        return self.model_.score(X, sample_weight=sample_weight)

    def _clusters(self, X: Any) -> Array:
        return self.model_.predict(X).astype(np.int64)
