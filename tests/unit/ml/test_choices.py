"""Values chosen for a job, from the rows alone, lead to the optimum."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from stepml.job import algorithms, models
from stepml.job.channels import Pattern
from stepml.job.choices import with_algorithm
from stepml.job.combinations import contradictions
from stepml.job.data import Data
from stepml.job.spec import Exchange, JobSpec, Stop
from stepml.job.spec_base import settled
from stepml.ml.choices import (
    rate_is_open,
    rho_is_open,
    with_pace,
    with_penalty,
    with_rate,
    with_rho,
    with_room,
    with_scaling,
    with_shared_batch,
    with_start,
)
from stepml.ml.matrices import CsrMatrix, Matrix
from stepml.ml.models import LossModel
from stepml.ml.models.base import Floats
from stepml.ml.sample_objective import minimum
from tests.support.learning import Orchestra, averaged_gradients, cuts_of, model_for

CSV = Data(uri="s3://bucket/rows.csv", format="csv")
RNG = np.random.default_rng(0)


def standardised(X: Any) -> Floats:
    rows: Floats = ((X - X.mean(0)) / np.where(X.std(0) == 0, 1, X.std(0))).astype(np.float32)
    return rows


def shuffled(X: Any, y: Any) -> tuple[Floats, Floats]:
    order = np.random.default_rng(1).permutation(len(y))
    return standardised(X[order]), y[order].astype(np.float32)


def cancer() -> tuple[Matrix, Floats]:
    data = load_breast_cancer()
    return shuffled(data.data, data.target)


def digits() -> tuple[Matrix, Floats]:
    data = load_digits()
    return shuffled(data.data, data.target)


def correlated() -> tuple[Matrix, Floats]:
    """Return rows of features that depend on each other, with a class of 7 %."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(6000, 3)) @ rng.normal(size=(3, 9)) + 0.1 * rng.normal(size=(6000, 9))
    z = standardised(X) @ rng.normal(size=9) * 2 + rng.logistic(size=6000)
    return shuffled(X * 10.0 ** rng.uniform(-3, 3, 9), z > np.quantile(z, 0.93))


def words() -> tuple[CsrMatrix, Floats]:
    """Return sparse rows of norm 1, like TF-IDF."""
    rng, n_words = np.random.default_rng(3), 1500
    common = 1 / np.arange(1, n_words + 1)
    common /= common.sum()
    other = common * np.exp(rng.normal(size=n_words))
    y = (rng.random(1200) < 0.35).astype(np.float32)
    indptr, indices, values = [0], [], []
    for label in y:
        drawn = rng.choice(n_words, 40, p=other / other.sum() if label else common)
        found, counts = np.unique(drawn, return_counts=True)
        weights = counts / np.sqrt(common[found])
        indices.append(found)
        values.append(weights / np.linalg.norm(weights))
        indptr.append(indptr[-1] + len(found))
    parts = np.concatenate(indices).astype(np.int32), np.concatenate(values).astype(np.float32)
    return CsrMatrix(np.array(indptr), *parts, n_words), y


def dense(X: Matrix) -> Floats:
    if not isinstance(X, CsrMatrix):
        return X
    rows = np.zeros(X.shape, np.float32)
    rows[np.repeat(np.arange(len(X)), X.counts), X.indices] = X.values
    return rows


def paced(spec: JobSpec, X: Matrix, y: Floats) -> JobSpec:
    """Return the job with the values that are chosen before its rows are prepared."""
    spec = with_scaling(with_algorithm(spec, X.shape[1]), lambda: X)
    spec = with_start(spec, model_for(spec.model, X, y), lambda: X, len(y))
    return with_pace(with_penalty(spec, len(y)), cuts_of(len(y), spec.workers))


def begun(
    spec: JobSpec, X: Matrix, y: Floats, sample_rows: int | None = None
) -> tuple[JobSpec, Floats]:
    """Return the job as it is planned for these rows, and its first parameters."""
    spec = paced(spec, X, y)
    model = model_for(spec.model, X, y)
    assert isinstance(model, LossModel)
    sample = slice(sample_rows)
    rows, first = (X[sample], model.targets(y[sample])), model.initial_parameters()
    if settled(spec.algorithm).starts_at_sample:
        first = minimum(model, rows).parameters
    if rate_is_open(spec):
        spec = with_rate(spec, model, first, *rows)
    return with_rho(spec, model, first, rows, len(y)) if rho_is_open(spec) else spec, first


def chosen(spec: JobSpec, X: Matrix, y: Floats) -> JobSpec:
    """Return the job as it is planned for these rows."""
    return begun(spec, X, y)[0]


