"""A baseline trains what a job trains: a VM to the bit, scikit-learn to the same objective."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from stepml.job.errors import NotAvailableError, StepMLError
from stepml.job.parse import parse_job
from stepml.job.spec import JobSpec
from stepml.ml.data.objects import DataObject
from stepml.ml.models import LossModel
from stepml.studies.baselines import processes
from stepml.studies.baselines.preparation import Prepared, prepare
from stepml.studies.baselines.rows import Rows, read_rows
from stepml.studies.baselines.scikit_learn import fit
from stepml.studies.baselines.start import begin_training
from stepml.studies.baselines.training import train
from tests.support.jobs import Job
from tests.support.paths import ROOT
from tests.support.trainings import job_on

GRADIENTS = {"name": "gradient_averaging", "learning_rate": 0.1, "batch_size": 20}
MODELS = {"name": "model_averaging", "learning_rate": 0.1, "batch_size": 20}
NUMBERS = b"\n".join(
    b"%.3f,%.3f,%.3f" % (a, b, 3 * a - b + 0.1 * noise)
    for a, b, noise in np.random.default_rng(1).normal(size=(200, 3))
)
SETTINGS: dict[str, dict[str, Any]] = {
    "chosen": {"algorithm": None},
    "models": {"algorithm": MODELS},
    "gradients": {"algorithm": GRADIENTS},
    "gradients, adam, l2": {
        "algorithm": {**GRADIENTS, "optimiser": "adam"},
        "model": {"name": "logistic_regression", "l2": 0.01},
    },
    "models, l1": {"algorithm": MODELS, "model": {"name": "logistic_regression", "l1": 0.01}},
    "admm": {"algorithm": {"name": "admm"}},
    "admm from zero, softmax": {
        "algorithm": {"name": "admm", "start": "zero"},
        "model": {"name": "softmax_regression"},
    },
    "svm": {"algorithm": {**MODELS, "learning_rate": None}, "model": {"name": "svm"}},
    "clusters": {"algorithm": None, "model": {"name": "kmeans", "n_clusters": 3}},
    "stratified": {"algorithm": MODELS, "data": {"stratify": True, "validation_fraction": 0.2}},
}


class Bucket:
    """The data of a job in memory, as a catalogue."""

    def __init__(self, job: Job) -> None:
        self._data = job.data

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        return bytes(self._data.load_range(key, start, stop))

    def describe(self, key: str) -> DataObject | None:
        found = self._data.describe(key)
        return None if found is None else DataObject(key, key, found.value_bytes, found.etag)

    def describe_many(self, prefix: str) -> Iterator[DataObject]:
        for each in self._data.describe_many(prefix):
            yield DataObject(each.key, each.key, each.value_bytes, each.etag)


def job_with(settings: dict[str, Any]) -> Job:
    settings = {"data": {"validation_fraction": 0.1}, "stop": {"max_epochs": 3}} | settings
    content = Job().data.load("rows.csv")
    return job_on(content, **{**settings, "workers": settings.get("workers", 3)})


def spec_of(job: Job) -> JobSpec:
    return parse_job(job.spec)


def rows_of(job: Job, spec: JobSpec) -> Rows:
    return read_rows(spec, lambda _: Bucket(job), "stack-bucket", 1)


def prepared(job: Job, workers: int | None = None) -> Prepared:
    spec = spec_of(job)
    spec = msgspec.structs.replace(spec, workers=workers or spec.workers)
    return prepare(spec, rows_of(job, spec))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_vm_trains_the_bits_of_the_job(settings: dict[str, Any]) -> None:
    job = job_with(settings)
    job.initialised()
    training = begin_training(prepared(job))
    assert training.spec == job.training_plan().spec
    epochs = train(training)
    for done in epochs:
        report = job.epoch(done.epoch)
        assert (done.loss, done.metrics) == (report.loss, report.metrics)
        assert (done.converged, bool(done.end)) == (
            report.decision == "converged",
            report.decision != "continue",
        )


class OfOneProcess(Bucket):
    """A bucket whose connection only the process that opened it may use."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._pid = os.getpid()

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        assert os.getpid() == self._pid
        return super().load_range(key, start, stop)


def test_processes_read_the_rows_of_one_each_over_a_connection_of_its_own() -> None:
    job = job_with({"data": {"ranges": 4}})
    alone, together = (
        read_rows(spec_of(job), lambda _: OfOneProcess(job), "stack-bucket", processes)
        for processes in (1, 2)
    )
    assert len(together.manifest.pieces) == 4
    assert together.pieces.objects == alone.pieces.objects


def test_a_rank_that_fails_ends_the_others() -> None:
    training = begin_training(prepared(job_with({"algorithm": GRADIENTS})))
    shards = (*training.shards[:-1], (training.shards[-1][0][:, :2], training.shards[-1][1]))
    with pytest.raises(StepMLError, match="rank 2: ValueError"):
        train(replace(training, shards=shards))


@pytest.mark.parametrize(
    ("content", "model"),
    [
        (None, {"name": "logistic_regression", "l2": 0.01}),
        (None, {"name": "logistic_regression"}),
        (None, {"name": "softmax_regression", "l2": 0.01}),
        (None, {"name": "svm", "l2": 0.01}),
        (NUMBERS, {"name": "linear_regression", "l2": 0.1}),
        (NUMBERS, {"name": "linear_regression", "l1": 0.01, "l2": 0}),
        (NUMBERS, {"name": "linear_regression", "l2": 0.1, "scale_labels": True}),
    ],
    ids=str,
)
def test_scikit_learn_minimises_the_objective_of_the_job(
    content: bytes | None, model: dict[str, Any]
) -> None:
    """Its loss on all rows is not above that of the job, and not far below."""
    settings = {"model": model, "data": {"validation_fraction": 0.0}, "algorithm": None}
    job = job_with({**settings, "stop": {"max_epochs": 60}})
    if content is not None:
        job.data.save("rows.csv", content)
    ready = prepared(job, workers=1)
    found = fit(ready)
    own = train(begin_training(ready))[-1]
    assert isinstance(ready.model(), LossModel)
    assert found.n_iterations >= 1
    assert found.evaluation.loss == pytest.approx(own.loss, rel=0.05, abs=5e-3)


def test_scikit_learn_finds_clusters() -> None:
    ready = prepared(job_with({"model": {"name": "kmeans", "n_clusters": 4}}), workers=1)
    assert fit(ready).evaluation.loss == pytest.approx(
        train(begin_training(ready))[-1].loss, rel=0.3
    )


def test_a_model_without_an_estimator_is_named() -> None:
    model = {"name": "neural", "network": {"name": "mlp", "hidden": [4]}}
    pytest.importorskip("torch")
    job = job_with({"model": model, "algorithm": MODELS})
    with pytest.raises(NotAvailableError, match="no estimator for model 'neural'"):
        fit(prepared(job, workers=1))


def test_a_vm_has_the_kernels_of_functions() -> None:
    template = (ROOT / "templates" / "template.yaml").read_text()
    for kernels in processes.KERNELS.values():
        for variable, value in kernels.items():
            line = next(each for each in template.splitlines() if f" {variable}: " in each)
            assert value in line


def test_a_process_that_dies_says_its_last_words() -> None:
    job = job_with({"algorithm": MODELS})
    task = processes.Task("vm", spec_of(job), "bucket", "http://127.0.0.1:9", "us-east-1", "")
    outcome = processes.run_task(task, threading.Event())
    assert "127.0.0.1:9" in outcome.error
    assert outcome.epochs == []
