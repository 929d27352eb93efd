"""The sums over the slices of the validation rows, of models that are evaluated apart."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lambdas.job_store.store import JobStore
from stepml.job.errors import DamagedValueError, KeyNotFoundError
from stepml.ml.algorithms import Extras
from stepml.ml.models.base import Array
from stepml.ml.models.tallies import Sums

SUMS, COST, TIMES = "sums", "cost_usd", "times"  # the arrays of a slice
OUTPUTS = "outputs"  # beside the cost, while its function has evaluated only some rows


def text_array(text: str) -> Array:
    """Return a text as an array, for a container."""
    return np.frombuffer(text.encode(), np.uint8)


def times_in(tally: Extras) -> str:
    """Return the packed times of the function that made a tally; earlier versions have none."""
    return tally[TIMES].tobytes().decode() if TIMES in tally else ""


def sum_of(tallies: Iterable[Extras]) -> Sums:
    """Return the sums over all rows."""
    sums: Sums = np.sum([each[SUMS] for each in tallies], axis=0)
    return sums


def sums_of_slices(store: JobStore, epoch: int) -> Sums | None:
    """Return the sums over the validation rows, as the epoch found them; None: they are lost.

    The epoch may be one of another job, which this one resumes.
    """
    try:
        trainer = _trainer(store, epoch)
        merged = trainer.merged_epoch(epoch).load()
        return sum_of(trainer.tallies(epoch, merged.n_slices))
    except (DamagedValueError, KeyNotFoundError):
        return None


def _trainer(store: JobStore, epoch: int) -> JobStore:
    plan = store.partition_plan.load()
    while plan.resumed_epochs >= epoch:
        store = JobStore(store.storage, plan.resumed_from)
        plan = store.partition_plan.load()
    return store
