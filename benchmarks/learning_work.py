"""The work that `benchmarks.bench_learning` measures: rows, epochs of both sides, partitioning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import SGDClassifier

from benchmarks.bench_parsing import MemoryObjects
from stepml.job import algorithms, models, spec
from stepml.ml.algorithms import RankEpoch, State, build_algorithm
from stepml.ml.algorithms.base import OrchestratedAlgorithm
from stepml.ml.data import (
    DataObject,
    SourceFormat,
    assemble,
    merge,
    plan_ranges,
    shard_kind,
    shard_plan,
    sniff,
    write_pieces,
)
from stepml.ml.matrices import CsrMatrix, Floats, Matrix
from stepml.ml.models import LossModel, build_model

N_SAMPLES, N_FEATURES = 1_000_000, 28
N_SPARSE, WIDE, PAIRS = 100_000, 47_000, 80
BATCH_ROWS = 1000
L2 = 1e-4
WORKERS = 4


class Learner:
    """One rank with all rows."""

    def __init__(
        self, model: models.Model, algorithm: algorithms.Algorithm, X: Matrix, labels: Floats
    ) -> None:
        data = spec.Data(uri="s3://bucket/data", format="csv")
        stop = spec.Stop(max_epochs=10)
        job = spec.JobSpec(data=data, model=model, algorithm=algorithm, stop=stop)
        built = build_algorithm(job)
        assert isinstance(built, OrchestratedAlgorithm)
        self._algorithm: OrchestratedAlgorithm[Any] = built
        self.model = build_model(model, X.shape[1], np.unique(labels).tolist())
        self._X, self._labels = X, labels
        self._rank_epoch = RankEpoch(1, 0, (len(X),), 0)

    def epoch(self, parameters: Floats) -> Floats:
        """Return the parameters after one more epoch."""
        y = self.model.targets(self._labels)
        before = self._algorithm.initial_state(self.model, parameters, lambda: (self._X, y))
        progress = self._algorithm.begin(self.model, before, {}, self._rank_epoch)
        progress = self._algorithm.train(self.model, progress, self._X, y, self._rank_epoch)
        return self._next(before, self._algorithm.rank_result(progress)).parameters

    def _next(self, before: State, rank_state: Any) -> State:
        vector, trailer = self._algorithm.contribution(rank_state, self._rank_epoch)
        return self._algorithm.next_state(
            self.model, before, vector, trailer, self._rank_epoch, lambda: self._X[:BATCH_ROWS]
        ).state


def averaging(learning_rate: float) -> algorithms.ModelAveraging:
    """Return descent in batches of `BATCH_ROWS`."""
    return algorithms.ModelAveraging(
        batch_size=BATCH_ROWS,
        learning_rate=learning_rate,
        optimiser="sgd",
        momentum=0.0,
        schedule="constant",
    )


def epoch_of(learner: Learner) -> Callable[[], object]:
    """Return a function that trains a first epoch."""
    assert isinstance(learner.model, LossModel)
    start = learner.model.initial_parameters()
    return lambda: learner.epoch(start)


def sgd_epoch(loss: str, X: Any, labels: Floats, *, shuffle: bool) -> Callable[[], object]:
    """Return a function that trains an epoch with scikit-learn."""
    fitted = SGDClassifier(loss=loss, alpha=L2, max_iter=1, tol=None, shuffle=shuffle)
    return lambda: fitted.fit(X, labels)


def dense_rows() -> tuple[Floats, Floats]:
    """Return rows of two classes that overlap along a line."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_SAMPLES, N_FEATURES), np.float32)
    margins = X @ rng.standard_normal(N_FEATURES, np.float32) / 4
    return X, (rng.random(N_SAMPLES) < 1 / (1 + np.exp(-margins))).astype(np.float32)


def wide_rows() -> tuple[CsrMatrix, Floats]:
    """Return rows like RCV1's: of norm 1; a few columns are frequent, most are rare."""
    rng = np.random.default_rng(0)
    drawn = np.sort((WIDE - PAIRS) * rng.random((N_SPARSE, PAIRS)) ** 3, axis=1).astype(np.int32)
    ascending = np.arange(PAIRS, dtype=np.int32)
    ranks = np.maximum.accumulate(drawn - ascending, axis=1) + ascending  # all different
    # Frequent columns are spread, as in a vocabulary in alphabetical order.
    indices = np.sort(rng.permutation(WIDE).astype(np.int32)[ranks], axis=1)
    values = rng.random(indices.shape, np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    margins = (values * rng.standard_normal(WIDE)[indices]).sum(axis=1)
    labels = (margins > 0).astype(np.float32)
    indptr = np.arange(0, indices.size + 1, PAIRS)
    return CsrMatrix(indptr, indices.ravel(), values.ravel(), WIDE), labels


def partition(text: bytes, text_format: str) -> None:
    """Partition ``text`` into shards."""
    store = MemoryObjects(text)
    data = [DataObject("data", "data", len(text), "")]
    layout, ranges = sniff(store, data, SourceFormat(format=text_format)), plan_ranges(data, 1)[0]
    key = "pieces/{}".format
    result = write_pieces(store, store, data, layout, ranges, seed=0, piece_key=key)
    manifest = merge("", layout, result.pieces)
    kind = shard_kind("auto", manifest, WORKERS)
    plan = shard_plan(manifest, WORKERS, 0.1, kind)
    for interval in (*plan.shards, plan.validation):
        assemble(store, manifest, interval, kind)
