"""Parses one range of the data and writes its rows as pieces, sorted by row id.

Or finds the ranges that must be parsed again, as their pieces are missing or damaged.
"""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from lambdas.attempts import transitions
from lambdas.attempts.costs import Invocation
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.job_store import JobStore, PartitionPlan, RangeSummary
from lambdas.job_store.data_sets import DataSetStore, Unchanged
from lambdas.logs import log
from lambdas.restoration import find_damage
from stepml.job.prices import TRANSITION_USD
from stepml.job.tasks import DataTasks, PartitionTask, Spent
from stepml.ml.data import write_pieces
from storage import DurableStorage


@handles(PartitionTask)
def handler(task: PartitionTask, context: LambdaContext) -> DataTasks | Spent:
    invocation = Invocation.begin(durable(), task)
    storage = invocation.storage
    plan = JobStore(storage, task.job_id).partition_plan.load()
    if task.range is None:
        found = find_damage(task, plan, storage)
        before_usd = task.data.cost_usd + transitions.of_damage(task.data) * TRANSITION_USD
        return replace(found, spent_usd=before_usd + invocation.cost_usd())
    partition(task.range, task.job_id, plan, invocation.bucket(plan.bucket), storage)
    return invocation.spent()


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
    levels = [list(each) for each in result.levels]
    return data_set.publish_summary(RangeSummary(number, result.pieces, result.skipped, levels))
