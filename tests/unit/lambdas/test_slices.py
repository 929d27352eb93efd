"""Evaluation in slices: damaged results are replaced, and the report uses what was counted."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lambdas.environment import Deadline
from lambdas.executor import evaluate_epoch
from lambdas.job_store.results import build_job_report
from lambdas.job_store.shards import warm_shards
from stepml.job import keys
from stepml.job.errors import DamagedValueError, ExecutorPausedError, InvalidDataError
from stepml.job.tasks import EvaluationTask
from tests.support.jobs import Job
from tests.support.own_code import archive
from tests.support.torch import torch  # noqa: F401 (skips without it)

MODEL = {"name": "neural", "network": {"name": "mlp", "hidden": [8]}}
SLICES = [0, 1, 2]


def initialised() -> Job:
    job = Job(model=MODEL, algorithm={"name": "model_averaging", "learning_rate": 0.05})
    job.initialised()
    return job


@pytest.mark.parametrize("key", [keys.tally("job", 1, 1), keys.merged_epoch("job", 1)])
def test_another_attempt_replaces_what_is_damaged(key: str) -> None:
    job, whole = initialised(), initialised()
    results = job.execute_all(1)
    job.evaluate(1, results, SLICES)
    data = bytearray(job.storage.load(key))
    data[len(data) // 2] ^= 0xFF
    job.storage.save(key, bytes(data))
    with pytest.raises(DamagedValueError, match=key):
        job.reduce(1, results)
    job.evaluate(1, results, SLICES)
    assert job.reduce(1, results).loss == whole.epoch(1).loss


def test_a_slice_that_pauses_changes_no_bit() -> None:
    """The deadline comes after every block of 512 rows."""
    job = Job(
        model=MODEL,
        algorithm={"name": "model_averaging", "learning_rate": 0.05},
        data={"uri": "s3://data/rows.csv", "format": "csv", "validation_fraction": 0.5},
    )
    job.data.save("rows.csv", bytes(job.data.load("rows.csv")) * 16)
    job.initialised()
    results = job.execute_all(1)
    job.evaluate(1, results, [0])
    key, progress = keys.tally("job", 1, 0), keys.slice_progress("job", 1, 0)
    whole = job.store.tally(1, 0).load()
    n = int(whole["sums"][0])
    job.storage.delete(key)
    task = EvaluationTask(slice=0, n_slices=1, **job.attempt(1))
    assert 1536 < n <= 2048
    for rows in (512, 1024, 1536):
        deadline = Deadline(partial(next, iter([900.0]), 10.0))
        with pytest.raises(ExecutorPausedError, match=f"up to row {rows} of {n}$"):
            evaluate_epoch(task, job.storage, deadline)
        assert not job.store.failures(1)
        assert job.storage.find_many([key, progress]) == {progress}
    evaluate_epoch(task, job.storage, Deadline(lambda: 900.0))
    paused = job.store.tally(1, 0).load()
    assert paused["sums"].tobytes() == whole["sums"].tobytes()
    assert paused["cost_usd"] > 0
    job.reduce(1, results)
    job.finalise(1)
    assert not job.storage.find_many([progress])


COUNTING = """
from torch import nn
ROWS = 0
class Net(nn.Linear):
    def forward(self, x):
        global ROWS
        ROWS += len(x)
        return super().forward(x)
def network(n_outputs):
    return Net(4, n_outputs)
"""


def test_a_measure_that_the_rows_lack_is_refused_without_an_evaluation_of_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    job = Job(
        model={"name": "neural", "entry_point": "counting:network"},
        algorithm={"name": "model_averaging", "learning_rate": 0.05},
        data={"uri": "s3://data/rows.csv", "format": "csv", "validation_fraction": 0.5},
        stop={"max_epochs": 2, "metric": "top5_accuracy"},
        code="s3://data/own.zip",
    )
    job.data.save("rows.csv", bytes(job.data.load("rows.csv")) * 16)
    job.data.save("own.zip", archive({"counting.py": COUNTING}))
    with pytest.raises(InvalidDataError, match=r"have no top5_accuracy.* one of loss, accuracy"):
        job.initialised()
    assert 1000 < sys.modules["counting"].ROWS < 1100  # of 1,600


def test_the_report_counts_the_rows_that_the_slices_counted() -> None:
    """So the last function evaluates no network on all validation rows, which may take long."""
    job = initialised()
    last = job.epoch(1)
    job.storage.clear("datasets/")
    warm_shards.make_room(2**60)  # as in a function that has never loaded a shard
    report = job.finalise(1)
    counts = np.array(report.confusion_matrix)
    assert counts.sum() == report.dataset.validation_rows
    assert np.trace(counts) / counts.sum() == last.metrics["accuracy"]
    assert [each.support for each in report.per_class] == counts.sum(axis=1).tolist()


@pytest.mark.parametrize("kind", ["epoch of another job", "lost slice"])
def test_without_counted_rows_the_report_counts_them_itself(kind: str) -> None:
    job = initialised()
    job.epoch(1)
    lost = keys.tally("job", 1, 2) if kind == "lost slice" else keys.merged_epoch("job", 1)
    expected = np.sum([each["sums"][3:] for each in job.store.tallies(1, 3)], axis=0)
    job.storage.delete(lost)
    assert np.array(job.finalise(1).confusion_matrix).reshape(-1).tolist() == expected.tolist()


def test_the_report_counts_the_rows_of_an_epoch_of_the_resumed_job() -> None:
    first = initialised()
    expected = first.epoch(1)
    job = Job("next", first.storage, **first.spec | {"resume_from": "job"})
    job.data = first.data
    job.spec["stop"] = {"max_epochs": 2, "keep": "best", "metric": "accuracy"}
    job.spec["algorithm"] = first.spec["algorithm"] | {"learning_rate": 1e-9}
    job.initialised()
    job.epoch(2)  # no better
    job.storage.clear("datasets/")
    warm_shards.make_room(2**60)
    report = job.finalise(2)
    assert report.model_epoch == 1
    counts = np.array(report.confusion_matrix)
    assert np.trace(counts) / counts.sum() == expected.metrics["accuracy"]


def test_of_many_classes_the_rows_are_counted_in_slices_as_well() -> None:
    job = Job(model=MODEL, algorithm={"name": "model_averaging", "learning_rate": 0.05})
    rows = np.random.default_rng(0).normal(size=(400, 4)).round(3)
    lines = [f"{','.join(map(str, row))},{n % 110}" for n, row in enumerate(rows)]
    job.data.save("rows.csv", "\n".join(lines).encode())
    job.initialised()
    last = job.epoch(1)
    job.storage.clear("datasets/")
    warm_shards.make_room(2**60)
    report = job.finalise(1)
    assert report.confusion_matrix == []
    assert len(report.per_class) == 110
    found = sum(each.recall * each.support for each in report.per_class)
    assert found / report.dataset.validation_rows == pytest.approx(last.metrics["accuracy"])


def test_without_counted_rows_many_are_not_counted_again() -> None:
    job = initialised()
    history = [job.epoch(1)]
    job.storage.delete(keys.tally("job", 1, 2))
    n_rows = job.training_plan().validation_rows
    reports = [
        build_job_report(job.store, job.training_plan(), "bucket", history, most_rows=most)
        for most in (n_rows, n_rows - 1)
    ]
    assert [bool(each.per_class) for each in reports] == [True, False]
    assert reports[0].metrics == reports[1].metrics
