"""Makes one shard: a rank's rows, or the validation rows, gathered from all pieces."""

from __future__ import annotations

from lambdas.attempts.costs import Invocation
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.job_store import JobStore
from lambdas.logs import log
from stepml.job import keys
from stepml.job.tasks import AssembleTask, Spent
from stepml.ml.job_shards import split_of
from storage import DurableStorage


@handles(AssembleTask)
def handler(task: AssembleTask, context: LambdaContext) -> Spent:
    invocation = Invocation.begin(durable(), task)
    assemble(task, invocation.storage)
    return invocation.spent()


def assemble(task: AssembleTask, storage: DurableStorage) -> None:
    """Write a shard; if any job has done so before, do nothing.

    Raises
    ------
    DataSetDamagedError
        The manifest or a piece is missing or damaged.
    """
    store = JobStore(storage, task.job_id)
    plan = store.partition_plan.load()
    spec, manifest = plan.spec, store.data_set(plan.digest).load_manifest()
    kind, intervals = split_of(spec, manifest)
    shards = store.shards(plan.digest, spec, kind, manifest.fingerprint)
    if not shards.missing([task.rank]):
        return
    validates = task.rank == keys.VALIDATION
    interval = intervals.validation if validates else intervals.shards[task.rank]
    shards.make(task.rank, interval)
    log("shard assembled", job_id=task.job_id, rank=task.rank, rows=interval.n_rows)