def trained(spec: JobSpec, X: Matrix, y: Floats, first: Floats | None = None) -> Floats:
    """Return the parameters after the last epoch of a job, which starts at ``first``, or at 0."""
    epochs = settled(spec.stop.max_epochs)
    if isinstance(spec.algorithm, algorithms.GradientAveraging):
        one = msgspec.structs.replace(
            spec.algorithm, batch_size=settled(spec.algorithm.batch_size) * spec.workers
        )
        alone = msgspec.structs.replace(spec, algorithm=one)
        return averaged_gradients(alone, X, y, 1, epochs, first).parameters
    return Orchestra(spec, X, y, spec.workers, first).epochs(epochs)


def objective(spec: JobSpec, w: Floats, X: Matrix, y: Floats) -> float:
    model = model_for(spec.model, X, y)
    assert isinstance(model, LossModel)
    loss = model.gradient(w, X, model.targets(y), out=np.empty_like(w))
    return loss + model.penalty.value(w)


@cache
def optimum(rows: str) -> float:
    make, model = ROWS[rows]
    return least(JobSpec(data=CSV, model=model), *make())


def least(spec: JobSpec, X: Matrix, y: Floats) -> float:
    """Return the objective of scikit-learn's model."""
    model = model_for(spec.model, X, y)
    l2 = getattr(spec.model, "l2", 0.0)
    reference = LogisticRegression(C=1 / (l2 * len(y)) if l2 else np.inf, max_iter=5000, tol=1e-7)
    reference.fit(dense(X), y)
    arrays = {"coefficients": reference.coef_, "intercept": reference.intercept_}
    return objective(spec, model.parameters(arrays), X, y)


NAMES = ("gradient_averaging", "model_averaging", "admm")


