"""The moments of a job's training rows."""

from __future__ import annotations

from collections.abc import Iterator

from lambdas.environment import Deadline
from lambdas.job_store.plans import TrainingPlan
from lambdas.job_store.store import JobStore
from stepml.job.errors import ExecutorPausedError
from stepml.ml.data import Moments, merge_moments


def load_moments(store: JobStore, plan: TrainingPlan, deadline: Deadline) -> Moments:
    """Return the moments of all ranks' rows; missing shards are made.

    Weights of rows are in units of their mean; `Moments.weight` is their sum as in the data.

    Raises
    ------
    ExecutorPausedError
        That took half of the time; the next call makes the others.
    """
    shards = store.shards(plan.digest, plan.spec, plan.matrix, plan.fingerprint)
    ranks = range(plan.spec.workers)

    def by_rank() -> Iterator[Moments]:
        n_made = 0
        # One after another: together, those of many ranks might not fit.
        for rank in ranks:
            rows = plan.interval(rank)
            moments = shards.find_moments(rank, rows)
            if moments is None:
                if n_made and deadline.is_half_over():
                    raise ExecutorPausedError(
                        f"the shards of ranks 0 to {rank - 1} of {len(ranks)} are there; "
                        f"{n_made} of them had to be made again"
                    )
                moments, n_made = shards.make_moments(rank, rows), n_made + 1
            yield moments

    return merge_moments(by_rank()).in_rows(plan.training_rows)
