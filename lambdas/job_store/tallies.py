"""The sums over the slices of the validation rows, of models that are evaluated apart."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lambdas.job_store.plans import TrainingPlan
from lambdas.job_store.store import JobStore
from stepml.job.errors import DamagedValueError, KeyNotFoundError
from stepml.ml.algorithms import Extras
from stepml.ml.models import NeuralNetwork
from stepml.ml.models.confusion import Counts
from stepml.ml.models.tallies import Sums

SUMS, COST = "sums", "cost_usd"  # the arrays of a slice
OUTPUTS = "outputs"  # beside the cost, while its function has evaluated only some rows


def sum_of(tallies: Iterable[Extras]) -> Sums:
    """Return the sums over all rows."""
    sums: Sums = np.sum([each[SUMS] for each in tallies], axis=0)
    return sums


def counts_of_slices(store: JobStore, plan: TrainingPlan, epoch: int) -> Counts | None:
    """Return the validation rows of each class by their prediction, as the epoch found them.

    None: they were not counted, or the epoch is one of another job, or a sum is lost.
    """
    model = plan.model()
    if not isinstance(model, NeuralNetwork):
        return None
    merged = store.merged_epoch(epoch).find_whole()
    if merged is None:
        return None
    try:
        return model.counts(sum_of(store.tallies(epoch, merged.n_slices)))
    except (DamagedValueError, KeyNotFoundError):
        return None
