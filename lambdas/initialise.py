"""Writes what training begins with: the plan, the features' scale, the model's state of epoch 0."""

from __future__ import annotations

from comm import require_shareable
from lambdas import parameter_server
from lambdas.documents import Documents
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.logs import log
from lambdas.plans import PartitionPlan, TrainingPlan
from lambdas.resumption import take_over
from lambdas.samples import load_sample
from lambdas.shards import is_scaled
from lambdas.states import pack_state
from stepml.job import keys
from stepml.job.tasks import JobTask
from stepml.ml.algorithms import AsynchronousAlgorithm, State, build_algorithm
from stepml.ml.data import (
    Manifest,
    Moments,
    Scale,
    merge_moments,
    scale_of,
    shard_kind,
    shard_plan,
)
from stepml.ml.models import Model
from storage import DurableStorage


@handles(JobTask)
def handler(task: JobTask, context: LambdaContext) -> None:
    initialise(task.job_id, durable())


def initialise(job_id: str, storage: DurableStorage) -> TrainingPlan:
    """Publish the job's training plan, scale and first state; done before: only return the plan."""
    documents = Documents(storage)
    done = documents.find(keys.training_plan(job_id), TrainingPlan)
    if done is not None:
        return done
    partition = documents.load(keys.partition_plan(job_id), PartitionPlan)
    manifest = documents.load(keys.manifest(partition.digest), Manifest)
    plan = _training_plan(partition, manifest)
    model = plan.model()
    if plan.spec.exchange.channel == parameter_server.CHANNEL:
        parameter_server.require_room(job_id, plan)
    elif plan.spec.exchange.pattern == "async":
        require_shareable(4 * model.n_parameters)  # float32
    if is_scaled(plan.spec.data):
        storage.publish(keys.scale(job_id), _scale(plan, storage).pack())
    take_over(partition, job_id, storage)
    if partition.resumed_epochs == 0 and storage.describe(keys.state(job_id, 0)) is None:
        first = _first_state(job_id, plan, model, storage)
        storage.publish(keys.state(job_id, 0), pack_state(first, epoch=0))
    log("model initialised", job_id=job_id, parameters=model.n_parameters)
    return documents.publish(keys.training_plan(job_id), plan)


def _training_plan(partition: PartitionPlan, manifest: Manifest) -> TrainingPlan:
    spec, layout = partition.spec, manifest.layout
    kind = shard_kind(spec.data.matrix, manifest, spec.workers)
    intervals = shard_plan(manifest, spec.workers, spec.data.validation_fraction, kind)
    names, column = layout.column_names, layout.label_column
    return TrainingPlan(
        spec=spec,
        run=partition.run,
        digest=partition.digest,
        n_features=manifest.n_features,
        matrix=kind,
        labels=None if manifest.labels is None else list(manifest.labels),
        label_counts=None if manifest.label_counts is None else list(manifest.label_counts),
        label_name=names[column] if names and column >= 0 else "",
        feature_names=[name for number, name in enumerate(names) if number != column],
        shard_rows=[interval.n_rows for interval in intervals.shards],
        validation_rows=intervals.validation.n_rows,
        density=manifest.nnz / (manifest.n_rows * manifest.n_features),
        skipped_rows=manifest.skipped_rows,
        skipped_samples=list(manifest.skipped_samples),
        own_states_after=partition.own_states_after,
    )


def _first_state(job_id: str, plan: TrainingPlan, model: Model, storage: DurableStorage) -> State:
    parameters = model.first_parameters(
        lambda: load_sample(job_id, plan, storage), plan.spec.data.seed
    )
    algorithm = build_algorithm(plan.spec)
    if isinstance(algorithm, AsynchronousAlgorithm):
        return State(parameters)
    return algorithm.initial_state(model, parameters)


def _scale(plan: TrainingPlan, storage: DurableStorage) -> Scale:
    spec = plan.spec
    names = [
        keys.shard_moments(
            plan.digest, spec.workers, spec.data.validation_fraction, plan.matrix, rank
        )
        for rank in range(spec.workers)
    ]
    # One after another: together, those of many ranks might not fit.
    moments = merge_moments(Moments.unpack(storage.load(name)) for name in names)
    return scale_of(moments, standardise=spec.data.standardise, sparse=plan.matrix == "sparse")
