"""Merges what the ranges found into the manifest of the data set, and checks it against the job."""

from __future__ import annotations

from lambdas.documents import Documents
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.logs import log
from lambdas.plans import PartitionPlan, RangeSummary
from stepml.job import keys
from stepml.job.errors import BadLabelError
from stepml.job.spec import JobSpec
from stepml.job.tasks import JobTask
from stepml.ml.data import Manifest, merge, shard_plan
from stepml.ml.models import build_model
from storage import DurableStorage


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
        There are fewer training rows than workers.
    BadLabelError
        The model cannot learn these labels.
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
    shard_plan(manifest, spec.workers, spec.data.validation_fraction)
    build_model(spec.model, manifest.n_features, class_labels(manifest))


def class_labels(manifest: Manifest) -> tuple[float, ...]:
    """Return the distinct labels, ascending, or raise `BadLabelError` if they are no classes."""
    if manifest.labels is None:
        raise BadLabelError(
            f"the labels are no classes: more than 1,000 different ones from "
            f"{manifest.min_label:g} to {manifest.max_label:g}; is data.label the right column?"
        )
    return manifest.labels


def _summaries(job_id: str, plan: PartitionPlan, documents: Documents) -> list[RangeSummary]:
    return [
        documents.load(keys.task_summary(plan.digest, job_id, task), RangeSummary)
        for task in range(len(plan.tasks))
    ]


def _merged(plan: PartitionPlan, summaries: list[RangeSummary]) -> Manifest:
    pieces = [piece for summary in summaries for piece in summary.pieces]
    return merge(plan.digest, plan.layout, pieces, [each.skipped for each in summaries])
