"""A sample of the training rows, prepared as for training: first states come from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lambdas.job_store.plans import TrainingPlan
from lambdas.job_store.scales import scales_shards
from lambdas.job_store.store import JobStore
from stepml.ml.data import Interval, Shard, scaled
from stepml.ml.matrices import Matrix, chosen_rows


@dataclass(frozen=True, slots=True)
class SampleSize:
    """Limits of a sample."""

    usual_bytes: int = 16 * 2**20
    usual_rows: int = 200_000
    rows_a_cluster: int = 4  # with fewer, some clusters would be empty …
    most_bytes: int = 512 * 2**20  # … but never more than the functions have room for

    def rows(self, plan: TrainingPlan) -> int:
        """Return the number of rows of a sample."""
        usual = min(self.usual_rows, int(self.usual_bytes / plan.row_bytes))
        wanted = self.rows_a_cluster * plan.spec.model.min_rows
        most = max(1, int(self.most_bytes / plan.row_bytes))
        return min(max(usual, wanted), most, plan.training_rows)


def load_sample(store: JobStore, plan: TrainingPlan, size: SampleSize | None = None) -> Matrix:
    """Return the features of a sample, without rows of weight 0; see `load_labelled_sample`."""
    found = load_labelled_sample(store, plan, size)
    if found.weights is None or found.weights.all() or not found.weights.any():
        return found.X
    return chosen_rows(found.X, np.flatnonzero(found.weights))


def load_labelled_sample(
    store: JobStore, plan: TrainingPlan, size: SampleSize | None = None
) -> Shard:
    """Return the first training rows in the order of ids: a shuffle.

    At most 16 MB and 200,000 rows, or four rows a cluster if that is more. They depend neither on
    the world size nor on the ranges.
    """
    rows = load_unscaled_sample(store, plan, size)
    X, weights = rows.X, plan.weights_of(rows)
    if scales_shards(plan):
        X = scaled(X, store.scale.load(), rows.remainders)
    return Shard(X, rows.y, weights=weights)


def load_unscaled_sample(
    store: JobStore, plan: TrainingPlan, size: SampleSize | None = None
) -> Shard:
    """Return the rows of a sample as in the data."""
    first = plan.first_training
    interval = Interval(first, first + (size or SampleSize()).rows(plan), plan.quotas)
    return store.data_set(plan.digest).rows(interval, plan.matrix)
