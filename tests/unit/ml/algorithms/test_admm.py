"""ADMM: the consensus equals one machine's solution, and residuals fall."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import ElasticNet, LinearRegression, Ridge
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.metrics import log_loss

from stepml.job import algorithms, models
from stepml.job.choices import inherited
from stepml.ml.algorithms import Outcome, State
from stepml.ml.algorithms.admm import Admm
from stepml.ml.algorithms.rho import Rule, next_rho
from stepml.ml.algorithms.state import Residuals
from stepml.ml.models.base import Floats, LossModel
from stepml.ml.sample_objective import minimum
from tests.support.learning import Orchestra, job_of, model_for, rows

TIGHT = {"absolute_tolerance": 0.0, "relative_tolerance": 1e-5}


def consensus_of(
    model: models.Model, X: Floats, y: Floats, shards: Any = 4, **fields: Any
) -> Orchestra:
    return Orchestra(job_of(model, algorithms.Admm(**fields)), X, y, shards)


def regression_rows(n_samples: int = 600) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n_samples, 8)).astype(np.float32)
    y = X @ np.array([3, -2, 0, 0, 1, 0, 0, 0.5]) + 4 + 0.3 * rng.normal(size=n_samples)
    return X, y.astype(np.float32)


def solution_distance(found: Floats, coefficients: Any, intercept: Any) -> float:
    expected = np.append(np.ravel(coefficients), intercept)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("shards", [1, 4, (500, 1, 99)])
@pytest.mark.parametrize("fields", [{"rho": 0.1}, {"rho": 5.0, "adaptive_rho": True}])
def test_the_solution_is_the_direct_one(shards: Any, fields: dict[str, Any]) -> None:
    X, y = rows(600)
    job = consensus_of(models.LogisticRegression(l2=0.05), X, y, shards, **TIGHT, **fields)
    found = job.epochs(200)
    reference = Reference(C=1 / (0.05 * len(y)), tol=1e-10, max_iter=10_000).fit(X, y)
    assert solution_distance(found, reference.coef_, reference.intercept_) < 1e-3


@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_ridge_is_scikit_learns(l2: float) -> None:
    X, y = regression_rows()
    found = consensus_of(models.LinearRegression(l2=l2), X, y, rho=0.5, **TIGHT).epochs(200)
    reference = Ridge(alpha=l2 * len(y), solver="cholesky").fit(X.astype(float), y)
    assert solution_distance(found, reference.coef_, reference.intercept_) < 1e-3


def test_the_lasso_is_scikit_learns_and_its_zeros_are_exact() -> None:
    X, y = regression_rows()
    model = models.LinearRegression(l1=0.2, l2=0.1)
    found = consensus_of(model, X, y, rho=0.5, **TIGHT).epochs(200)
    reference = ElasticNet(alpha=0.3, l1_ratio=2 / 3, tol=1e-10).fit(X.astype(float), y)
    assert solution_distance(found, reference.coef_, reference.intercept_) < 1e-3
    assert np.array_equal(found[:-1] == 0, reference.coef_ == 0)
    assert (found[:-1] == 0).any()


@pytest.mark.parametrize(("scale", "offset"), [(1.5e7, 4e7), (1e12, 0.0), (1e-6, 0.0)])
@pytest.mark.parametrize("shards", [1, 3])
def test_labels_of_any_size_are_learnt(scale: float, offset: float, shards: int) -> None:
    X, y = regression_rows()
    labels = (scale * (y - 4) / 4 + offset).astype(np.float32)
    job = consensus_of(models.LinearRegression(), X, labels, shards)
    w = job.epochs(30)
    assert job.model.evaluate(w, X, labels).metrics["r2"] > 0.98


def test_residuals_fall_and_end_the_job_when_they_are_small() -> None:
    X, y = rows(600)
    job = consensus_of(models.LogisticRegression(l2=0.01), X, y, rho=0.1)
    job.epochs(100)
    assert job.outcomes[0].residuals is None  # they come an epoch late
    residuals = [each.residuals for each in job.outcomes[1:]]
    sizes = [each.primal + each.dual for each in residuals if each]
    assert all(later < earlier for earlier, later in pairwise(sizes))
    assert job.outcomes[-1].converged == "both residuals are within their tolerances"
    assert len(job.outcomes) < 60


def test_residuals_are_those_of_the_definition() -> None:
    """Boyd et al. 2011, section 3.3, computed from the states of ranks and consensus."""
    X, y = rows(300)
    tolerances = {"absolute_tolerance": 1e-4, "relative_tolerance": 1e-3}
    job = consensus_of(models.LogisticRegression(l2=0.01), X, y, 3, rho=0.2, **tolerances)
    xs, zs, us = [], [job.state.parameters], []
    for _ in range(4):
        job.epoch()
        xs.append([rank_state["x"].astype(float) for rank_state in job.rank_states])
        zs.append(job.state.parameters)
        us.append([rank_state["u"].astype(float) for rank_state in job.rank_states])
    largest, largest_dual = 0.0, 0.0
    for late in (1, 2, 3):  # the outcome of epoch late + 1 describes epoch late
        found = job.outcomes[late].residuals
        assert found is not None
        x, z, before = xs[late - 1], zs[late].astype(float), zs[late - 1].astype(float)
        primal = np.sqrt(sum(np.sum((each - z) ** 2) for each in x))
        dual = 0.2 * np.sqrt(3) * np.linalg.norm(z - before)
        assert found.primal == pytest.approx(primal, rel=1e-4)
        assert found.dual == pytest.approx(dual, rel=1e-4)
        norm = max(np.linalg.norm(x), np.sqrt(3) * np.linalg.norm(z))
        largest = max(largest, norm)  # all parameters are below 1, so this is the unit
        assert found.primal_tolerance == pytest.approx(1e-4 * largest + 1e-3 * norm, rel=1e-4)
        u = np.linalg.norm(us[late])  # the dual after the epoch, used in the next one
        largest_dual = max(largest_dual, dual, 0.2 * u)
        expected = 1e-4 * largest_dual + 1e-3 * 0.2 * u
        assert found.dual_tolerance == pytest.approx(expected, rel=1e-4)


def distant_and_exact(n_samples: int = 200) -> tuple[Floats, Floats]:
    """Return rows of which one feature is the label, and the other one is large."""
    number = np.random.default_rng(0).permutation(n_samples)
    X = np.stack([1_000_000 + 1000 * number, number % 5], axis=1).astype(np.float32)
    return X, (number % 5).astype(np.float32)


def scaled_apart(n_samples: int = 400) -> tuple[Floats, Floats]:
    """Return rows whose features differ in scale by five orders of magnitude."""
    rng = np.random.default_rng(0)
    scales = 10.0 ** np.arange(-2, 4)
    X = (rng.normal(size=(n_samples, 6)) * scales).astype(np.float32)
    return X, (X @ (1 / scales) + 0.3 * rng.normal(size=n_samples)).astype(np.float32)


def tiny_labels() -> tuple[Floats, Floats]:
    X, y = regression_rows()
    return X, y * np.float32(1e-6)


def collinear(n_samples: int = 400) -> tuple[Floats, Floats]:
    """Return rows whose features are nearly the same."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(n_samples, 1))
    X = (common + 0.03 * rng.normal(size=(n_samples, 5))).astype(np.float32)
    return X, (X @ np.array([3, -2, 1, 0, -1]) + 0.05 * rng.normal(size=n_samples)).astype(
        np.float32
    )


