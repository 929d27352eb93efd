"""Some training rows, prepared as they are learnt from: where clusters begin."""

from __future__ import annotations

from lambdas.documents import Documents
from lambdas.plans import TrainingPlan
from lambdas.shards import is_scaled, load_scale
from stepml.job import keys
from stepml.ml.data import Interval, Manifest, assemble, scaled
from stepml.ml.matrices import Matrix
from storage import DurableStorage

SAMPLE_BYTES = 16 * 2**20
MOST_ROWS = 200_000
ROWS_A_CLUSTER = 4  # fewer would leave clusters without rows of their own …
MOST_BYTES = 512 * 2**20  # … up to what the functions have room for


def load_sample(job_id: str, plan: TrainingPlan, storage: DurableStorage) -> Matrix:
    """Return the first training rows in the order of ids, which is a shuffle.

    At most 16 MB and 200,000 of them, or four for each cluster where that is more. They depend
    neither on the world size nor on the ranges.
    """
    manifest = Documents(storage).load(keys.manifest(plan.digest), Manifest)
    first = plan.validation_rows
    interval = Interval(first, first + sample_rows(plan))
    X = assemble(storage, manifest, interval, plan.matrix).X
    if is_scaled(plan.spec.data):
        X = scaled(X, load_scale(job_id, storage))
    return X


def sample_rows(plan: TrainingPlan) -> int:
    """Return how many rows a sample has."""
    usual = min(MOST_ROWS, int(SAMPLE_BYTES / plan.row_bytes))
    wanted = ROWS_A_CLUSTER * plan.spec.model.min_rows
    most = max(1, int(MOST_BYTES / plan.row_bytes))
    return min(max(usual, wanted), most, plan.training_rows)