def separable() -> tuple[Matrix, Floats]:
    """Return rows of two classes, of 7 % and 93 %, that a plane nearly separates."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(8000, 9))
    z = X @ [3, 0.5, 2, 0, -2, 0.2, 3, 1, 1]
    return shuffled(X, z + 0.6 * rng.normal(size=8000) > np.quantile(z, 0.93))


ROWS = {
    "cancer": (cancer, models.LogisticRegression(l2=0.01)),
    "digits": (digits, models.SoftmaxRegression(l2=0.01)),
    "correlated": (correlated, models.LogisticRegression(l2=0.0)),
    "separable": (separable, models.LogisticRegression(l2=1 / 8000)),
    "words": (words, models.LogisticRegression(l2=1e-3)),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", ROWS)
def test_a_job_with_nothing_chosen_by_hand_comes_to_the_optimum(rows: str, name: str) -> None:
    make, model = ROWS[rows]
    X, y = make()
    algorithm = algorithms.ALGORITHMS[name]()
    spec, first = begun(JobSpec(data=CSV, model=model, algorithm=algorithm), X, y)  # type: ignore[arg-type]
    assert objective(spec, trained(spec, X, y, first), X, y) <= optimum(rows) * 1.002
    assert settled(spec.stop.max_epochs) <= 3 or name == "admm"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", ["correlated", "separable"])
def test_a_start_at_the_minimum_of_a_few_rows_leads_to_that_of_all(rows: str, name: str) -> None:
    make, model = ROWS[rows]
    X, y = make()
    algorithm = algorithms.ALGORITHMS[name](start="sample")
    spec, first = begun(JobSpec(data=CSV, model=model, algorithm=algorithm), X, y, len(y) // 2)  # type: ignore[arg-type]
    begin = objective(spec, first, X, y)
    end = objective(spec, trained(spec, X, y, first), X, y)
    assert end < begin
    assert end <= optimum(rows) * (1.001 if name == "admm" else 1.01)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("rows", "l1"), [("cancer", 0.01), ("correlated", 0.003), ("digits", 0.01)]
)
def test_l1_has_its_minimum_and_its_zeros_after_one_epoch(rows: str, l1: float, name: str) -> None:
    make, model = ROWS[rows]
    X, y = make()
    model = msgspec.structs.replace(model, l1=l1, l2=0.0)
    algorithm = algorithms.ALGORITHMS[name]()
    spec, first = begun(JobSpec(data=CSV, model=model, algorithm=algorithm), X, y)  # type: ignore[arg-type]
    spec = msgspec.structs.replace(spec, stop=Stop(max_epochs=1))
    w = trained(spec, X, y, first)
    built = model_for(model, X, y)
    assert isinstance(built, LossModel)
    gradient = np.empty_like(w)
    built.gradient(w, X, built.targets(y), out=gradient)
    is_zero = built.penalty.is_at_kink(w)
    assert 0.3 < is_zero.mean() < 0.9
    assert np.abs(gradient[is_zero]).max() < 1.2 * l1
    assert np.mean(is_zero != built.penalty.is_at_kink(first)) < 0.05
    assert objective(spec, w, X, y) <= objective(spec, first, X, y) * 1.001


@pytest.mark.parametrize("name", NAMES)
def test_l1_leads_from_the_minimum_of_a_few_rows_to_that_of_all(name: str) -> None:
    X, y = correlated()
    algorithm = algorithms.ALGORITHMS[name]()
    job = JobSpec(data=CSV, model=models.LogisticRegression(l1=0.003), algorithm=algorithm)  # type: ignore[arg-type]
    spec, first = begun(job, X, y, len(y) // 2)
    model = model_for(spec.model, X, y)
    assert isinstance(model, LossModel)
    least = objective(spec, minimum(model, (X, model.targets(y))).parameters, X, y)
    end = objective(spec, trained(spec, X, y, first), X, y)
    assert end < objective(spec, first, X, y)
    assert end <= least * 1.002


@pytest.mark.parametrize("positives", [0.5, 0.05])
def test_admm_needs_few_epochs_from_the_minimum_of_a_part(positives: float) -> None:
    rng = np.random.default_rng(4)
    X = standardised(rng.normal(size=(40_000, 3)) @ rng.normal(size=(3, 8)))
    X = standardised(X + 0.2 * rng.normal(size=X.shape))
    z = X @ rng.normal(size=8) + rng.logistic(size=len(X))
    y = (z > np.quantile(z, 1 - positives)).astype(np.float32)
    model = models.LogisticRegression()
    spec, first = begun(JobSpec(data=CSV, model=model, algorithm=algorithms.Admm()), X, y, 5000)
    job = Orchestra(spec, X, y, spec.workers, first)
    w = job.epochs(50)
    assert settled(spec.algorithm).starts_at_sample
    assert len(job.outcomes) <= 6
    best = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(X, y)
    arrays = {"coefficients": best.coef_, "intercept": best.intercept_}
    least = objective(spec, model_for(model, X, y).parameters(arrays), X, y)
    assert objective(spec, w, X, y) <= least * 1.0005


def test_a_target_leaves_more_epochs_than_a_start_at_the_minimum_needs() -> None:
    X, y = cancer()
    algorithm = algorithms.GradientAveraging()
    asked = JobSpec(data=CSV, model=models.LogisticRegression(), algorithm=algorithm)
    assert paced(asked, X, y).stop.max_epochs == 3
    wished = msgspec.structs.replace(asked, stop=Stop(target_loss=0.01))
    assert settled(paced(wished, X, y).stop.max_epochs) > 3


def test_admm_has_converged_after_two_epochs_if_the_sample_has_all_rows() -> None:
    X, y = cancer()
    model = models.LogisticRegression(l2=0.01)
    spec, first = begun(JobSpec(data=CSV, model=model, algorithm=algorithms.Admm()), X, y)
    job = Orchestra(spec, X, y, spec.workers, first)
    assert [job.epoch().converged is None for _ in range(2)] == [True, False]


@pytest.mark.parametrize("name", NAMES)
def test_a_hinge_loss_comes_to_its_minimum_in_few_epochs(name: str) -> None:
    X, y = cancer()
    model = models.Svm(l2=0.01)
    spec, first = begun(
        JobSpec(data=CSV, model=model, algorithm=algorithms.ALGORITHMS[name]()), X, y
    )  # type: ignore[arg-type]
    machine = LinearSVC(loss="hinge", C=1 / (0.01 * len(y)), intercept_scaling=30, max_iter=10**6)
    reference = machine.fit(X, y)
    arrays = {"coefficients": reference.coef_, "intercept": reference.intercept_}
    best = objective(spec, model_for(model, X, y).parameters(arrays), X, y)
    assert objective(spec, trained(spec, X, y, first), X, y) <= best * 1.01


@pytest.mark.parametrize(
    ("model", "rows", "rho"),
    [
        (models.LogisticRegression(l2=1e-9), 10_000, 1.1e-3),  # 0.25 · 11 rows / 2,500 of a rank
        (models.LogisticRegression(l2=1e-9), 100, 0.01),
        (models.LogisticRegression(l2=0.1), 10_000, 0.2),
        (models.LogisticRegression(l1=0.1), 10_000, 0.01),
        (models.Svm(), 10_000, 0.01),
    ],
)
def test_rho_suits_a_start_at_zero(model: models.Model, rows: int, rho: float) -> None:
    X = standardised(np.random.default_rng(0).normal(size=(100, 10)))
    y = (X[:, 0] > 0).astype(np.float32)
    algorithm = algorithms.Admm(start="zero")
    spec = JobSpec(data=CSV, model=model, algorithm=algorithm, workers=4)
    built = model_for(model, X, y)
    assert isinstance(built, LossModel)
    sample = X, built.targets(y)
    found = with_rho(spec, built, built.initial_parameters(), sample, rows).algorithm
    assert isinstance(found, algorithms.Admm)
    assert found.rho == pytest.approx(rho, rel=0.1)


def test_noise_of_steps_does_not_keep_admm_from_its_end() -> None:
    rng = np.random.default_rng(6)
    X = standardised(rng.normal(size=(3000, 6)))
    y = (X @ rng.normal(size=6) + 3 * rng.logistic(size=3000) > 0).astype(np.float32)
    job = JobSpec(data=CSV, model=models.Svm(l2=0.01), algorithm=algorithms.Admm())
    spec, first = begun(job, X, y)
    ranks = Orchestra(spec, X, y, spec.workers, first)
    w = ranks.epochs(50)
    assert len(ranks.outcomes) < 15
    assert objective(spec, w, X, y) <= 1.01 * objective(spec, first, X, y)


@pytest.mark.parametrize("rows", ROWS)
def test_ranks_of_admm_stay_at_a_start_that_is_their_common_minimum(rows: str) -> None:
    make, model = ROWS[rows]
    X, y = make()
    spec, first = begun(JobSpec(data=CSV, model=model, algorithm=algorithms.Admm()), X, y)
    together, apart = (
        Orchestra(msgspec.structs.replace(spec, algorithm=each), X, y, spec.workers, first)
        for each in (spec.algorithm, msgspec.structs.replace(settled(spec.algorithm), start="zero"))
    )
    moved = []
    for job in (together, apart):
        job.epoch()
        moved.append(max(np.linalg.norm(each["x"] - first) for each in job.rank_states))
    assert moved[0] < 0.001 * np.linalg.norm(first)
    # Without the duals of that start, each rank goes towards the minimum of its own rows.
    assert moved[1] > 10 * moved[0]


@pytest.mark.parametrize(
    ("algorithm", "model", "n_rows", "start"),
    [
        (algorithms.GradientAveraging(), models.LogisticRegression(), 50, "sample"),
        (algorithms.ModelAveraging(batch_size=4), models.LogisticRegression(), 50, "sample"),
        (algorithms.Admm(), models.LinearRegression(), 50, "sample"),
        (algorithms.Admm(), models.Svm(loss="squared_hinge"), 50, "sample"),
        (algorithms.Admm(), models.LogisticRegression(), 10**6, "zero"),  # a sample of 50
        (algorithms.Admm(), models.Svm(), 50, "sample"),
        (algorithms.Admm(), models.LinearRegression(l1=0.1), 50, "sample"),
        (algorithms.Admm(), models.LinearRegression(l1=0.1), 10**6, "zero"),
        (algorithms.GradientAveraging(), models.Svm(), 50, "sample"),
        (algorithms.GradientAveraging(), models.Svm(l1=0.1), 50, "sample"),
        (algorithms.ModelAveraging(), models.LogisticRegression(l1=0.1, l2=0.0), 50, "sample"),
        (algorithms.GradientAveraging(learning_rate=0.1), models.LogisticRegression(), 50, "zero"),
        (
            algorithms.ModelAveraging(optimiser="adam", weight_decay=0.1),
            models.LogisticRegression(),
            50,
            "zero",
        ),
        (algorithms.Admm(rho=0.1), models.LogisticRegression(), 50, "zero"),
        (algorithms.Admm(adaptive_rho=False), models.LogisticRegression(), 50, "zero"),
        (algorithms.Admm(local_solver="sgd"), models.LogisticRegression(), 50, "sample"),
        (algorithms.GradientAveraging(), models.LogisticRegression(l2=0.0), 50, "zero"),
        (algorithms.Admm(), models.LogisticRegression(l2=0.0), 50, "sample"),
        (algorithms.ModelAveraging(), models.LinearRegression(), 50, "sample"),
        (algorithms.Admm(start="zero"), models.LogisticRegression(), 50, "zero"),
        (algorithms.Admm(start="sample", rho=0.1), models.LogisticRegression(), 10**6, "sample"),
    ],
)
def test_training_starts_at_a_sample_that_says_enough(
    algorithm: algorithms.Descent | algorithms.Admm, model: models.Model, n_rows: int, start: str
) -> None:
    y = (np.arange(50) % 2).astype(np.float32)
    spec = JobSpec(data=CSV, model=model, algorithm=algorithm)  # type: ignore[arg-type]
    found = with_start(spec, model_for(model, WIDE, y), lambda: WIDE, n_rows).algorithm
    assert isinstance(found, type(algorithm))
    assert found.start == start


def test_a_large_sample_says_enough_about_few_parameters() -> None:
    X = RNG.normal(size=(3000, 4)).astype(np.float32)
    for rows, l1, start in (
        (3000, 0.0, "sample"),
        (2000, 0.0, "zero"),
        (600, 0.1, "sample"),
        (400, 0.1, "zero"),
    ):
        part = X[:rows]
        learner = models.LogisticRegression(l1=l1)
        model = model_for(learner, X, (X[:, 0] > 0).astype(np.float32))
        spec = JobSpec(data=CSV, model=learner, algorithm=algorithms.Admm())
        found = with_start(spec, model, lambda part=part: part, 10**9).algorithm
        assert isinstance(found, algorithms.Admm)
        assert found.start == start


@pytest.mark.parametrize(
    ("scale", "standardise", "start"),
    [(1e6, False, "sample"), (1e8, False, "zero"), (1e18, False, "zero"), (1e18, True, "sample")],
)
def test_admm_starts_ahead_only_where_rho_can_hold_the_ranks(
    scale: float, standardise: bool, start: str
) -> None:
    X = (scale * RNG.normal(size=(50, 4))).astype(np.float32)
    model = model_for(models.LogisticRegression(), X, (X[:, 0] > 0).astype(np.float32))
    data = msgspec.structs.replace(CSV, standardise=standardise)
    spec = JobSpec(data=data, model=models.LogisticRegression(), algorithm=algorithms.Admm())
    found = with_start(spec, model, lambda: X, 50).algorithm
    assert isinstance(found, algorithms.Admm)
    assert found.start == start


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [40, 100, 140])
def test_a_regression_with_few_rows_has_the_smallest_coefficients(rows: int, name: str) -> None:
    rng = np.random.default_rng(7)
    X = standardised(rng.normal(size=(rows, 150)))
    y = (X[:, :5] @ np.arange(1, 6) / 8 + rng.normal(size=rows) / 8).astype(np.float32)
    job = JobSpec(
        data=CSV,
        model=models.LinearRegression(),
        algorithm=algorithms.ALGORITHMS[name](),  # type: ignore[arg-type]
        stop=Stop(max_epochs=1),
    )
    spec, first = begun(job, X, y)
    exact, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(rows)]), y)
    assert objective(spec, trained(spec, X, y, first), X, y) < 1e-4
    found = model_for(spec.model, X, y).predict(trained(spec, X, y, first), X[::-1] * 1.5)
    expected = np.column_stack([X[::-1] * 1.5, np.ones(rows)]) @ exact
    np.testing.assert_allclose(found, expected, atol=0.1)


@pytest.mark.parametrize("rows", ["cancer", "correlated"])
def test_the_choices_are_the_same_every_time(rows: str) -> None:
    make, model = ROWS[rows]
    spec = JobSpec(data=CSV, model=model, algorithm=algorithms.ModelAveraging())
    first, again = (chosen(spec, *make()) for _ in range(2))
    assert msgspec.json.encode(first) == msgspec.json.encode(again)


def test_a_batch_is_shared_by_the_ranks() -> None:
    sizes = []
    for workers in (1, 2, 4, 8):
        spec = JobSpec(data=CSV, model=models.LogisticRegression(), workers=workers)
        spec = msgspec.structs.replace(spec, algorithm=algorithms.GradientAveraging())
        spec = with_pace(spec, cuts_of(40_000, workers))
        assert isinstance(spec.algorithm, algorithms.GradientAveraging)
        sizes.append(settled(spec.algorithm.batch_size) * workers)
        assert spec.stop.max_epochs == 20
    assert sizes == [800] * 4


@pytest.mark.parametrize(
    ("n_rows", "fields", "stop", "batch_size", "epochs"),
    [
        (100, {}, Stop(), 2, 20),
        (4_000, {}, Stop(), 20, 20),
        (100_000, {}, Stop(), 250, 10),
        (10_000_000, {}, Stop(), 12_500, 5),
        (4_000, {"batch_size": 1000}, Stop(), 1000, 20),
        (4_000, {"batch_size": 1}, Stop(), 1, 5),
        (4_000, {"warmup_epochs": 30}, Stop(), 20, 60),
        (4_000, {}, Stop(max_epochs=1), 2, 1),
        (4_000, {}, Stop(max_epochs=500), 20, 500),
    ],
)
def test_an_epoch_has_enough_steps(
    n_rows: int, fields: dict[str, Any], stop: Stop, batch_size: int, epochs: int
) -> None:
    algorithm = algorithms.GradientAveraging(**fields)
    spec = JobSpec(data=CSV, model=models.LogisticRegression(), algorithm=algorithm, stop=stop)
    paced = with_pace(spec, cuts_of(n_rows, 4))
    assert isinstance(paced.algorithm, algorithms.GradientAveraging)
    assert (paced.algorithm.batch_size, paced.stop.max_epochs) == (batch_size, epochs)


@pytest.mark.parametrize(
    ("exchange", "fields", "optimiser", "momentum"),
    [
        (Exchange(), {}, "sgd", 0.9),
        (Exchange(), {"optimiser": "adam"}, "adam", 0),
        (Exchange(), {"learning_rate": 0.1}, "sgd", 0),
        (Exchange(), {"learning_rate": 0.1, "momentum": 0.5}, "sgd", 0.5),
        (Exchange(), {"momentum": 0.5}, "sgd", 0.5),
        (Exchange(server_update="adam"), {}, "adam", 0),
        (Exchange(server_update="sgd"), {}, "sgd", 0.9),
    ],
)
def test_the_optimiser_suits_what_is_given(
    exchange: Exchange, fields: dict[str, Any], optimiser: str, momentum: float
) -> None:
    algorithm = algorithms.GradientAveraging(**fields)
    spec = JobSpec(
        data=CSV, model=models.LogisticRegression(), algorithm=algorithm, exchange=exchange
    )
    paced = with_pace(spec, [100, 100]).algorithm
    assert isinstance(paced, algorithms.GradientAveraging)
    schedule = "constant" if "learning_rate" in fields else "cosine"
    assert (paced.optimiser, paced.momentum, paced.schedule) == (optimiser, momentum, schedule)


@pytest.mark.parametrize(
    ("model", "algorithm", "expected"),
    [
        (models.LogisticRegression(), algorithms.Admm(), 1 / 400),
        (models.SoftmaxRegression(), algorithms.GradientAveraging(), 1 / 400),
        (models.SoftmaxRegression(l2=0.0), algorithms.Admm(), 0.0),
        (models.LogisticRegression(l1=0.1), algorithms.Admm(), 0.0),
        (models.LogisticRegression(), algorithms.ModelAveraging(weight_decay=0.1), 0.0),
        (models.LinearRegression(), algorithms.Admm(), 0.0),
        (models.Svm(), algorithms.ModelAveraging(), 1e-4),
    ],
)
def test_classes_that_can_be_separated_have_a_penalty(
    model: models.Model, algorithm: algorithms.Algorithm, expected: float
) -> None:
    job = JobSpec(data=CSV, model=model, algorithm=algorithm)
    assert with_penalty(job, 400).model.l2_factor == pytest.approx(expected)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (models.LinearRegression(), 1 / 400),
        (models.LinearRegression(l2=0.0), 0.0),
        (models.LinearRegression(l1=0.1), 0.0),
        (models.Svm(), 1e-4),
    ],
)
def test_least_squares_of_levels_have_a_penalty(model: models.Model, expected: float) -> None:
    job = JobSpec(data=CSV, model=model, algorithm=algorithms.Admm())
    assert with_penalty(job, 400, has_levels=True).model.l2_factor == pytest.approx(expected)


def test_asynchronous_ranks_share_the_rate() -> None:
    X, y = cancer()
    together, apart = (
        chosen(
            JobSpec(
                data=CSV,
                model=models.LogisticRegression(),
                algorithm=algorithms.GradientAveraging(),
                exchange=Exchange(channel="redis", pattern=pattern),  # type: ignore[arg-type]
            ),
            X,
            y,
        ).algorithm
        for pattern in ("reduce", "async")
    )
    assert isinstance(together, algorithms.GradientAveraging)
    assert isinstance(apart, algorithms.GradientAveraging)
    ratio = settled(together.learning_rate) / settled(apart.learning_rate)
    assert ratio == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("scale", [1e6, 1e15])
def test_a_rate_suits_features_of_any_size(scale: float) -> None:
    """Features a thousand times as large have a curvature a million times as large."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(80, 3))
    y = (X[:, 0] + 0.3 * rng.normal(size=80) > 0).astype(np.float32)
    job = JobSpec(
        data=msgspec.structs.replace(CSV, standardise=False),
        model=models.Svm(loss="squared_hinge"),
        algorithm=algorithms.GradientAveraging(batch_size=8),
        workers=1,
    )
    X = (X * scale).astype(np.float32)
    spec = chosen(job, X, y)
    assert objective(spec, trained(spec, X, y), X, y) < 0.5  # of all zeros: 1


