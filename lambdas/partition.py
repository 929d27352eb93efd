"""Parses one range of the data and writes its rows as pieces, sorted by row id."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from lambdas.documents import Documents
from lambdas.entry import handles
from lambdas.environment import LambdaContext, bucket, durable
from lambdas.logs import log
from lambdas.plans import PartitionPlan, RangeSummary
from stepml.job import keys
from stepml.job.tasks import PartitionTask
from stepml.ml.data import write_pieces
from storage import DurableStorage


@handles(PartitionTask)
def handler(task: PartitionTask, context: LambdaContext) -> None:
    plan = Documents(durable()).load(keys.partition_plan(task.job_id), PartitionPlan)
    partition(task, plan, source=bucket(plan.bucket), storage=durable())


def partition(
    task: PartitionTask, plan: PartitionPlan, source: DurableStorage, storage: DurableStorage
) -> RangeSummary:
    """Write the pieces of one range task, then what they are; done before: only return that."""
    documents = Documents(storage)
    summary = keys.task_summary(plan.digest, task.job_id, task.range)
    done = documents.find(summary, RangeSummary)
    if done is not None:
        return done
    result = write_pieces(
        _AsPlanned(source, {each.key: each.etag for each in plan.objects}),
        storage,
        plan.objects,
        plan.layout,
        plan.tasks[task.range],
        seed=plan.spec.data.seed,
        piece_key=partial(keys.piece, plan.digest, task.job_id, task.range),
    )
    log(
        "range partitioned",
        job_id=task.job_id,
        range=task.range,
        rows=sum(piece.n_rows for piece in result.pieces),
        skipped=result.skipped.count,
        pieces=len(result.pieces),
    )
    return documents.publish(summary, RangeSummary(result.pieces, result.skipped))


@dataclass(frozen=True, slots=True)
class _AsPlanned:
    """Reads the data, and refuses objects that are no longer those that the plan describes.

    Their rows would go into a data set that is addressed by what it was made of.
    """

    source: DurableStorage
    etags: dict[str, str]

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        return self.source.load_range(key, start, stop, self.etags[key])
