"""Merges the results of all ranges into the data set's manifest, and checks it against the job."""

from __future__ import annotations

from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.job_store import JobStore
from lambdas.job_store.plans import split_of
from lambdas.job_store.room import MOST_MODEL_BYTES, fitted
from lambdas.logs import log
from stepml.job.algorithms import algorithms_of
from stepml.job.errors import ModelTooLargeError
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled, tag
from stepml.job.tasks import JobTask
from stepml.ml.algorithms import build_algorithm
from stepml.ml.data import Manifest
from stepml.ml.models import build_model
from stepml.ml.sample_objective import BYTES_A_PARAMETER
from storage import DurableStorage


@handles(JobTask)
def handler(task: JobTask, context: LambdaContext) -> None:
    plan_shards(task.job_id, durable())


def plan_shards(
    job_id: str, storage: DurableStorage, *, most_model_bytes: int = MOST_MODEL_BYTES
) -> Manifest:
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
        Training it would take more memory than ``most_model_bytes``.
    DataSetDamagedError
        The result of a range task is missing or damaged.
    """
    store = JobStore(storage, job_id)
    plan = store.partition_plan.load()
    data_set = store.data_set(plan.digest)
    manifest = data_set.find_whole() or data_set.publish(plan)
    data_set.delete_unused_pieces(manifest)
    check_suits(fitted(plan, manifest, most_model_bytes).spec, manifest, most_model_bytes)
    data_set.find_cuts(manifest, split_of(plan.spec, manifest)[1].validation)
    log(
        "shards planned",
        job_id=job_id,
        rows=manifest.n_rows,
        skipped=manifest.skipped_rows,
        features=manifest.n_features,
    )
    return manifest


def check_suits(
    spec: JobSpec, manifest: Manifest, most_model_bytes: int = MOST_MODEL_BYTES
) -> None:
    """Raise now the error by which a job on this data set would fail later."""
    _, plan = split_of(spec, manifest)
    model = build_model(spec.model, manifest.n_features, manifest.labels, manifest.label_counts)
    algorithm = settled(spec.algorithm)
    most_parameters = build_algorithm(spec).most_parameters(most_model_bytes)
    if model.n_parameters > most_parameters:
        raise _too_large(model.n_parameters, most_parameters, spec, f"algorithm {tag(algorithm)!r}")
    most_parameters = most_model_bytes // BYTES_A_PARAMETER
    if algorithm.starts_at_sample and model.n_parameters > most_parameters:
        raise _too_large(model.n_parameters, most_parameters, spec, "algorithm.start 'sample'")
    spec.model.check_rows(sum(interval.n_rows for interval in plan.shards))


def _too_large(
    n_parameters: int, most_parameters: int, spec: JobSpec, choice: str
) -> ModelTooLargeError:
    another = f", or another {choice.split()[0]}" if len(algorithms_of(spec.model)) > 1 else ""
    return ModelTooLargeError(
        f"the model has {n_parameters:,} parameters; with {choice} a function has room for "
        f"{most_parameters:,}: use fewer features, classes or clusters{another}"
    )
