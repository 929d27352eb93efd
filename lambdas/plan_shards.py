"""Merges the results of all ranges into the data set's manifest, and checks it against the job."""

from __future__ import annotations

from lambdas.attempts.costs import Invocation
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.job_store import JobStore
from lambdas.job_store.room import fitted
from lambdas.logs import log
from stepml.job.choices import with_rows
from stepml.job.tasks import JobTask, Spent
from stepml.ml.data import Manifest
from stepml.ml.job_shards import split_of
from stepml.ml.suitability import MOST_MODEL_BYTES, check_suits
from storage import DurableStorage


@handles(JobTask)
def handler(task: JobTask, context: LambdaContext) -> Spent:
    invocation = Invocation.begin(durable(), task)
    plan_shards(task.job_id, invocation.storage)
    return invocation.spent()


def plan_shards(
    job_id: str, storage: DurableStorage, *, most_model_bytes: int = MOST_MODEL_BYTES
) -> Manifest:
    """Publish the data set's manifest, and refuse a job that it does not suit.

    Raises
    ------
    EmptyDataError
        There are no rows that parse.
    InvalidJobError
        The model does not take rows of this shape.
    NotEnoughDataError
        There are fewer training rows than workers or clusters.
    BadLabelError
        The model cannot learn these labels.
    ModelTooLargeError
        Training it would take more memory than ``most_model_bytes``.
    DataSetDamagedError
        The result of a range task is missing or damaged.
    """
    store = JobStore(storage, job_id)
    plan = store.partition_plan.load()
    data_set = store.data_set(plan.digest)
    manifest = data_set.find_whole() or data_set.publish(plan)
    data_set.delete_unused_pieces(manifest)
    with_rows(plan.spec, manifest.n_features, manifest.layout.row_shape)
    if not (plan.spec.model.function_kind or plan.spec.needs_code):
        plan = fitted(plan, manifest, most_model_bytes)
    check_suits(plan.spec, manifest, most_model_bytes)
    data_set.find_cuts(manifest, split_of(plan.spec, manifest)[1].validation)
    log(
        "shards planned",
        job_id=job_id,
        rows=manifest.n_rows,
        skipped=manifest.skipped_rows,
        features=manifest.n_features,
    )
    return manifest