def behind_a_large_intercept() -> tuple[Floats, Floats]:
    X, y = regression_rows()
    return X, y + np.float32(3000)


def standardised(X: Floats) -> Floats:
    scaled: Floats = ((X - X.mean(axis=0, dtype=float)) / X.std(axis=0, dtype=float)).astype(
        np.float32
    )
    return scaled


LITTLE: list[dict[str, Any]] = [
    {},
    {"adaptive_rho": False},
    {"local_iterations": 1},
    {"local_solver": "sgd"},
    {"local_solver": "sgd", "learning_rate": 1e-4},
    {"rho": 1e4, "adaptive_rho": False},
    {"rho": 1e-6, "adaptive_rho": False},
]


@pytest.mark.parametrize("fields", LITTLE, ids=lambda fields: " ".join(map(str, fields.values())))
@pytest.mark.parametrize(
    "source", [distant_and_exact, scaled_apart, tiny_labels, collinear, behind_a_large_intercept]
)
def test_a_regression_has_converged_only_at_its_minimum(
    source: Callable[[], tuple[Floats, Floats]], fields: dict[str, Any]
) -> None:
    X, y = source()
    job = consensus_of(models.LinearRegression(), X, y, **fields)
    with np.errstate(all="ignore"):  # large features may diverge
        w = job.epochs(15)
    if not job.outcomes[-1].converged:
        return
    best = LinearRegression().fit(X.astype(float), y).score(X.astype(float), y)
    assert job.model.evaluate(w, X, y).metrics["r2"] > best - 0.01 * (1 - best) - 1e-4