WIDE = RNG.normal(size=(50, 4)).astype(np.float32)
UNIT = np.abs(WIDE) / np.linalg.norm(WIDE, axis=1, keepdims=True)


def pairs(X: Floats) -> CsrMatrix:
    rows, columns = np.nonzero(X)
    counts = np.bincount(rows, minlength=len(X))
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return CsrMatrix(indptr, columns.astype(np.int32), X[rows, columns], X.shape[1])


@pytest.mark.parametrize(
    ("model", "X", "standardise"),
    [
        (models.LogisticRegression(), WIDE, True),
        (models.LinearRegression(), np.where(WIDE > 1, np.nan, WIDE), True),
        (models.Svm(), UNIT.astype(np.float32), False),
        (models.Svm(), (100 * UNIT).astype(np.float32), True),
        (models.LogisticRegression(), pairs(UNIT.astype(np.float32)), False),
        (models.LogisticRegression(), pairs((WIDE > 0).astype(np.float32)), False),
        (models.LogisticRegression(), pairs(WIDE * np.float32([1, 1e3, 1, 1e-3])), True),
        (models.KMeans(n_clusters=2), WIDE, False),
    ],
    ids=["dense", "missing", "text", "long", "sparse text", "counts", "sparse", "clusters"],
)
def test_features_are_standardised_unless_they_are_scaled_already(
    model: models.Model, X: Matrix, standardise: bool
) -> None:
    spec = with_scaling(with_algorithm(JobSpec(data=CSV, model=model)), lambda: X)
    assert spec.data.standardise is standardise


