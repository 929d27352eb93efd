"""Parses one range of the data and writes its rows as pieces, sorted by row id.

Or parses everything that is missing or damaged in the partitioned data.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

from lambdas.entry import handles
from lambdas.environment import LambdaContext, bucket, durable
from lambdas.job_store import JobStore, PartitionPlan, RangeSummary
from lambdas.job_store.data_sets import DataSetStore, Unchanged
from lambdas.logs import best_effort, log
from stepml.job.errors import DataSetDamagedError
from stepml.job.tasks import PartitionTask, Restored
from stepml.ml.data import write_pieces
from storage import DurableStorage

MOST_TIMES = 3  # that an execution parses damaged data again, after its start and each redrive


@handles(PartitionTask)
def handler(task: PartitionTask, context: LambdaContext) -> Restored | None:
    plan = JobStore(durable(), task.job_id).partition_plan.load()
    source = bucket(plan.bucket)
    if task.range is None:
        return restore(task, plan, source, durable())
    partition(task.range, task.job_id, plan, source, durable())
    return None


def partition(
    number: int, job_id: str, plan: PartitionPlan, source: DurableStorage, storage: DurableStorage
) -> RangeSummary:
    """Write the pieces of one range and then their summary; if done before, return the summary."""
    data_set = JobStore(storage, job_id).data_set(plan.digest)
    return data_set.find_summary(number) or _partitioned(number, plan, source, data_set)


def _partitioned(
    number: int, plan: PartitionPlan, source: DurableStorage, data_set: DataSetStore
) -> RangeSummary:
    # The data set is addressed by the contents of the objects.
    unchanged = Unchanged(source, {each.key: each.etag for each in plan.objects})
    result = write_pieces(
        unchanged,
        data_set.storage,
        plan.objects,
        plan.layout,
        plan.tasks[number],
        seed=plan.spec.data.seed,
        piece_key=partial(data_set.piece_key, number),
    )
    log(
        "range partitioned",
        job_id=data_set.job_id,
        range=number,
        rows=sum(piece.n_rows for piece in result.pieces),
        skipped=result.skipped.count,
        pieces=len(result.pieces),
    )
    return data_set.publish_summary(RangeSummary(number, result.pieces, result.skipped))


def restore(
    task: PartitionTask, plan: PartitionPlan, source: DurableStorage, storage: DurableStorage
) -> Restored:
    """Parse the data again if their manifest or a piece is missing or damaged.

    If nothing is known to be damaged (``task.times`` is None), a storage that fails is ignored:
    the ranks may have all they need.

    Raises
    ------
    DataSetDamagedError
        This was done several times.
    KeyNotFoundError, ValueChangedError
        The data have been deleted or changed since.
    """
    data_set = JobStore(storage, task.job_id).data_set(plan.digest)
    times = task.times or 0
    if times >= MOST_TIMES * (1 + task.redrives):
        raise DataSetDamagedError(
            f"datasets/{plan.digest}/ was damaged again after it had been made {times} times"
        )
    is_precaution = task.times is None
    with best_effort("make the data again", job_id=task.job_id) if is_precaution else nullcontext():
        if data_set.find_whole() is None:
            for number in range(len(plan.tasks)):
                partition(number, task.job_id, plan, source, storage)
            data_set.publish(plan)
    return Restored(times=times + 1)
