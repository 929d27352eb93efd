"""Some training rows, prepared as they are learnt from: where clusters begin."""

from __future__ import annotations

from lambdas.documents import Documents
from lambdas.plans import TrainingPlan
from lambdas.shards import is_scaled
from stepml.job import keys
from stepml.ml.data import Interval, Manifest, Scale, assemble, scaled
from stepml.ml.matrices import Matrix
from storage import DurableStorage

SAMPLE_BYTES = 16 * 2**20
MOST_ROWS = 200_000
_LEAST_ROWS = 1000


def load_sample(job_id: str, plan: TrainingPlan, storage: DurableStorage) -> Matrix:
    """Return the first training rows in the order of ids, which is a shuffle; at most 16 MB.

    (Unless a thousand rows are more.) They depend neither on the world size nor on the ranges.
    """
    manifest = Documents(storage).load(keys.manifest(plan.digest), Manifest)
    n_rows = max(_LEAST_ROWS, min(MOST_ROWS, int(SAMPLE_BYTES / plan.row_bytes)))
    first = plan.validation_rows
    interval = Interval(first, first + min(n_rows, plan.training_rows))
    X = assemble(storage, manifest, interval, plan.matrix).X
    if is_scaled(plan.spec.data):
        X = scaled(X, Scale.unpack(storage.load(keys.scale(job_id))))
    return X