@pytest.mark.parametrize("scales_table", [True, False])
def test_a_table_with_numbers_is_standardised_however_many_zeros_it_has(scales_table: bool) -> None:
    spec = with_algorithm(JobSpec(data=CSV, model=models.LogisticRegression()))
    mostly_zeros = pairs((WIDE > 0).astype(np.float32))
    spec = with_scaling(spec, lambda: mostly_zeros, scales_table=scales_table)
    assert spec.data.standardise is scales_table


def test_what_is_given_needs_no_sample() -> None:
    def sample() -> Matrix:
        raise AssertionError

    given = msgspec.structs.replace(CSV, standardise=False)
    spec = with_algorithm(JobSpec(data=given, model=models.LogisticRegression()))
    spec = with_scaling(spec, sample)
    assert spec.data.standardise is False


@pytest.mark.parametrize(
    ("algorithm", "is_scaled"),
    [
        (algorithms.GradientAveraging(), True),
        (algorithms.ModelAveraging(batch_size=10), True),
        (algorithms.ModelAveraging(learning_rate=0.1), False),
        (algorithms.GradientAveraging(clip_norm=1.0), False),
        (algorithms.Admm(), True),
        (algorithms.Admm(rho=0.1), False),
        (algorithms.LeastSquares(), False),
    ],
)
def test_labels_are_scaled_unless_a_given_value_suits_them(
    algorithm: algorithms.Algorithm, is_scaled: bool
) -> None:
    spec = JobSpec(data=CSV, model=models.LinearRegression(), algorithm=algorithm)
    model = with_scaling(spec, lambda: WIDE).model
    assert isinstance(model, models.LinearRegression)
    assert model.scale_labels is is_scaled