@pytest.mark.parametrize("fields", LITTLE[:3], ids=str)
def test_an_ordinary_regression_converges(fields: dict[str, Any]) -> None:
    X, y = distant_and_exact()
    job = consensus_of(models.LinearRegression(), standardised(X), y, **fields)
    w = job.epochs(60)
    assert job.outcomes[-1].converged
    assert job.model.evaluate(w, standardised(X), y).metrics["r2"] > 0.9999


@pytest.mark.parametrize("fields", LITTLE, ids=lambda fields: " ".join(map(str, fields.values())))
@pytest.mark.parametrize("factor", [1.0, 1e-4, 300.0])
def test_a_classifier_has_converged_only_at_its_minimum(
    factor: float, fields: dict[str, Any]
) -> None:
    X, y = rows(400)
    X = X * np.float32(factor)
    job = consensus_of(models.LogisticRegression(), X, y, **fields)
    w = job.epochs(15)
    if job.outcomes[-1].converged:
        reference = Reference(C=np.inf, tol=1e-10, max_iter=10_000).fit(X / factor, y)
        best = log_loss(y, reference.predict_proba(X / factor))
        assert job.model.evaluate(w, X, job.model.targets(y)).loss < 1.01 * best


def test_one_pass_of_steps_does_not_converge_by_itself() -> None:
    """The objective has to rest for several epochs if the loss is not smooth."""
    X, y = rows(400)
    slow = consensus_of(models.Svm(l2=0.01), X, y, learning_rate=1e-6, rho=1e-3)
    slow.epochs(6)
    assert not slow.outcomes[-1].converged
    falls = [each.residuals.fall for each in slow.outcomes[1:] if each.residuals]
    assert falls[:4] == [None] * 4
    assert falls[4] is not None


def test_an_objective_at_zero_has_converged() -> None:
    X, _ = regression_rows(60)
    job = consensus_of(models.LinearRegression(), X, np.zeros(60, np.float32))
    job.epochs(10)
    assert job.outcomes[-1].converged


@pytest.mark.parametrize("seed", range(4))
def test_an_objective_that_starts_at_zero_has_converged(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 8)).astype(np.float32)
    y = (X @ rng.normal(size=8)).astype(np.float32)
    job = job_of(models.LinearRegression(), algorithms.Admm(start="sample", rho=0.5))
    model = model_for(job.model, X, y)
    assert isinstance(model, LossModel)
    ranks = Orchestra(job, X, y, 2, minimum(model, (X, model.targets(y))).parameters)
    ranks.epochs(3)
    assert ranks.outcomes[-1].converged


def test_a_consensus_far_above_an_earlier_one_has_not_converged() -> None:
    rng = np.random.default_rng(0)
    X = (1e8 * rng.normal(size=(360, 4)) + 1e9).astype(np.float32)
    y = (X @ [1, -1, 0.5, 0] / 1e8 - 5 + rng.logistic(size=360) > 0).astype(np.float32)
    job = job_of(models.LogisticRegression(), algorithms.Admm(start="sample", rho=1e6))
    model = model_for(job.model, X, y)
    assert isinstance(model, LossModel)
    ranks = Orchestra(job, X, y, 2, minimum(model, (X, model.targets(y))).parameters)
    ranks.epochs(3)
    assert ranks.outcomes[0].training_loss < 1
    assert not any(each.converged for each in ranks.outcomes)


