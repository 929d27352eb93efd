"""K-means, against brute force and scikit-learn."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import cluster

from stepml.ml.matrices import Floats, Matrix
from stepml.ml.models import KMeans, initial_centroids, restore_model
from stepml.ml.models.seeding import Plan
from tests.support.matrices import sparse_of

each_matrix = pytest.mark.parametrize("matrix", [lambda X: X, sparse_of], ids=["dense", "sparse"])


def blobs(
    n_samples: int = 5000, n_features: int = 6, n_blobs: int = 7, spread: float = 1.0, seed: int = 0
) -> Floats:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_blobs, n_features)) * 3
    X = centres[rng.integers(n_blobs, size=n_samples)]
    X += rng.normal(size=X.shape) * spread
    X[rng.random(X.shape) < 0.3] = 0
    return X.astype(np.float32)


def squares(X: Floats, centroids: Any) -> Any:
    """Return squared distances, (n_samples, n_clusters), in float64."""
    wide = X.astype(np.float64)
    return np.stack([np.square(wide - c).sum(axis=1) for c in np.asarray(centroids, float)], axis=1)


@each_matrix
@pytest.mark.parametrize("n_clusters", [2, 3, 10, 40, 300])
@pytest.mark.parametrize("n_samples", [1, 7, 1000, 5003])
def test_rows_are_summed_by_their_nearest_centroid(
    n_samples: int, n_clusters: int, matrix: Callable[[Floats], Matrix]
) -> None:
    X = blobs(n_samples)
    centroids = blobs(n_clusters, seed=1)
    model = KMeans(6, n_clusters)
    found = model.accumulate(centroids.ravel(), matrix(X))
    distances = squares(X, centroids)
    clusters = distances.argmin(axis=1)
    assert model.predict(centroids.ravel(), matrix(X)).tolist() == clusters.tolist()
    assert found.counts.tolist() == np.bincount(clusters, minlength=n_clusters).tolist()
    for k in range(n_clusters):
        assert found.sums[k] == pytest.approx(X[clusters == k].sum(axis=0), rel=1e-5, abs=1e-4)
    assert found.inertia == pytest.approx(distances.min(axis=1).sum(), rel=1e-5)
    assert found.sums.dtype == found.counts.dtype == np.float64


@each_matrix
@pytest.mark.parametrize("n_clusters", [3, 40])
def test_the_first_of_equally_near_centroids_wins(
    n_clusters: int, matrix: Callable[[Floats], Matrix]
) -> None:
    centroids = np.full((n_clusters, 2), 9, np.float32)
    centroids[1:3] = [[1, 0], [-1, 0]]
    centroids = np.append(centroids, centroids, axis=0)  # each centroid twice
    X = np.array([[0, 0], [0, 5], [2, 0], [-2, 0]] * 500, np.float32)
    model = KMeans(2, len(centroids))
    assert model.predict(centroids.ravel(), matrix(X)).tolist() == [1, 1, 1, 2] * 500
    found = model.accumulate(centroids.ravel(), matrix(X))
    assert found.counts.tolist() == [0, 1500, 500] + [0] * (len(centroids) - 3)
    assert found.sums[1].tolist() == [1000, 2500]


@each_matrix
@pytest.mark.parametrize("offset", [0, 10, 1000])
@pytest.mark.parametrize("spread", [1, 1e-2])
def test_inertia_keeps_its_digits(
    offset: float, spread: float, matrix: Callable[[Floats], Matrix]
) -> None:
    X = blobs(20_000, spread=spread) + np.float32(offset)
    fitted = cluster.KMeans(7, n_init=1, random_state=0).fit(X.astype(np.float64))
    centroids = fitted.cluster_centers_.astype(np.float32)
    found = KMeans(6, 7).accumulate(centroids.ravel(), matrix(X))
    assert found.inertia == pytest.approx(squares(X, centroids).min(axis=1).sum(), rel=1e-5)


@each_matrix
@pytest.mark.parametrize("filled", [0.3, 1.0])
@pytest.mark.parametrize("apart", [1.0, 0.1])
def test_clusters_that_are_close_together_and_far_off_are_told_apart(
    apart: float, filled: float, matrix: Callable[[Floats], Matrix]
) -> None:
    rng = np.random.default_rng(0)
    centroids = np.zeros((2, 20))
    centroids[:, : int(20 * filled)] = 1400 / np.sqrt(20 * filled)  # the others are not stored
    centroids[1, 0] += apart
    X = centroids[rng.integers(2, size=10_000)]
    X += rng.normal(size=X.shape) * (X != 0)
    X, centroids = X.astype(np.float32), centroids.astype(np.float32)
    distances = squares(X, centroids)
    model, w = KMeans(20, 2), centroids.ravel()
    clusters = model.predict(w, matrix(X))
    assert np.mean(clusters != distances.argmin(axis=1)) <= 2e-3
    found = model.accumulate(w, matrix(X))
    assert found.counts.tolist() == np.bincount(clusters).tolist()
    assert found.inertia == pytest.approx(distances.min(axis=1).sum(), rel=1e-5)


@each_matrix
def test_one_cluster_far_off_has_its_inertia(matrix: Callable[[Floats], Matrix]) -> None:
    far = np.array([[3000, 0, 1], [3001, 0, 0]], np.float32)
    X, centroids = far[np.arange(1000) % 2], np.array([[0, 0, 0], [3000.5, 0, 0.5]], np.float32)
    found = KMeans(3, 2).accumulate(centroids.ravel(), matrix(X))
    assert found.inertia == pytest.approx(squares(X, centroids).min(axis=1).sum(), rel=1e-6)


@each_matrix
def test_rows_on_their_centroids_have_no_inertia(matrix: Callable[[Floats], Matrix]) -> None:
    X = np.repeat(blobs(5), 100, axis=0) + np.float32(50)
    found = KMeans(6, 5).accumulate(X[::100].ravel(), matrix(X))
    assert found.inertia == pytest.approx(0, abs=1e-6)
    assert found.counts.tolist() == [100] * 5


@each_matrix
def test_iterations_are_those_of_scikit_learn(matrix: Callable[[Floats], Matrix]) -> None:
    X = blobs()
    start = X[:10].copy()
    theirs = cluster.KMeans(10, init=start, n_init=1, max_iter=5, tol=0, algorithm="lloyd").fit(X)
    model, w = KMeans(6, 10), start.ravel()
    for _ in range(5):
        found = model.accumulate(w, matrix(X))
        w = model.next_parameters(w, found.sums, found.counts)
    assert w.reshape(10, 6) == pytest.approx(theirs.cluster_centers_, abs=1e-4)
    assert model.accumulate(w, matrix(X)).inertia == pytest.approx(theirs.inertia_, rel=1e-4)


@each_matrix
def test_evaluation_is_the_mean_squared_distance(matrix: Callable[[Floats], Matrix]) -> None:
    X, centroids = blobs(), blobs(4, seed=5)
    found = KMeans(6, 4).evaluate(centroids.ravel(), matrix(X), np.zeros(len(X), np.float32))
    total = squares(X, centroids).min(axis=1).sum()
    assert found.loss == pytest.approx(total / len(X), rel=1e-5)
    assert found.metrics == {"inertia": pytest.approx(total, rel=1e-5)}


@each_matrix
def test_seeding_is_about_as_good_as_that_of_scikit_learn(
    matrix: Callable[[Floats], Matrix],
) -> None:
    X = blobs(n_blobs=20)
    w = initial_centroids(matrix(X), 20, restarts=5, seed=0)
    theirs = cluster.KMeans(20, n_init=5, max_iter=10, random_state=0).fit(X)
    assert KMeans(6, 20).accumulate(w, X).inertia <= 1.1 * theirs.inertia_


@each_matrix
def test_seeding_finds_clusters_that_are_close_together_and_far_off(
    matrix: Callable[[Floats], Matrix],
) -> None:
    X = blobs(2000, n_blobs=20, spread=0.01)
    X = np.where(X == 0, X, X + np.float32(1000))  # 0 and 1000 would be separate clusters
    X = X[(X != 0).all(axis=1)]
    w = initial_centroids(matrix(X), 20, restarts=5, seed=0)
    theirs = cluster.KMeans(20, n_init=5, max_iter=10, random_state=0).fit(X.astype(np.float64))
    inertia = squares(X, w.reshape(20, 6)).min(axis=1).sum()
    assert inertia <= 1.1 * theirs.inertia_


@each_matrix
def test_seeding_ends_also_if_squares_overflow(matrix: Callable[[Floats], Matrix]) -> None:
    X = blobs(50) * np.float32(1e30)
    with np.errstate(all="ignore"):
        w = initial_centroids(matrix(X), 5, restarts=2, seed=0)
    assert w.shape == (30,)


@each_matrix
def test_a_small_budget_leaves_one_seeding_and_one_iteration(
    matrix: Callable[[Floats], Matrix],
) -> None:
    X, model = blobs(), KMeans(6, 40)
    spent = [
        initial_centroids(matrix(X), 40, restarts, seed=0, budget=0).tobytes()
        for restarts in (1, 5)
    ]
    assert spent[0] == spent[1]
    w = np.frombuffer(spent[0], np.float32)
    better = initial_centroids(matrix(X), 40, restarts=5, seed=0)
    assert model.accumulate(better, X).inertia < model.accumulate(w, X).inertia
    random = X[:40].ravel()
    assert model.accumulate(w, X).inertia < 0.8 * model.accumulate(random, X).inertia


@each_matrix
def test_what_the_budget_allows_is_done(matrix: Callable[[Floats], Matrix]) -> None:
    X = matrix(blobs())
    unbounded = initial_centroids(X, 10, restarts=5, seed=0, budget=math.inf)
    assert initial_centroids(X, 10, restarts=5, seed=0).tobytes() == unbounded.tobytes()


@pytest.mark.parametrize(
    ("n_clusters", "asked", "expected"),
    [
        (10, 5, Plan(restarts=5, iterations=10)),
        (500, 5, Plan(restarts=2, iterations=10)),
        (1000, 5, Plan(restarts=1, iterations=10)),
        (2000, 5, Plan(restarts=1, iterations=2)),
        (100_000, 5, Plan(restarts=1, iterations=1)),
        (500, 1, Plan(restarts=1, iterations=10)),
    ],
)
def test_many_clusters_are_seeded_less_often(n_clusters: int, asked: int, expected: Plan) -> None:
    X = np.broadcast_to(np.float32(1), (149_000, 28))
    assert Plan.within(2e11, X, n_clusters, asked) == expected


def test_sparse_numbers_take_more_of_the_budget() -> None:
    X = blobs()
    budget = 2e8
    sparse, dense = (Plan.within(budget, each, 10, restarts=100) for each in (sparse_of(X), X))
    assert 1 < sparse.restarts < dense.restarts


@pytest.mark.parametrize("n_clusters", [2, 12])
def test_rows_drawn_in_advance_are_as_good_as_those_drawn_one_by_one(n_clusters: int) -> None:
    X = blobs(300, n_blobs=12)
    dense, sparse = (
        np.mean([_first_inertia(X, matrix, n_clusters, seed) for seed in range(60)])
        for matrix in (X, sparse_of(X))  # only dense rows are drawn in advance
    )
    assert dense == pytest.approx(sparse, rel=0.05)


def _first_inertia(X: Floats, matrix: Matrix, n_clusters: int, seed: int) -> float:
    w = initial_centroids(matrix, n_clusters, restarts=1, seed=seed, budget=0)
    return KMeans(6, n_clusters).accumulate(w, X).inertia


def test_more_restarts_are_never_worse() -> None:
    X = blobs(500, n_blobs=30)
    inertias = [
        KMeans(6, 12).accumulate(initial_centroids(X, 12, restarts, seed=1), X).inertia
        for restarts in (1, 2, 4, 8)
    ]
    assert inertias == sorted(inertias, reverse=True)


@each_matrix
def test_the_same_seed_gives_the_same_bits(matrix: Callable[[Floats], Matrix]) -> None:
    X = matrix(blobs(500))
    once, again, other = (initial_centroids(X, 5, 2, seed).tobytes() for seed in (7, 7, 8))
    assert once == again
    assert once != other


@each_matrix
@pytest.mark.parametrize(("n_rows", "n_different"), [(1, 1), (6, 1), (6, 3), (100, 3), (3, 3)])
def test_fewer_different_rows_than_clusters_are_repeated(
    n_rows: int, n_different: int, matrix: Callable[[Floats], Matrix]
) -> None:
    different = blobs(n_different) + np.float32(100)
    X = different[np.arange(n_rows) % n_different]
    w = initial_centroids(matrix(X), 5, restarts=2, seed=0)
    nearest = squares(w.reshape(5, 6), different)
    assert nearest.min(axis=0) == pytest.approx(np.zeros(n_different), abs=1e-6)
    assert nearest.min(axis=1) == pytest.approx(np.zeros(5), abs=1e-6)


@each_matrix
def test_empty_clusters_move_to_the_farthest_rows(matrix: Callable[[Floats], Matrix]) -> None:
    X = np.array([[0, 0], [1, 0], [0, 10], [0, 11], [50, 0]], np.float32)
    centroids = np.array([[0, 0], [100, 100], [50, 1], [-100, 0]], np.float32)
    counts = np.array([4.0, 0, 1, 0])
    given = centroids.copy()
    moved = KMeans(2, 4).reseed(given.ravel(), counts, matrix(X)).reshape(4, 2)
    assert moved.tolist() == [
        [0, 0],
        [0, 11],
        [50, 1],
        [1, 0],
    ]  # (0, 10) and (50, 0) are equally near
    assert given.tobytes() == centroids.tobytes()


@each_matrix
def test_where_all_rows_lie_on_centroids_empty_clusters_stay(
    matrix: Callable[[Floats], Matrix],
) -> None:
    X = np.array([[1, 2], [3, 4], [1, 2]], np.float32)
    centroids = np.array([[1, 2], [7, 7], [8, 8]], np.float32)
    moved = KMeans(2, 3).reseed(centroids.ravel(), np.array([3.0, 0, 0]), matrix(X))
    assert moved.reshape(3, 2).tolist() == [[1, 2], [3, 4], [8, 8]]


def test_a_cluster_without_rows_keeps_its_centroid() -> None:
    model, w = KMeans(1, 2), np.array([1, 7], np.float32)
    found = model.next_parameters(w, np.array([[6.0], [0.0]]), np.array([3.0, 0.0]))
    assert found.tolist() == [2, 7]
    assert found.dtype == np.float32


def test_a_model_is_restored_from_its_artifact() -> None:
    X, model = blobs(), KMeans(6, 4)
    w = blobs(4, seed=5).ravel()
    card = json.loads(json.dumps({"model": "kmeans", "n_features": 6, **model.describe()}))
    restored = restore_model(card)
    again = restored.parameters({name: a.copy() for name, a in model.arrays(w).items()})
    assert again.tobytes() == w.tobytes()
    assert restored.predict(again, X).tolist() == model.predict(w, X).tolist()
    assert restored.predict(again, X[:0]).shape == (0,)
