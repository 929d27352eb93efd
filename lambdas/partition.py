"""Parses one range of the data and writes its rows as pieces, sorted by row id."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from lambdas.entry import handles
from lambdas.environment import LambdaContext, bucket, durable
from lambdas.job_store import JobStore, PartitionPlan, RangeSummary
from lambdas.logs import log
from stepml.job.tasks import PartitionTask
from stepml.ml.data import write_pieces
from storage import DurableStorage


@handles(PartitionTask)
def handler(task: PartitionTask, context: LambdaContext) -> None:
    plan = JobStore(durable(), task.job_id).partition_plan.load()
    partition(task, plan, source=bucket(plan.bucket), storage=durable())


def partition(
    task: PartitionTask, plan: PartitionPlan, source: DurableStorage, storage: DurableStorage
) -> RangeSummary:
    """Write the pieces of one range and then their summary; if done before, return the summary."""
    data_set = JobStore(storage, task.job_id).data_set(plan.digest)
    summary = data_set.summary(task.range)
    done = summary.find()
    if done is not None:
        return done
    result = write_pieces(
        _AsPlanned(source, {each.key: each.etag for each in plan.objects}),
        storage,
        plan.objects,
        plan.layout,
        plan.tasks[task.range],
        seed=plan.spec.data.seed,
        piece_key=partial(data_set.piece_key, task.range),
    )
    log(
        "range partitioned",
        job_id=task.job_id,
        range=task.range,
        rows=sum(piece.n_rows for piece in result.pieces),
        skipped=result.skipped.count,
        pieces=len(result.pieces),
    )
    return summary.publish(RangeSummary(result.pieces, result.skipped))


@dataclass(frozen=True, slots=True)
class _AsPlanned:
    """Reads the data, and refuses objects that have changed since the plan was made.

    The data set is addressed by the contents of these objects.
    """

    source: DurableStorage
    etags: dict[str, str]

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        return self.source.load_range(key, start, stop, self.etags[key])