def test_parameters_that_a_penalty_forbids_converge() -> None:
    X, y = regression_rows(300)
    job = consensus_of(models.LinearRegression(l1=100.0), X, y)
    w = job.epochs(60)
    assert job.outcomes[-1].converged
    assert not w[:-1].any()


def test_a_state_of_an_earlier_version_goes_on() -> None:
    X, y = rows(300)
    job = consensus_of(models.LogisticRegression(l2=0.05), X, y)
    job.epochs(3)
    extras = {name: each for name, each in job.state.extras.items() if name != "course"}
    job.state = State(job.state.parameters, extras)
    job.epochs(100)
    assert job.outcomes[-1].converged


def test_the_fall_that_is_said_is_about_the_true_one() -> None:
    X, y = rows(600)
    least = consensus_of(models.LogisticRegression(l2=0.01), X, y)
    least.epochs(40)
    job = consensus_of(models.LogisticRegression(l2=0.01), X, y, local_iterations=2)

    def objective(w: Floats) -> float:
        return job.model.evaluate(w, X, job.model.targets(y)).loss + job.model.penalty.value(w)

    job.epoch()
    assert (
        job.outcomes[-1].lacks == "it is not known yet how far the objective can fall"
    )  # its ranks do not know z yet
    before = job.state.parameters
    job.epoch()
    gap = objective(before) / objective(least.state.parameters) - 1
    said = re.fullmatch(r"the objective can fall by about (\S+)%", job.outcomes[-1].lacks)
    assert said is not None
    assert 0.3 * gap < float(said[1]) / 100 < 3 * gap
    job.epochs(40)
    assert job.outcomes[-1].lacks == "the objective can fall by less than 0.01%"


def test_of_a_loss_that_is_not_smooth_the_last_change_is_said() -> None:
    X, y = rows(200)
    job = consensus_of(models.Svm(l2=0.01), X, y, local_solver="sgd", batch_size=20)
    job.epochs(3)
    assert job.outcomes[-1].lacks == "it is not known yet how far the objective can fall"
    job.epochs(8)
    assert re.fullmatch(
        r"the objective changed by (about \S+|less than 0.01)% in the last 5 epochs",
        job.outcomes[-1].lacks,
    )


def test_adaptive_rho_balances_the_residuals() -> None:
    X, y = rows(600)
    fixed, adaptive = (
        consensus_of(models.LogisticRegression(l2=0.01), X, y, rho=50.0, adaptive_rho=adapts)
        for adapts in (False, True)
    )
    for job in (fixed, adaptive):
        job.epochs(40)
    assert adaptive.state.extras["rho"].item() < 50
    assert len(adaptive.outcomes) < len(fixed.outcomes)


@pytest.mark.parametrize("rule", [True, "relative"])
def test_rho_stays_within_what_float32_holds(rule: Rule) -> None:
    """A consensus that l1 holds at 0 rests, and ranks that agree do so at every rho."""
    apart = Residuals(1.0, 1.0, 0.1, 0.0, 1.0, 0.1, None, 0.1)
    alike = replace(apart, primal=0.0, dual=1.0)
    for residuals, low, high in ((apart, 1e11, 1e13), (alike, 1e-13, 1e-11)):
        rho = 1.0
        for _ in range(2000):
            rho = next_rho(rule, rho, residuals)
        assert low < rho < high