@pytest.mark.parametrize(
    ("model", "exchange", "n_features", "name"),
    [
        (models.LogisticRegression(), Exchange(), 10, "admm"),
        (models.SoftmaxRegression(), Exchange(channel="redis"), None, "admm"),
        (models.SoftmaxRegression(), Exchange(pattern="async"), None, "model_averaging"),
        (models.LinearRegression(), Exchange(), 10, "least_squares"),
        (models.LinearRegression(), Exchange(), 5000, "admm"),
        (models.LinearRegression(), Exchange(channel="redis"), None, "admm"),
        (models.LinearRegression(l1=0.1), Exchange(), 10, "least_squares"),
        (models.LinearRegression(l1=0.1), Exchange(), 5000, "model_averaging"),
        (models.LogisticRegression(l1=0.1), Exchange(channel="redis"), 10, "gradient_averaging"),
        (models.LinearRegression(), Exchange(compression="float16"), 10, "admm"),
        (models.LinearRegression(), Exchange(pattern="async"), 10, "model_averaging"),
        (models.Svm(), Exchange(), 10, "model_averaging"),
        (models.Svm(), Exchange(channel="dynamodb"), 10, "model_averaging"),
        (models.Svm(), Exchange(channel="redis"), 10, "gradient_averaging"),
        (
            models.Svm(),
            Exchange(channel="parameter_server", pattern="async"),
            10,
            "gradient_averaging",
        ),
        (models.KMeans(n_clusters=2), Exchange(channel="redis"), 10, "expectation_maximisation"),
    ],
)
def test_the_algorithm_suits_model_and_exchange(
    model: models.Model, exchange: Exchange, n_features: int | None, name: str
) -> None:
    spec = with_algorithm(JobSpec(data=CSV, model=model, exchange=exchange), n_features)
    assert algorithms.tag(settled(spec.algorithm)) == name


