"""The results of a job: its model, and the report of all epochs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version

import msgspec
import numpy as np

from lambdas.environment import seconds_since
from lambdas.job_store import JobStore, TrainingPlan
from lambdas.job_store.judgement import honest_end, model_doubts
from lambdas.job_store.retention import retained_after_success
from lambdas.job_store.shards import is_scaled, load_shard
from lambdas.job_store.tallies import counts_of_slices
from lambdas.logs import log
from stepml import __version__
from stepml.job import keys
from stepml.job.errors import DataSetDamagedError
from stepml.job.reports import ClassQuality, EpochReport, JobReport
from stepml.job.spec_base import tag
from stepml.ml.artifact import Artifact
from stepml.ml.models import Model
from stepml.ml.models.base import WithClasses
from stepml.ml.models.confusion import MOST_CLASSES_COUNTED, Counts, PerClass
from stepml.ml.standing import kept_epoch


def trained_model(store: JobStore, plan: TrainingPlan, report: JobReport) -> Artifact:
    """Return the model that the job keeps, with the card that predictions need."""
    spec, model = plan.spec, plan.model()
    state = store.state(report.model_epoch).load()
    scale = store.scale.load() if is_scaled(spec.data) else None
    card = {
        "model": tag(spec.model),
        "n_features": plan.n_features,
        **model.describe(),
        "label": plan.label_name,
        "features": plan.feature_names,
        "standardised": spec.data.standardise,
        "job": msgspec.to_builtins(spec),
        "job_id": store.job_id,
        "epoch": report.model_epoch,
        "metrics": {"loss": report.loss, **report.metrics},
        "versions": report.versions,
    }
    if plan.code:
        card["code_sha256"] = plan.code
    return Artifact(model, state.parameters, scale, card)


def build_job_report(
    store: JobStore, plan: TrainingPlan, bucket: str, history: Sequence[EpochReport]
) -> JobReport:
    """Return the final report.

    Parameters
    ----------
    store : JobStore
    plan : TrainingPlan
    bucket : str
        Name of the durable store's bucket.
    history : sequence of EpochReport
        Of all epochs.
    """
    job_id, last = store.job_id, history[-1]
    kept = history[kept_epoch(plan.spec.stop, history) - 1]
    counts = _counts(store, plan, kept.epoch)
    per_class, confusion_matrix = _quality_of_classes(plan.model(), counts)
    doubts = model_doubts(store, plan, history, kept, counts)
    decision, reason = honest_end(plan.spec.stop, last, doubts)
    return JobReport(
        job_id=job_id,
        spec=plan.spec,
        decision=decision,
        reason=reason,
        epochs=last.epoch,
        model_epoch=kept.epoch,
        loss=kept.loss,
        metrics=kept.metrics,
        per_class=per_class,
        confusion_matrix=confusion_matrix,
        seconds=seconds_since(store.claim.load().started_at),
        dataset=plan.dataset_report(),
        warnings=[*plan.about.warnings, *doubts],
        model_uri=f"s3://{bucket}/{keys.model(job_id)}",
        report_uri=f"s3://{bucket}/{keys.report(job_id)}",
        history_uri=f"s3://{bucket}/{keys.history(job_id)}",
        versions=_versions(plan),
        kernels=_kernels(),
        kept=retained_after_success(job_id, bucket, last.epoch),
        history=list(history),
    )


def _counts(store: JobStore, plan: TrainingPlan, epoch: int) -> Counts | None:
    """Return the validation rows of each class by their prediction, or None.

    None: the model has no classes, or the data have been deleted.
    """
    model = plan.model()
    if not isinstance(model, WithClasses):
        return None
    counted = counts_of_slices(store, plan, epoch)
    if counted is not None:
        return counted
    try:
        shard = load_shard(store, plan, keys.VALIDATION)
    except DataSetDamagedError as error:  # the data may be deleted once the last epoch is over
        log("classes not measured", job_id=store.job_id, error=str(error))
        return None
    parameters = store.state(epoch).load().parameters
    return model.confusion(parameters, shard.X, model.targets(shard.y))


def _quality_of_classes(
    model: Model, counts: Counts | None
) -> tuple[list[ClassQuality], list[list[int]]]:
    """Return a row for each class, and the counts unless they are too many."""
    if counts is None or not isinstance(model, WithClasses):
        return [], []
    matrix = counts.tolist() if len(counts) <= MOST_CLASSES_COUNTED else []
    return PerClass.of(counts).table(model.classes), matrix


def _versions(plan: TrainingPlan) -> dict[str, str]:
    kind = plan.spec.model.function_kind  # "torch", whose functions have the library of this name
    libraries = {kind: version(kind)} if kind else {}
    return {
        "stepml": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        **libraries,
    }


def _kernels() -> dict[str, str]:
    """Return the BLAS and SIMD kernels: beside the code, they decide the last bits of sums."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return {
        "machine": platform.machine(),
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "default"),
        "blas_core": os.environ.get("OPENBLAS_CORETYPE", "default"),
        "numpy_simd": " ".join(simd),
    }