def test_rho_follows_residuals_relative_to_their_sizes() -> None:
    data = load_breast_cancer()  # nearly separable: curvatures are far below 1
    X = (data.data - data.data.mean(0)) / data.data.std(0)
    y, l2 = data.target, 0.002
    reference = Reference(C=1 / (l2 * len(y)), tol=1e-8, max_iter=10_000).fit(X, y)
    least = log_loss(y, reference.predict_proba(X)) + l2 / 2 * np.sum(reference.coef_**2)
    model = models.LogisticRegression(l2=l2)
    job = consensus_of(model, X.astype(np.float32), y.astype(np.float32), adaptive_rho="relative")
    w = job.epochs(40)
    assert job.outcomes[-1].converged
    assert job.model.evaluate(w, job.X, job.model.targets(job.labels)).loss + l2 / 2 * np.sum(
        w[:-1] ** 2
    ) == pytest.approx(least, rel=1e-3)


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_pausing_anywhere_changes_no_bit(solver: str) -> None:
    X, y = rows(300)
    outcomes: list[list[Outcome]] = []
    for must_pause in (None, lambda: True):
        job = consensus_of(
            models.LogisticRegression(), X, y, 3, local_solver=solver, batch_size=20, local_epochs=2
        )
        for _ in range(3):
            job.epoch(must_pause)
        outcomes.append(job.outcomes)
    for whole, paused in zip(*outcomes, strict=True):
        assert whole.state.parameters.tobytes() == paused.state.parameters.tobytes()
        assert whole.training_loss == paused.training_loss


@pytest.mark.parametrize("model", [models.Svm(l2=0.01), models.LogisticRegression(l2=0.01)])
def test_steps_on_the_ranks_learn_as_well(model: models.Model) -> None:
    X, y = rows(2000)
    fields = {"local_solver": "sgd", "local_epochs": 5, "batch_size": 20, "learning_rate": 0.05}
    job = consensus_of(model, X, y, **fields)
    w = job.epochs(20)
    reference = Reference().fit(X, y)
    found = job.model.evaluate(w, X, job.model.targets(y)).metrics["accuracy"]
    assert found > reference.score(X, y) - 0.01


@pytest.mark.parametrize("fields", [{"rho": 100.0}, {"rho": 10.0, "learning_rate": 0.5}])
@pytest.mark.parametrize("adaptive_rho", [False, True, "relative"])
def test_steps_stay_finite_however_strong_the_agreement_is(
    fields: dict[str, Any], adaptive_rho: Rule
) -> None:
    X, y = rows(3000)
    job = consensus_of(
        models.Svm(l2=0.01), X, y, (100, 900, 2000), adaptive_rho=adaptive_rho, **fields
    )
    first = job.model.evaluate(job.state.parameters, X, job.model.targets(y)).loss
    w = job.epochs(15)
    assert job.model.evaluate(w, X, job.model.targets(y)).loss < first


def test_a_pause_within_an_iteration_changes_no_bit() -> None:
    X, y = rows(300)
    whole, paused = (consensus_of(models.LogisticRegression(), X, y, 2) for _ in range(2))
    for each in (whole, paused):
        assert isinstance(each.algorithm, Admm)
        each.algorithm = replace(each.algorithm, block_rows=16)
    looks = itertools.cycle([False] * 23 + [True])  # occasionally, between the rows
    for _ in range(3):
        expected, found = whole.epoch(), paused.epoch(looks.__next__)
        assert found.state.parameters.tobytes() == expected.state.parameters.tobytes()


def test_data_sorted_by_label_are_no_trouble() -> None:
    """Averaged models only come close; the consensus is the solution."""
    X, y = rows(600)
    order = np.argsort(y, kind="stable")
    job = consensus_of(models.LogisticRegression(l2=0.05), X[order], y[order], **TIGHT)
    found = job.epochs(400)
    reference = Reference(C=1 / (0.05 * len(y)), tol=1e-10, max_iter=10_000).fit(X, y)
    assert solution_distance(found, reference.coef_, reference.intercept_) < 5e-3


def test_a_resumed_job_keeps_the_rho_of_an_earlier_version() -> None:
    model = models.LogisticRegression()
    before = job_of(model, algorithms.Admm(rho=0.1, adaptive_rho=False))
    asked = msgspec.structs.replace(before, algorithm=algorithms.Admm())
    resumed = inherited(asked, before).algorithm
    assert resumed is not None
    assert resumed.chosen() == before.algorithm
    assert algorithms.Admm().chosen() == algorithms.Admm(
        adaptive_rho="relative", objective_tolerance=1e-4
    )
    assert algorithms.Admm(adaptive_rho=True).chosen().rho == 0.01
    assert algorithms.Admm(rho=0.1).chosen().objective_tolerance == 0
    assert algorithms.Admm(adaptive_rho=False).chosen().rho == 0.1
