"""Writes the model artifact and the job's report, and clears what ranks left behind."""

from __future__ import annotations

import os
import platform

import msgspec
import numpy as np

from lambdas.documents import Documents
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable, seconds_since
from lambdas.exchanges import clear_exchange
from lambdas.kept import kept_after_success
from lambdas.logs import best_effort, log
from lambdas.own_states import keep_last_own_states
from lambdas.plans import Claim, TrainingPlan
from lambdas.shards import is_scaled, load_scale
from lambdas.states import unpack_state
from stepml import __version__
from stepml.job import keys
from stepml.job.documents import decode
from stepml.job.errors import KeyNotFoundError
from stepml.job.reports import EpochReport, JobReport
from stepml.job.spec_base import tag
from stepml.job.tasks import FinaliseTask
from stepml.ml.artifact import Artifact
from storage import DurableStorage
from storage.factory import BUCKET_VARIABLE

HISTORY_IN_OUTPUT = 10  # epochs: an execution's output holds at most 256 KiB


@handles(FinaliseTask)
def handler(task: FinaliseTask, context: LambdaContext) -> JobReport:
    report = finalise(task, durable(), os.environ[BUCKET_VARIABLE])
    return msgspec.structs.replace(report, history=report.history[-HISTORY_IN_OUTPUT:])


def finalise(task: FinaliseTask, storage: DurableStorage, bucket: str) -> JobReport:
    """Write model and report, and return the report; done before: return that."""
    documents = Documents(storage)
    plan = documents.load(keys.training_plan(task.job_id), TrainingPlan)
    report = documents.find(keys.report(task.job_id), JobReport)
    if report is None:
        report = _report(task, plan, storage, bucket)
        write_model(task, plan, report, storage)
        lines = [msgspec.json.encode(each) + b"\n" for each in report.history]
        storage.save(keys.history(task.job_id), b"".join(lines))
        report = documents.publish(keys.report(task.job_id), report)
    clear(task, plan, storage)
    log("job finished", job_id=task.job_id, decision=report.decision, loss=report.loss)
    return report


def clear(task: FinaliseTask, plan: TrainingPlan, storage: DurableStorage) -> None:
    """Delete what the ranks left on their way; records of failures stay, for whoever asks."""
    job_id = task.job_id
    storage.clear(keys.progress_prefix(job_id))
    keep_last_own_states(storage, job_id, task.epoch)
    storage.clear(keys.snapshot_prefix(job_id))
    storage.delete(keys.ended(job_id))  # of an attempt before the one that came through
    with best_effort("clear the channel", job_id=job_id):  # what is left expires
        clear_exchange(job_id, plan, storage)


def write_model(
    task: FinaliseTask, plan: TrainingPlan, report: JobReport, storage: DurableStorage
) -> None:
    """Write the model's arrays, and beside them what a prediction needs to know."""
    packed, card = trained(task, plan, report, storage).pack()
    storage.save(keys.model(task.job_id), packed)
    storage.save(keys.model_card(task.job_id), card)


def trained(
    task: FinaliseTask, plan: TrainingPlan, report: JobReport, storage: DurableStorage
) -> Artifact:
    """Return the model as the job's last epoch left it."""
    spec, model = plan.spec, plan.model()
    key = keys.state(task.job_id, task.epoch)
    state = unpack_state(storage.load(key), key)
    scale = load_scale(task.job_id, storage) if is_scaled(spec.data) else None
    card = {
        "model": tag(spec.model),
        "n_features": plan.n_features,
        **model.describe(),
        "label": plan.label_name,
        "features": plan.feature_names,
        "standardised": spec.data.standardise,
        "job": msgspec.to_builtins(spec),
        "job_id": task.job_id,
        "epoch": task.epoch,
        "metrics": {"loss": report.loss, **report.metrics},
        "versions": report.versions,
    }
    return Artifact(model, state.parameters, scale, card)


def _report(
    task: FinaliseTask, plan: TrainingPlan, storage: DurableStorage, bucket: str
) -> JobReport:
    history = _history(task, storage)
    last = history[-1]
    claim = Documents(storage).load(keys.claim(task.job_id), Claim)
    return JobReport(
        job_id=task.job_id,
        spec=plan.spec,
        decision=last.decision,
        reason=last.reason,
        epochs=last.epoch,
        loss=last.loss,
        metrics=last.metrics,
        seconds=seconds_since(claim.started_at),
        dataset=plan.dataset_report(),
        model_uri=f"s3://{bucket}/{keys.model(task.job_id)}",
        report_uri=f"s3://{bucket}/{keys.report(task.job_id)}",
        history_uri=f"s3://{bucket}/{keys.history(task.job_id)}",
        versions={
            "stepml": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        kernels=_kernels(),
        kept=kept_after_success(task.job_id, bucket, task.epoch),
        history=history,
    )


def _history(task: FinaliseTask, storage: DurableStorage) -> list[EpochReport]:
    names = [keys.epoch_report(task.job_id, epoch) for epoch in range(1, task.epoch + 1)]
    found = storage.load_many(names)
    if missing := [name for name in names if name not in found]:
        raise KeyNotFoundError(f"nothing is stored under {missing[0]}")
    return [decode(found[name], EpochReport, name) for name in names]


def _kernels() -> dict[str, str]:
    """Return what decides the last bits of sums besides the code: BLAS and SIMD kernels."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return {
        "machine": platform.machine(),
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "default"),
        "blas_core": os.environ.get("OPENBLAS_CORETYPE", "default"),
        "numpy_simd": " ".join(simd),
    }