def test_many_ranks_do_not_wait_for_each_other_unless_they_are_told() -> None:
    wide = JobSpec(data=CSV, model=models.Svm(), exchange=Exchange(channel="redis"), workers=100)
    assert isinstance(with_algorithm(wide).algorithm, algorithms.ModelAveraging)


def test_ranks_that_cannot_run_at_once_do_not_wait_for_each_other() -> None:
    job = JobSpec(data=CSV, model=models.Svm(), exchange=Exchange(channel="redis"), workers=12)
    assert isinstance(with_algorithm(job, concurrency=12).algorithm, algorithms.GradientAveraging)
    assert isinstance(with_algorithm(job, concurrency=11).algorithm, algorithms.ModelAveraging)


def test_an_algorithm_that_the_exchange_excludes_is_not_chosen() -> None:
    """Model averaging with l1 is refused with compression, but nobody has asked for it."""
    exchange = Exchange(compression="float16")
    job = JobSpec(data=CSV, model=models.Svm(l1=0.1), exchange=exchange)
    assert isinstance(with_algorithm(job).algorithm, algorithms.GradientAveraging)
    assert contradictions(job) == []


@pytest.mark.parametrize(
    ("workers", "before", "after", "rate"),
    [
        (4, "async", "async", 0.05),
        (4, "reduce", "async", 0.025),
        (2, "reduce", "async", 0.05),
        (2, "async", "reduce", 0.2),
        (4, "reduce", "reduce_scatter", 0.1),
    ],
)
def test_asynchronous_ranks_share_the_rate_of_a_resumed_job(
    workers: int, before: Pattern, after: Pattern, rate: float
) -> None:
    first = JobSpec(
        data=CSV,
        model=models.Svm(),
        workers=2,
        algorithm=algorithms.GradientAveraging(learning_rate=0.1, batch_size=10),
        exchange=Exchange(pattern=before),
    )
    resumed = msgspec.structs.replace(first, workers=workers, exchange=Exchange(pattern=after))
    asked = msgspec.structs.replace(resumed, algorithm=None)
    given = settled(with_shared_batch(resumed, resumed, first).algorithm)
    chosen = settled(with_shared_batch(resumed, asked, first).algorithm)
    assert given == first.algorithm
    assert isinstance(chosen, algorithms.GradientAveraging)
    assert (chosen.learning_rate, chosen.batch_size) == (rate, 20 // workers)


MB = 2**20


@pytest.mark.parametrize(
    ("given", "n_parameters", "found"),
    [
        (algorithms.Admm(), 3640, algorithms.Admm),
        (algorithms.Admm(), 3641, algorithms.ModelAveraging),
        (algorithms.Admm(), 26_214, algorithms.ModelAveraging),
        (algorithms.Admm(), 26_215, algorithms.Admm),  # none has room
        (algorithms.LeastSquares(), 128, algorithms.Admm),
        (algorithms.LeastSquares(), 3641, algorithms.ModelAveraging),
        (algorithms.GradientAveraging(), 26_215, algorithms.GradientAveraging),
    ],
)
def test_a_large_model_gets_an_algorithm_that_needs_less_memory(
    given: algorithms.Algorithm, n_parameters: int, found: type[algorithms.Algorithm]
) -> None:
    job = JobSpec(data=CSV, model=models.LinearRegression(), algorithm=given)
    assert type(with_room(job, n_parameters, MB).algorithm) is found
    assert with_room(job, 10, MB) == job


@pytest.mark.parametrize("n_rows", [1, 2, 7])
def test_a_handful_of_rows_is_enough(n_rows: int) -> None:
    X, y = WIDE[:n_rows], np.arange(n_rows, dtype=np.float32)
    spec = JobSpec(
        data=CSV,
        model=models.LinearRegression(),
        algorithm=algorithms.GradientAveraging(),
        workers=1,
    )
    rate = settled(chosen(spec, X, y).algorithm)
    assert isinstance(rate, algorithms.GradientAveraging)
    assert 0 < settled(rate.learning_rate) < math.inf


def test_a_model_of_millions_of_parameters_has_no_rehearsals() -> None:
    X, y = pairs(np.eye(300, dtype=np.float32)), np.arange(300, dtype=np.float32)
    wide = CsrMatrix(X.indptr, X.indices, X.values, 20_000)
    spec = JobSpec(
        data=CSV, model=models.SoftmaxRegression(), algorithm=algorithms.ModelAveraging()
    )
    found = chosen(spec, wide, y).algorithm
    assert isinstance(found, algorithms.ModelAveraging)
    # The largest eigenvalue is that of the intercept's column, about 1.
    assert settled(found.learning_rate) == pytest.approx(0.25, rel=0.1)


@pytest.mark.parametrize("X", [np.zeros((50, 4), np.float32), WIDE * np.float32(1e30)])
def test_rows_without_a_scale_get_a_rate(X: Floats) -> None:
    y = (np.arange(50) % 2).astype(np.float32)
    spec = JobSpec(
        data=CSV, model=models.LogisticRegression(), algorithm=algorithms.GradientAveraging()
    )
    found = chosen(spec, X, y).algorithm
    assert isinstance(found, algorithms.GradientAveraging)
    assert settled(found.learning_rate) > 0
