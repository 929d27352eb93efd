"""Merges what the ranges found into the manifest of the data set, and checks it against the job."""

from __future__ import annotations

from lambdas.documents import Documents
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.logs import log
from lambdas.plans import PartitionPlan, RangeSummary
from stepml.job import keys
from stepml.job.errors import ModelTooLargeError
from stepml.job.spec import JobSpec
from stepml.job.spec_base import tag
from stepml.job.tasks import JobTask
from stepml.ml.algorithms import build_algorithm
from stepml.ml.data import Manifest, merge, shard_kind, shard_plan
from stepml.ml.models import build_model
from storage import DurableStorage

# Of a function of 3 GB, which may hold a shard of 1 GiB and another that it used before.
MOST_MODEL_BYTES = 2**30


@handles(JobTask)
def handler(task: JobTask, context: LambdaContext) -> None:
    plan_shards(task.job_id, durable())


def plan_shards(job_id: str, storage: DurableStorage) -> Manifest:
    """Publish the data set's manifest, and refuse a job that it does not suit.

    Raises
    ------
    EmptyDataError
        There are no rows that parse.
    NotEnoughDataError
        There are fewer training rows than workers or clusters.
    BadLabelError
        The model cannot learn these labels.
    ModelTooLargeError
        Training it would take more memory than the functions have.
    """
    documents = Documents(storage)
    plan = documents.load(keys.partition_plan(job_id), PartitionPlan)
    manifest = documents.find(keys.manifest(plan.digest), Manifest)
    if manifest is None:
        merged = _merged(plan, _summaries(job_id, plan, documents))
        manifest = documents.publish(keys.manifest(plan.digest), merged)
    mine = keys.piece_prefix(plan.digest, job_id)
    if not any(piece.key.startswith(mine) for piece in manifest.pieces):
        storage.clear(mine)  # another job was faster: its pieces hold the same rows
    check_suits(plan.spec, manifest)
    log(
        "shards planned",
        job_id=job_id,
        rows=manifest.n_rows,
        skipped=manifest.skipped_rows,
        features=manifest.n_features,
    )
    return manifest


def check_suits(spec: JobSpec, manifest: Manifest) -> None:
    """Raise the error by which a job on this data set would fail later."""
    kind = shard_kind(spec.data.matrix, manifest, spec.workers)
    plan = shard_plan(manifest, spec.workers, spec.data.validation_fraction, kind)
    model = build_model(spec.model, manifest.n_features, manifest.labels, manifest.label_counts)
    _check_model_size(spec, model.n_parameters)
    training_rows = sum(interval.n_rows for interval in plan.shards)
    spec.model.check_rows(training_rows)


def _check_model_size(spec: JobSpec, n_parameters: int) -> None:
    most = MOST_MODEL_BYTES // build_algorithm(spec).bytes_per_parameter
    if n_parameters > most:
        raise ModelTooLargeError(
            f"the model has {n_parameters:,} parameters; with algorithm {tag(spec.algorithm)!r} a "
            f"function has room for {most:,}: use fewer features, classes or clusters"
        )


def _summaries(job_id: str, plan: PartitionPlan, documents: Documents) -> list[RangeSummary]:
    return [
        documents.load(keys.task_summary(plan.digest, job_id, task), RangeSummary)
        for task in range(len(plan.tasks))
    ]


def _merged(plan: PartitionPlan, summaries: list[RangeSummary]) -> Manifest:
    pieces = [piece for summary in summaries for piece in summary.pieces]
    return merge(plan.digest, plan.layout, pieces, [each.skipped for each in summaries])
