"""The results of a job: its model, and the report of all epochs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

import msgspec
import numpy as np

from lambdas.environment import seconds_since
from lambdas.job_store import JobStore, TrainingPlan
from lambdas.job_store.judgement import honest_end, model_doubts
from lambdas.job_store.retention import retained_after_success
from lambdas.job_store.scales import has_scale
from lambdas.job_store.shards import load_shard
from lambdas.job_store.tallies import sums_of_slices
from lambdas.logs import log
from stepml import __version__
from stepml.job import keys
from stepml.job.errors import DataSetDamagedError
from stepml.job.reports import ClassQuality, EpochReport, JobReport
from stepml.job.spec_base import tag
from stepml.ml.artifact import Artifact
from stepml.ml.data.pipeline import Pipeline
from stepml.ml.models import Model, NeuralNetwork
from stepml.ml.models.base import WithClasses
from stepml.ml.models.confusion import MOST_CLASSES_COUNTED, Counts, PerClass, Totals
from stepml.ml.models.row_weights import targets_on
from stepml.ml.standing import kept_epoch

MOST_EVALUATED_ROWS = 5000  # by the last function: minutes of a large network


def trained_model(store: JobStore, plan: TrainingPlan, report: JobReport) -> Artifact:
    """Return the model that the job keeps, with the card that predictions need."""
    spec, model = plan.spec, plan.model()
    state, pipeline = store.state(report.model_epoch).load(), store.pipeline.find()
    scale = store.scale.load() if has_scale(plan) else None
    card = {
        "model": tag(spec.model),
        "n_features": plan.n_features,
        **model.describe(),
        "label": plan.label_name,
        "features": _feature_names(plan, pipeline),
        "standardised": spec.data.standardise,
        "job": msgspec.to_builtins(spec),
        "job_id": store.job_id,
        "epoch": report.model_epoch,
        "metrics": {"loss": report.loss, **report.metrics},
        "versions": report.versions,
    }
    if pipeline is not None:
        card["pipeline"] = pipeline.to_card()
    if plan.code:
        card["code_sha256"] = plan.code
    return Artifact(model, state.parameters, scale, card)


def _feature_names(plan: TrainingPlan, pipeline: Pipeline | None) -> list[str]:
    if pipeline is None or pipeline.is_plain:
        return plan.feature_names
    return [each.name for each in pipeline.encoder.features()]


def build_job_report(
    store: JobStore,
    plan: TrainingPlan,
    bucket: str,
    history: Sequence[EpochReport],
    *,
    most_rows: int = MOST_EVALUATED_ROWS,
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
    most_rows : int
        Validation rows of which a network may be evaluated again, if it has to be.
    """
    job_id, last = store.job_id, history[-1]
    kept = history[kept_epoch(plan.spec.stop, history) - 1]
    counted = _counted(store, plan, kept.epoch, most_rows)
    per_class, confusion_matrix = _quality_of_classes(plan.model(), counted)
    doubts = model_doubts(store, plan, history, kept, counted and counted.totals)
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
        preparation=plan.preparation,
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


class _Counted(NamedTuple):
    totals: Totals
    counts: Counts | None  # of each class by prediction, unless there are too many classes


def _counted(store: JobStore, plan: TrainingPlan, epoch: int, most_rows: int) -> _Counted | None:
    """Return the validation rows of each class, or None.

    None: the model has no classes, or the data have been deleted, or a network's slices are lost
    and it would take long to evaluate it again.
    """
    model = plan.model()
    if isinstance(model, NeuralNetwork):
        sums = sums_of_slices(store, epoch)
        totals = None if sums is None else model.totals(sums)
        if sums is not None:
            return None if totals is None else _Counted(totals, model.counts(sums))
        if plan.validation_rows > most_rows:
            log("classes not measured", job_id=store.job_id, error="the slices' sums are lost")
            return None
    return _counted_again(store, plan, model, epoch)


def _counted_again(
    store: JobStore, plan: TrainingPlan, model: Model, epoch: int
) -> _Counted | None:
    if not isinstance(model, WithClasses):
        return None
    try:
        shard = load_shard(store, plan, keys.VALIDATION)
    except DataSetDamagedError as error:  # the data may be deleted once the last epoch is over
        log("classes not measured", job_id=store.job_id, error=str(error))
        return None
    parameters = store.state(epoch).load().parameters
    counts = model.confusion(parameters, shard.X, targets_on(model, shard))
    return _Counted(Totals.of(counts), counts)


def _quality_of_classes(
    model: Model, counted: _Counted | None
) -> tuple[list[ClassQuality], list[list[int]]]:
    """Return a row for each class, and the counts unless they are too many."""
    if counted is None or not isinstance(model, WithClasses):
        return [], []
    totals, counts = counted
    is_shown = counts is not None and len(counts) <= MOST_CLASSES_COUNTED
    matrix = counts.tolist() if counts is not None and is_shown else []
    return PerClass.of_totals(totals).table(model.class_labels), matrix


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
