"""Jobs of every model and algorithm, step by step: retries, copies, imperfect data."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression as LinearReference

from lambdas.job_store.samples import SampleSize
from lambdas.job_store.shards import load_shard, warm_shards
from stepml.job import algorithms, keys
from stepml.job.errors import (
    BadLabelError,
    ExecutorPausedError,
    KeyNotFoundError,
    ModelTooLargeError,
    NotEnoughDataError,
)
from stepml.job.models import LinearRegression
from stepml.job.step import Step
from stepml.ml.data import arrays
from stepml.ml.suitability import check_suits
from tests.support.jobs import Job, contents, csv_rows

ADMM: dict[str, Any] = {"algorithm": {"name": "admm"}}
KMEANS: dict[str, Any] = {
    "model": {"name": "kmeans", "n_clusters": 3},
    "algorithm": {"name": "expectation_maximisation"},
    "data": {"uri": "s3://data/rows.csv", "format": "csv", "label": 4, "standardise": True},
}
ASYNC: dict[str, Any] = {
    "algorithm": {"name": "model_averaging"},
    "exchange": {"pattern": "async"},
}
EXACT: dict[str, Any] = {
    "model": {"name": "linear_regression"},
    "algorithm": {"name": "least_squares"},
}
RIDGE: dict[str, Any] = {
    "model": {"name": "linear_regression", "l2": 0.01},
    "algorithm": {"name": "model_averaging", "learning_rate": 0.1, "batch_size": 20},
}


def initialised(job_id: str = "job", **fields: Any) -> Job:
    job = Job(job_id, **fields)
    job.initialised()
    return job


@pytest.mark.parametrize(
    ("fields", "metrics"),
    [
        ({}, {"accuracy", "auc", "average_precision", "log_loss"}),
        ({"model": {"name": "softmax_regression"}}, {"accuracy", "precision", "log_loss"}),
        ({"model": {"name": "svm"}}, {"accuracy", "auc", "recall", "f1"}),
        (RIDGE, {"rmse", "mae", "r2"}),
        (KMEANS, {"inertia"}),
        (ADMM, {"accuracy", "auc"}),
        (
            {"algorithm": {"name": "model_averaging"}, "exchange": {"pattern": "async"}},
            {"accuracy"},
        ),
    ],
)
def test_a_job_learns_and_tells_its_metrics(fields: dict[str, Any], metrics: set[str]) -> None:
    job = initialised(**fields)
    reports = [job.epoch(number) for number in range(1, 6)]
    assert reports[-1].training_loss < reports[0].training_loss
    assert metrics <= set(reports[-1].metrics)
    report = job.finalise(5)
    lines = job.storage.load(keys.history("job")).decode().splitlines()  # type: ignore[union-attr]
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert json.loads(lines[-1])["metrics"] == report.metrics
    counts = np.array(report.confusion_matrix)
    assert [each.support for each in report.per_class] == [sum(row) for row in counts.tolist()]
    if "accuracy" in metrics:
        assert counts.sum() == report.dataset.validation_rows
        assert np.trace(counts) / counts.sum() == pytest.approx(report.metrics["accuracy"])
    assert ("accuracy" in metrics) == bool(report.per_class)


def test_a_report_needs_no_data_that_have_been_deleted_meanwhile() -> None:
    job = initialised()
    last = job.epoch(1)
    job.storage.clear("datasets/")
    warm_shards.make_room(2**60)  # as in a function that has never loaded a shard
    report = job.finalise(1)
    assert report.metrics == last.metrics
    assert (report.per_class, report.confusion_matrix) == ([], [])


def test_residuals_are_reported_an_epoch_late_and_end_the_job() -> None:
    algorithm = {"name": "admm", "absolute_tolerance": 1e-4, "relative_tolerance": 0.5}
    # Without a penalty, these rows can be separated ever better.
    model = {"name": "logistic_regression", "l2": 0.01}
    job = initialised(model=model, algorithm=algorithm, stop={"max_epochs": 50})
    first, second = job.epoch(1), job.epoch(2)
    assert first.primal_residual is None
    assert second.primal_residual is not None
    assert second.dual_tolerance is not None
    assert second.objective_fall is not None
    number = 2
    report = second
    while report.decision == "continue":
        number += 1
        report = job.epoch(number)
    assert report.reason == "both residuals are within their tolerances"
    assert report.objective_fall is not None
    assert report.objective_fall_tolerance == pytest.approx(0.5001e-3)
    assert report.objective_fall <= report.objective_fall_tolerance


def test_clusters_that_rest_end_the_job() -> None:
    job = initialised(**KMEANS, stop={"max_epochs": 100})
    number, decision = 0, "continue"
    while decision == "continue":
        number += 1
        decision = job.epoch(number).decision
    assert decision == "converged"
    assert job.finalise(number).reason == "no centroid moved any more"


def test_clusters_begin_at_the_same_rows_for_any_world_size() -> None:
    bits = {initialised(workers=workers, **KMEANS).state_bits(0) for workers in (1, 2, 5)}
    # The moments for standardising are added in another order.
    first, *others = (np.frombuffer(each, np.float32) for each in bits)
    for other in others:
        assert other == pytest.approx(first, abs=1e-4)


def test_a_rank_contributes_what_it_had_stored() -> None:
    """Of two copies with different bits, the first counts, even if its contribution is lost."""
    job, undisturbed = initialised("twice", **ADMM), initialised("whole", **ADMM)
    undisturbed.epoch(1)
    undisturbed.epoch(2)
    job.epoch(1)
    job.execute(2, 1)
    key = keys.contribution(job.exchanged(), Step(2), 0, 1)
    before = job.storage.load(key)
    job.storage.delete(key)
    job.storage.clear(f"datasets/{digest_of(job)}")  # training would need its shard
    job.execute(2, 1)
    assert job.storage.load(key) == before


def digest_of(job: Job) -> str:
    plan = json.loads(job.storage.load(keys.training_plan(job.job_id)))
    return str(plan["digest"])


def test_a_rank_whose_own_state_is_lost_fails_by_name() -> None:
    job = initialised(**ADMM)
    job.epoch(1)
    job.storage.delete(keys.rank_state("job", 1, 2))
    job.execute(2, 0)
    with pytest.raises(KeyNotFoundError, match="ranks/000001/000002"):
        job.execute(2, 2)


def test_own_states_are_kept_until_the_job_ends_and_the_last_ones_after_it() -> None:
    job = initialised(**ADMM)
    for number in (1, 2, 3):
        job.epoch(number)
    assert len([*job.storage.list(keys.rank_states_prefix("job"))]) == 9
    job.finalise(3)
    kept = sorted(job.storage.list(keys.rank_states_prefix("job")))
    assert kept == [keys.rank_state("job", 3, rank) for rank in range(3)]


@pytest.mark.parametrize("fields", [ADMM, KMEANS, {"model": {"name": "svm"}, **ADMM}])
def test_a_rank_out_of_time_changes_no_bit(fields: dict[str, Any]) -> None:
    job, undisturbed = initialised("paused", **fields), initialised("whole", **fields)
    for number in (1, 2):
        undisturbed.epoch(number)
        for _ in range(3):
            out_of_time = iter([100.0] + [1.0] * 1000)
            try:
                job.execute(number, 0, out_of_time.__next__)
            except ExecutorPausedError:
                continue
        job.epoch(number)
    assert job.state_bits(2) == undisturbed.state_bits(2)


@pytest.mark.parametrize("fields", [ADMM, KMEANS, RIDGE])
def test_repeating_every_step_changes_nothing(fields: dict[str, Any]) -> None:
    job = initialised(**fields)
    first = job.epoch(1)
    before = contents(job.storage)
    job.execute(1, 0)
    assert job.reduce(1) == first
    assert contents(job.storage) == before


def test_rows_that_do_not_parse_are_left_out_and_reported() -> None:
    good = csv_rows()
    lines = good.split(b"\n")
    job = Job("skips", data=data_of(on_bad_row="skip"))
    # After the others, so that their offsets and ids do not change.
    job.data.save("rows.csv", good + b"1,2,x,4,0\n1,2\n")
    clean = Job("clean", data=data_of(on_bad_row="skip"))
    for each in (job, clean):
        each.initialised()
        each.epoch(1)
    assert job.state_bits(1) == clean.state_bits(1)
    data = job.finalise(1).dataset
    assert data.skipped_rows == 2
    assert f"line {len(lines)}" in data.skipped_samples[0]
    assert clean.finalise(1).dataset.skipped_rows == 0


def data_of(**fields: Any) -> dict[str, Any]:
    return {"uri": "s3://data/rows.csv", "format": "csv", "standardise": True} | fields


@pytest.mark.parametrize("standardise", [True, False])
def test_missing_values_become_the_mean_in_training_and_in_the_model(standardise: bool) -> None:
    rows = [line.split(b",") for line in csv_rows().split()]
    for number in range(0, len(rows), 7):
        rows[number][2] = b"NA"
    job = Job(data=data_of(missing="mean", standardise=standardise))
    job.data.save("rows.csv", b"".join(b",".join(row) + b"\n" for row in rows))
    job.initialised()
    assert job.epoch(1).loss < np.log(2)
    job.finalise(1)
    model, _ = arrays.unpack(job.storage.load(keys.model("job")))
    known = [float(row[2]) for row in rows if row[2] != b"NA"]
    assert model["feature_fill"][2] == pytest.approx(np.mean(known), abs=0.2)  # of training rows


def test_a_table_without_a_label_is_clustered() -> None:
    job = Job(**KMEANS | {"data": data_of(has_label=False)})
    job.initialised()
    job.epoch(1)
    report = job.finalise(1)
    assert report.dataset.n_features == 5
    assert report.dataset.classes == []


def test_sparse_rows_stay_sparse() -> None:
    rng = np.random.default_rng(0)
    lines = [
        f"{number % 2} " + " ".join(f"{i}:1" for i in sorted(rng.choice(500, 5, False) + 1))
        for number in range(200)
    ]
    uri = {"uri": "s3://data/rows.libsvm", "format": "libsvm", "standardise": True}
    job = Job(data=uri, model={"name": "svm"})
    job.data.save("rows.libsvm", ("\n".join(lines) + "\n").encode())
    job.initialised()
    job.epoch(1)
    data = job.finalise(1).dataset
    assert data.matrix == "sparse"
    assert data.density == pytest.approx(5 / data.n_features)


def test_what_does_not_suit_the_data_is_refused_before_training() -> None:
    with pytest.raises(
        NotEnoughDataError, match=r"model.n_clusters: .* training rows, 180, got 200"
    ):
        Job(**KMEANS | {"model": {"name": "kmeans", "n_clusters": 200}}).partitioned()
    with pytest.raises(BadLabelError, match=r"model.class_weight"):
        Job(model={"name": "logistic_regression", "class_weight": {"7": 2}}).partitioned()
    job = Job(**ADMM)
    job.partitioned()
    plan = job.partition_plan()
    manifest = job.store.data_set(plan.digest).manifest.load()
    with pytest.raises(ModelTooLargeError, match=r"5 parameters; with algorithm 'admm' .* for 3:"):
        check_suits(plan.spec, manifest, most_model_bytes=1000)
    exact = msgspec.structs.replace(
        plan.spec, model=LinearRegression(), algorithm=algorithms.LeastSquares()
    )
    with pytest.raises(ModelTooLargeError, match=r"'least_squares' .* for 4: .* another algorithm"):
        check_suits(exact, manifest, most_model_bytes=64 * 5**2)
    check_suits(exact, manifest, most_model_bytes=64 * 6**2)
    job = Job(model={"name": "softmax_regression"})
    job.data.save("rows.csv", b"".join(b"1,%d\n" % number for number in range(1500)))
    with pytest.raises(BadLabelError, match="more than 1,000 different ones"):
        job.partitioned()


@pytest.mark.parametrize("standardise", [False, True])
def test_least_squares_ends_after_one_epoch_with_the_solution(standardise: bool) -> None:
    data = {"uri": "s3://data/rows.csv", "format": "csv", "standardise": standardise}
    job = initialised(data=data, **EXACT)
    report = job.epoch(1)
    assert report.decision == "converged"
    assert report.reason == "the normal equations are solved"
    assert report.cost_usd > 0
    job.finalise(1)
    shards = [load_shard(job.store, job.training_plan(), rank) for rank in range(3)]
    X, y = (np.concatenate(parts) for parts in zip(*((s.X, s.y) for s in shards), strict=True))
    expected = LinearReference().fit(X.astype(np.float64), y)
    found = job.store.state(1).load().parameters
    assert found == pytest.approx([*expected.coef_, expected.intercept_], abs=1e-6)


def test_labels_that_are_no_classes_are_learnt_as_numbers() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 3))
    y = X @ [1, 2, 3] + rng.normal(size=1500)
    job = Job(**RIDGE)
    rows = zip(X.tolist(), y.tolist(), strict=True)
    job.data.save("rows.csv", b"".join(f"{','.join(map(str, x))},{t}\n".encode() for x, t in rows))
    job.initialised()
    for number in range(1, 6):
        report = job.epoch(number)
    assert report.metrics["r2"] > 0.9


def test_a_sample_has_rows_for_every_cluster_and_a_bound() -> None:
    plan = initialised(**KMEANS).training_plan()
    ten_rows = 20 * 10  # bytes; of five numbers each
    assert SampleSize(usual_bytes=ten_rows).rows(plan) == 12
    assert SampleSize(usual_bytes=ten_rows, rows_a_cluster=1).rows(plan) == 10
    assert SampleSize(ten_rows, rows_a_cluster=1, most_bytes=20 * 7).rows(plan) == 7
    assert SampleSize(2**30, most_bytes=2**30).rows(plan) == plan.training_rows


def test_least_squares_has_the_same_solution_on_scaled_labels() -> None:
    losses = []
    for scale_labels in (False, True):
        job = Job(**EXACT | {"model": EXACT["model"] | {"scale_labels": scale_labels}})
        lines = [f"{a},{b},{1000 * a - 300 * b + 5000}" for a in range(9) for b in range(9)]
        job.data.save("rows.csv", "\n".join([*lines, ""]).encode())
        job.initialised()
        losses.append(job.epoch(1).metrics["rmse"])
    assert losses == pytest.approx([0, 0], abs=0.01)
