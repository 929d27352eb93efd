"""Expectation maximisation: an iteration of many ranks equals one rank's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans as Reference

from stepml.job import algorithms, models
from stepml.ml.algorithms.expectation_maximisation import ExpectationMaximisation
from stepml.ml.models.base import Floats
from tests.support.learning import Orchestra, job_of


def blobs(n_samples: int = 600) -> Floats:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 5)) * 6
    return (centres[rng.integers(4, size=n_samples)] + rng.normal(size=(n_samples, 5))).astype(
        np.float32
    )


def clustering(X: Floats, start: Floats, shards: Any = 1) -> Orchestra:
    job = job_of(models.KMeans(n_clusters=len(start)), algorithms.ExpectationMaximisation())
    return Orchestra(job, X, np.zeros(len(X), np.float32), shards, start=start.ravel())


@pytest.mark.parametrize("shards", [1, 4, (1, 590, 9)])
def test_ranks_iterate_as_scikit_learn_does(shards: Any) -> None:
    X = blobs()
    start = X[:4].copy()
    job = clustering(X, start, shards)
    for iterations in (1, 2, 5):
        while len(job.outcomes) < iterations:
            job.epoch()
        reference = Reference(4, init=start, n_init=1, max_iter=iterations, tol=0).fit(X)
        if reference.n_iter_ == iterations:
            # scikit-learn's labels and inertia belong to its last centroids.
            found = job.state.parameters.reshape(4, -1)
            assert found == pytest.approx(reference.cluster_centers_, abs=1e-4)


def test_at_the_end_no_centroid_moves() -> None:
    X = blobs()
    job = clustering(X, X[:4].copy(), 3)
    w = job.epochs(100)
    assert job.outcomes[-1].converged == "no centroid moved any more"
    losses = [outcome.training_loss for outcome in job.outcomes]
    assert losses == sorted(losses, reverse=True)
    reference = Reference(4, init=X[:4], n_init=1, tol=0).fit(X)
    assert job.outcomes[-1].training_loss * len(X) == pytest.approx(reference.inertia_, rel=1e-4)
    assert job.model.evaluate(w, X, X[:, 0]).metrics["inertia"] == pytest.approx(
        reference.inertia_, rel=1e-4
    )


def test_the_number_of_ranks_changes_next_to_nothing() -> None:
    X = blobs()
    alone, many = (clustering(X, X[:4].copy(), shards).epochs(20) for shards in (1, 7))
    assert many == pytest.approx(alone, abs=1e-5)


def test_an_empty_cluster_moves_to_where_rows_are() -> None:
    X = blobs()
    start = X[:4].copy()
    start[2] = 1e3  # nearest to no row
    job = clustering(X, start, 3)
    job.epoch()
    assert np.abs(job.state.parameters).max() < 100
    job.epochs(50)
    counts = np.bincount(job.model.predict(job.state.parameters, X), minlength=4)
    assert counts.all()


def test_pausing_anywhere_changes_no_bit() -> None:
    X = blobs()
    whole, paused = (clustering(X, X[:4].copy(), 3) for _ in range(2))
    for each in (whole, paused):
        assert isinstance(each.algorithm, ExpectationMaximisation)
        each.algorithm = replace(each.algorithm, block_operations=50 * 4 * 5)  # 50 rows
    for _ in range(3):
        expected, found = whole.epoch(), paused.epoch(lambda: True)
        assert expected.state.parameters.tobytes() == found.state.parameters.tobytes()
        assert expected.training_loss == found.training_loss


def test_rows_that_are_all_the_same_are_no_trouble() -> None:
    X = np.ones((50, 5), np.float32)
    job = clustering(X, np.ones((3, 5), np.float32), 2)
    job.epochs(3)
    assert (job.state.parameters == 1).all()
    assert job.outcomes[-1].training_loss == 0
