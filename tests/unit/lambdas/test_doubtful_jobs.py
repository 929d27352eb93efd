"""Doubts about data and model: warnings in the report, and errors of strict jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from lambdas.finalise import finalise
from lambdas.job_store.shards import load_shard
from stepml.job import keys
from stepml.job.errors import DoubtfulResultError, StorageUnavailableError
from stepml.job.reports import JobReport
from stepml.job.tasks import FinaliseTask
from storage import DurableStorage
from tests.support.jobs import DurableWrapper, Job

RNG = np.random.default_rng(4)
X = RNG.normal(size=(60, 2))
Y = (X.sum(axis=1) > 0).astype(int).tolist()
N = np.arange(60)
CLUSTERS = {"name": "expectation_maximisation"}
KMEANS = {"model": {"name": "kmeans", "n_clusters": 2}, "algorithm": CLUSTERS}
LINEAR = {"model": {"name": "linear_regression"}}
GRADIENT = {"name": "gradient_averaging", "batch_size": 50}


def text(header: str, *columns: Sequence[Any]) -> bytes:
    lines = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    return "\n".join([header, *lines, ""]).encode()


def reals(*columns: int) -> list[list[float]]:
    return [X[:, column].tolist() for column in columns]


def job(content: bytes, data: dict[str, Any] | None = None, **spec: Any) -> Job:
    found = Job(**spec)
    found.spec["data"] = {"uri": "s3://data/rows.csv", "format": "csv"} | (data or {})
    found.data.save("rows.csv", content)
    return found


def trained(begun: Job, epochs: int = 1) -> JobReport:
    begun.initialised()
    for epoch in range(1, epochs + 1):
        begun.epoch(epoch)
    return begun.finalise(epochs)


JUMPS = text("a,y", ((N % 2) * 1000 + N % 7).tolist(), (N % 2).tolist())


def codes(report: JobReport) -> list[str]:
    return [warning.code for warning in report.warnings]


def test_a_strict_job_ends_with_its_model_written() -> None:
    spec: dict[str, Any] = {"model": {"name": "logistic_regression"}, "algorithm": GRADIENT}
    strict = job(JUMPS, {"standardise": True}, strict=True, stop={"max_epochs": 1}, **spec)
    strict.initialised()
    strict.epoch(1)
    for _ in range(2):  # it may be repeated
        with pytest.raises(DoubtfulResultError, match=r"has a warning: .* model is s3://bucket/"):
            strict.finalise(1)
    assert strict.storage.load(keys.model(strict.job_id))
    assert strict.store.job_report.load().warnings


def test_a_strict_job_on_doubtful_data_is_not_trained() -> None:
    many = text("a,b,y", *reals(0, 1), (N % 30).tolist())
    strict = job(many, model={"name": "softmax_regression"}, strict=True)
    strict.partitioned()
    strict.assemble()
    for _ in range(2):
        with pytest.raises(DoubtfulResultError, match=r"a warning: the labels look continuous"):
            strict.initialise()


def test_features_of_different_scales_are_said() -> None:
    apart = text("a,b,y", *reals(0), (1e6 * (1 + X[:, 1])).tolist(), Y)
    (warning,) = trained(job(apart, {"standardise": False})).dataset.warnings
    assert warning.code == "features_differ_in_scale"
    assert "column 1 ('a') is about 0." in warning.text
    assert "column 2 ('b') about 1." in warning.text
    assert trained(job(apart, {"standardise": True})).dataset.warnings == []
    near = text("a,b,y", *reals(0), (1e3 * (1 + X[:, 1])).tolist(), Y)
    assert trained(job(near, {"standardise": False})).dataset.warnings == []
    exact = {"algorithm": {"name": "least_squares"}, **LINEAR}
    assert trained(job(apart, {"standardise": False}, **exact)).dataset.warnings == []


def test_a_plateau_from_which_the_loss_can_fall_is_no_convergence() -> None:
    slow = GRADIENT | {"learning_rate": 1e-3}
    stop = {"max_epochs": 9, "tolerance": 0.5, "patience": 2}
    many = RNG.normal(size=(400, 2))
    sums = text("a,b,y", *many.T.tolist(), many.sum(axis=1).tolist())
    ends = job(sums, algorithm=slow, stop=stop, **LINEAR)
    report = trained(ends, 3)
    assert ends.store.report(3).load().decision == "converged"
    assert report.decision == "finished"
    assert report.reason.endswith("2 epochs in a row, but the loss can still fall")
    assert codes(report) == ["not_converged"]


MANY = np.random.default_rng(5).normal(size=(1000, 3))
RARELY = (MANY[:, 0] + MANY[:, 2] > 2.7).astype(int).tolist()


def warning_of(report: JobReport, code: str) -> str:
    (found,) = (each.text for each in report.warnings if each.code == code)
    return found


@pytest.mark.parametrize("metric", ["loss", "auc"])
def test_a_class_that_is_rarely_predicted_is_said_unless_scores_matter(metric: str) -> None:
    rows = text("a,b,y", *MANY[:, :2].T.tolist(), RARELY)
    model = {"name": "svm", "loss": "squared_hinge"}
    stop = {"max_epochs": 20, "metric": metric}
    report = trained(
        job(rows, {"stratify": True}, model=model, algorithm={"name": "admm"}, stop=stop), 20
    )
    assert report.metrics["recall"] == 0
    if metric == "auc":
        assert "rarely_predicted" not in codes(report)
        return
    said = warning_of(report, "rarely_predicted")
    share = re.escape(f"{report.metrics['accuracy']:.4g}")
    assert re.search(
        f"class 1, [1-4](\\.[0-9])?% of the rows, is never .* {share}, is only the share", said
    )
    assert "model.class_weight to 'balanced'" in said


def test_balanced_classes_are_all_predicted() -> None:
    rows = text("a,b,y", *MANY[:, :2].T.tolist(), RARELY)
    model = {"name": "svm", "loss": "squared_hinge", "class_weight": "balanced"}
    begun = job(rows, {"stratify": True}, model=model, algorithm={"name": "admm"})
    assert "rarely_predicted" not in codes(trained(begun, 3))


def test_validation_rows_of_one_class_tell_nothing_about_the_model() -> None:
    held = (N >= 50).astype(int).tolist()
    y = np.where(N >= 50, 1, N % 2).tolist()
    begun = job(text("a,b,v,y", *reals(0, 1), held, y), {"validation": {"column": "v"}})
    assert codes(trained(begun)) == ["one_class_validates"]


@pytest.mark.parametrize("algorithm", [{"name": "least_squares"}, {"name": "admm"}, GRADIENT])
def test_labels_that_are_all_the_same_are_said_once(algorithm: dict[str, Any]) -> None:
    rows = text("a,b,y", *reals(0, 1), [5] * 60)
    report = trained(job(rows, algorithm=algorithm, chooses=True, **LINEAR))
    assert codes(report) == ["labels_constant"]
    assert report.warnings[0].text.startswith("all labels are 5, so no feature says anything")


def test_features_that_say_nothing_are_noted() -> None:
    a, b = reals(0, 1)
    report = trained(job(text("a,b,c,d,y", a, b, [7] * 60, a, Y)))
    assert report.dataset.notes == [
        "column 3 ('c') is constant",
        "column 4 ('d') repeats column 1 ('a')",
    ]


@pytest.mark.parametrize("y", [Y, (N % 7 == 0).astype(int).tolist()])
@pytest.mark.parametrize("algorithm", [None, {"name": "admm"}, GRADIENT])
def test_features_that_are_all_constant_are_said_once(algorithm: Any, y: list[int]) -> None:
    rows = text("a,b,y", [7] * 60, [0.1] * 60, y)
    report = trained(job(rows, algorithm=algorithm, chooses=True))
    assert codes(report) == ["features_constant"]
    assert report.warnings[0].text == (
        "all 2 features are constant, so they say nothing about the labels"
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_measure_beyond_all_numbers_is_left_out() -> None:
    numbers = np.linspace(-1, 1, 60)
    signs = (3e38 * np.sign(numbers)).tolist()  # predictions at both ends are beyond float32
    model = {"name": "linear_regression", "scale_labels": True}
    rows = text("a,y", numbers.tolist(), signs)
    ends = job(rows, algorithm={"name": "least_squares"}, model=model)
    ends.initialised()
    report = ends.epoch(1)
    assert "rmse" not in report.metrics
    assert ends.finalise(1).metrics == report.metrics


class Silent(DurableWrapper):
    """A store that does not answer for the data."""

    def load_range(self, key: str, start: int, stop: int, etag: str | None = None) -> bytes:
        raise StorageUnavailableError("no answer")


def test_a_store_that_is_silent_for_a_moment_changes_no_verdict() -> None:
    ends = job(JUMPS, algorithm=GRADIENT, stop={"max_epochs": 1}, **LINEAR)
    ends.initialised()
    ends.epoch(1)
    task = FinaliseTask(job_id=ends.job_id, epoch=1)
    with pytest.raises(StorageUnavailableError):  # is tried again
        finalise(task, cast("DurableStorage", Silent(ends.storage)), "bucket")


def test_a_job_whose_data_set_is_gone_ends_without_a_second_opinion() -> None:
    ends = job(JUMPS, algorithm=GRADIENT, stop={"max_epochs": 1}, **LINEAR)
    ends.initialised()
    ends.epoch(1)
    ends.storage.clear("datasets/")
    assert ends.finalise(1).model_uri


def test_a_fall_is_said_in_the_unit_of_the_labels() -> None:
    a, b = RNG.normal(size=(2, 400))
    alike = a + 0.1 * b  # one iteration does not tell the two features apart
    rows = text("a,b,y", a.tolist(), alike.tolist(), (2e5 + 1e4 * (alike - a)).tolist())
    steps = {"name": "admm", "local_iterations": 1, "start": "zero"}
    begun = job(rows, {"standardise": True}, algorithm=steps, chooses=True, **LINEAR)
    report = trained(begun)
    assert begun.training_plan().label_unit.size > 100
    (warning,) = report.warnings
    assert warning.code == "not_converged"
    found = re.search(r"can fall from (\S+) to (\S+) or less", warning.text)
    assert found
    assert float(found[1]) == pytest.approx(report.loss, rel=1e-4)
    assert float(found[2]) < report.loss


def test_one_cluster_is_the_constant_model_of_clusters() -> None:
    for standardise in (True, False):
        begun = job(text("a,b,y", *reals(0, 1), Y), {"standardise": standardise}, **KMEANS)
        begun.initialised()
        plan = begun.training_plan()
        shard = load_shard(begun.store, plan, keys.VALIDATION)
        whole = np.concatenate([load_shard(begun.store, plan, rank).X for rank in range(3)])
        squares = np.sum((shard.X - whole.mean(axis=0)) ** 2, axis=1)
        assert plan.constant_loss == pytest.approx(squares.mean(), rel=1e-4)


def test_clusters_without_rows_are_said() -> None:
    alike = text("a,b,y", [0, 1, 2] * 20, [0, 1, 2] * 20, Y)
    clusters = {"model": {"name": "kmeans", "n_clusters": 5}, "algorithm": CLUSTERS}
    report = trained(job(alike, {"label": "y"}, **clusters), 2)
    assert codes(report) == ["empty_clusters"]
    assert "2 clusters have no rows" in report.warnings[0].text
    assert report.history[-1].empty_clusters == 2
