"""Writes what training begins with: the plan, the features' scale, the model's state of epoch 0."""

from __future__ import annotations

from comm import require_shareable
from lambdas.documents import Documents
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.logs import log
from lambdas.plan_shards import class_labels
from lambdas.plans import PartitionPlan, TrainingPlan
from lambdas.states import pack_state
from stepml.job import keys
from stepml.job.tasks import JobTask
from stepml.ml.data import Manifest, Moments, merge_moments, shard_plan
from stepml.ml.data.scaling import scale_of
from storage import DurableStorage


@handles(JobTask)
def handler(task: JobTask, context: LambdaContext) -> None:
    initialise(task.job_id, durable())


def initialise(job_id: str, storage: DurableStorage) -> TrainingPlan:
    """Publish the job's training plan, scale and first state."""
    documents = Documents(storage)
    partition = documents.load(keys.partition_plan(job_id), PartitionPlan)
    manifest = documents.load(keys.manifest(partition.digest), Manifest)
    spec = partition.spec
    intervals = shard_plan(manifest, spec.workers, spec.data.validation_fraction)
    names, column = partition.layout.column_names, partition.layout.label_column
    plan = TrainingPlan(
        spec=spec,
        run=partition.run,
        digest=partition.digest,
        n_features=manifest.n_features,
        labels=list(class_labels(manifest)),
        label_name=names[column] if names else "",
        feature_names=[*names[:column], *names[column + 1 :]],
        shard_rows=[interval.n_rows for interval in intervals.shards],
        validation_rows=intervals.validation.n_rows,
    )
    n_parameters = plan.model().n_parameters
    if spec.exchange.pattern == "async":
        require_shareable(4 * n_parameters)  # float32
    if spec.data.standardise:
        moments = _moments_by_rank(plan, storage)
        storage.publish(keys.scale(job_id), scale_of(merge_moments(moments)).pack())
    storage.publish(keys.state(job_id, 0), pack_state(plan.model().initial_parameters(), epoch=0))
    log("model initialised", job_id=job_id, parameters=n_parameters)
    return documents.publish(keys.training_plan(job_id), plan)


def _moments_by_rank(plan: TrainingPlan, storage: DurableStorage) -> list[Moments]:
    fraction = plan.spec.data.validation_fraction
    names = [
        keys.shard_moments(plan.digest, plan.spec.workers, fraction, rank)
        for rank in range(plan.spec.workers)
    ]
    found = storage.load_many(names)
    return [Moments.unpack(found[name]) for name in names]
