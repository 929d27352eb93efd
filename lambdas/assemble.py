"""Makes one shard: a rank's rows, or the validation rows, gathered from all pieces."""

from __future__ import annotations

from lambdas.documents import Documents
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.logs import log
from lambdas.plans import PartitionPlan
from stepml.job import keys
from stepml.job.tasks import AssembleTask
from stepml.ml.data import Manifest, feature_moments, pack_shard, shard_kind, shard_plan
from stepml.ml.data import assemble as assemble_rows
from storage import DurableStorage


@handles(AssembleTask)
def handler(task: AssembleTask, context: LambdaContext) -> None:
    assemble(task, durable())


def assemble(task: AssembleTask, storage: DurableStorage) -> None:
    """Write a shard and then its moments; done before, by any job: do nothing."""
    documents = Documents(storage)
    plan = documents.load(keys.partition_plan(task.job_id), PartitionPlan)
    spec, manifest = plan.spec, documents.load(keys.manifest(plan.digest), Manifest)
    kind = shard_kind(spec.data.matrix, manifest, spec.workers)
    split = (plan.digest, spec.workers, spec.data.validation_fraction, kind, task.rank)
    if storage.describe(keys.shard_moments(*split)) is not None:
        return
    intervals = shard_plan(manifest, spec.workers, spec.data.validation_fraction, kind)
    validates = task.rank == keys.VALIDATION
    interval = intervals.validation if validates else intervals.shards[task.rank]
    shard = assemble_rows(storage, manifest, interval, kind)
    storage.save(keys.shard(*split), pack_shard(shard))
    storage.save(keys.shard_moments(*split), feature_moments(shard.X).pack())
    log("shard assembled", job_id=task.job_id, rank=task.rank, rows=interval.n_rows)
