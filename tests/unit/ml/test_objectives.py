"""Every optimiser with every penalty and model reaches the minimum of the documented objective.

The minimum is SciPy's, which is scikit-learn's where that has such a model. The objective is within
1 % of it, and with l1 the same coefficients are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn.linear_model import ElasticNet
from sklearn.linear_model import LogisticRegression as LogisticReference

from stepml.job import algorithms, models, spec
from stepml.ml.algorithms import GradientAveraging, RankEpoch, RankProgress, State, build_algorithm
from stepml.ml.algorithms.base import AsynchronousAlgorithm
from stepml.ml.models.base import Array, Floats, LossModel
from tests.support.learning import (
    Orchestra,
    Peer,
    Ranks,
    averaged_gradients,
    cuts_of,
    job_of,
    model_for,
)

N, D = 360, 6
EPOCHS = 60
Data = tuple[Floats, Floats]


@cache
def features() -> Floats:
    """Return correlated features of different scales."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(N, 2)) @ rng.normal(size=(2, D)) + 1.5 * rng.normal(size=(N, D))
    X = (X - X.mean(axis=0)) / X.std(axis=0) * np.geomspace(0.7, 1.5, D) + 0.2
    return X.astype(np.float32)


@cache
def data_for(name: str) -> Data:
    """Return rows on which half of the features have no influence."""
    X, rng = features(), np.random.default_rng(6)
    if name == "linear":
        y = X @ [2, 0, -1.5, 0, 1, 0] + 3 + 2 * rng.normal(size=N)
    elif name == "softmax":
        z = X @ [[1.5, -1, 0], [0, 0, 0], [-1, 0, 1], [0, 0, 0], [0, 1, -1], [0, 0, 0]]
        y = np.argmax(z + rng.gumbel(size=(N, 3)), axis=1)
    else:
        y = X @ [1.5, 0, -1, 0, 0.7, 0] + 0.5 + 1.5 * rng.normal(size=N) > 0
    return X, np.asarray(y, np.float32)


MODELS: dict[str, type[Any]] = {
    "linear": models.LinearRegression,
    "logistic": models.LogisticRegression,
    "softmax": models.SoftmaxRegression,
    "svm": models.Svm,
}
PENALTIES = {
    "none": (0.0, 0.0),
    "l2": (0.0, 0.1),
    "l1": (0.06, 0.0),
    "both": (0.07, 0.03),
}


def objective(model: LossModel, w: Array, X: Floats, y: Floats) -> float:
    loss = model.evaluate(w.astype(np.float32), X, model.targets(y)).loss
    c = np.asarray(w[: model.penalty.n_coefficients], np.float64)
    return loss + model.penalty.l1 * float(abs(c).sum()) + model.penalty.l2 / 2 * float(c @ c)


def loss_at(name: str, z: Array, y: Array) -> tuple[float, Array]:
    """Return the mean loss at decision values, (N, n_outputs), and its derivatives."""
    if name == "linear":
        return 0.5 * float(np.mean((z[:, 0] - y) ** 2)), (z - y[:, None]) / N
    if name == "softmax":
        own = np.arange(N), y.astype(int)
        chances = softmax(z, axis=1)
        loss = -float(np.log(chances[own]).mean())
        chances[own] -= 1
        return loss, chances / N
    sides = 2 * y[:, None] - 1
    if name == "logistic":
        return float(np.logaddexp(0, -sides * z).mean()), -sides * expit(-sides * z) / N
    width, miss = 1e-3, 1 - sides * z  # the kink of the hinge loss is rounded
    inside = np.clip(miss / width, 0, 1)
    loss = np.where(miss > width, miss - width / 2, width / 2 * inside**2).mean()
    return float(loss), -inside * sides / N


def minimum(name: str, l1: float, l2: float) -> Array:
    """Return SciPy's minimum: coefficients, (D, n_outputs), row by row, then the intercepts.

    Coefficients are differences of two numbers that may not be negative.
    """
    (X, y), n_outputs = data_for(name), 3 if name == "softmax" else 1
    wide, n = np.column_stack([X, np.ones(N)]).astype(np.float64), D * n_outputs

    def value(parts: Array) -> tuple[float, Array]:
        w = parts[:-n].copy()
        w[:n] -= parts[-n:]
        loss, slopes = loss_at(name, wide @ w.reshape(-1, n_outputs), y)
        gradient = (wide.T @ slopes).ravel()
        gradient[:n] += l2 * w[:n]
        both = np.concatenate([gradient, -gradient[:n]])
        both[:n] += l1
        both[-n:] += l1
        return loss + l1 * (parts[:n].sum() + parts[-n:].sum()) + l2 / 2 * w[:n] @ w[:n], both

    bounds = [(0, None)] * n + [(None, None)] * n_outputs + [(0, None)] * n
    options = {"maxiter": 20000, "maxfun": 40000, "ftol": 1e-15, "gtol": 1e-8}
    start = np.zeros(2 * n + n_outputs)
    found = minimize(value, start, jac=True, bounds=bounds, method="L-BFGS-B", options=options).x
    w: Array = found[:-n].copy()
    w[:n] -= found[-n:]
    return w


class Best(NamedTuple):
    """The minimum of an objective."""

    model: LossModel
    w: Array
    value: float


@cache
def best_of(name: str, penalty: str) -> Best:
    (X, y), (l1, l2) = data_for(name), PENALTIES[penalty]
    model = model_for(MODELS[name](l1=l1, l2=l2), X, y)
    assert isinstance(model, LossModel)
    w = minimum(name, l1, l2)
    return Best(model, w, objective(model, w, X, y))


@pytest.mark.parametrize("name", ["linear", "logistic"])
@pytest.mark.parametrize("penalty", ["l1", "both"])
def test_scikit_learn_finds_the_same_minimum(name: str, penalty: str) -> None:
    l1, l2 = PENALTIES[penalty]
    share, (X, y) = l1 / (l1 + l2), data_for(name)
    estimator = (
        ElasticNet(l1 + l2, l1_ratio=share, tol=1e-9)
        if name == "linear"
        else LogisticReference(
            C=1 / ((l1 + l2) * N), l1_ratio=share, solver="saga", tol=1e-5, max_iter=5000
        )
    )
    fitted = estimator.fit(X.astype(np.float64), y)
    _, expected, _ = best_of(name, penalty)
    found = np.append(np.squeeze(fitted.coef_), fitted.intercept_)
    assert found == pytest.approx(expected, abs=1e-3)
    assert ((found == 0) == (expected == 0)).all()


def check(name: str, penalty: str, w: Floats) -> None:
    model, expected, least = best_of(name, penalty)
    X, y = data_for(name)
    assert objective(model, w, X, y) < 1.01 * least
    if model.penalty.l1:
        n = model.penalty.n_coefficients
        assert (w[:n] == 0).tolist() == (expected[:n] == 0).tolist()


RATES = {"linear": 0.1, "logistic": 0.5, "softmax": 0.5, "svm": 0.3}
OPTIMISERS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "adam": {"optimiser": "adam", "learning_rate": 0.1},
}


def job_for(name: str, penalty: str, kind: Any, optimiser: str, **fields: Any) -> spec.JobSpec:
    l1, l2 = PENALTIES[penalty]
    chosen = OPTIMISERS[optimiser]
    rate = RATES[name] / (5 if "momentum" in chosen else 1)
    common = {"learning_rate": rate, "batch_size": 40, "schedule": "cosine"}
    return job_of(MODELS[name](l1=l1, l2=l2), kind(**common | chosen | fields), max_epochs=EPOCHS)


def alone(job: spec.JobSpec, X: Floats, y: Floats) -> Floats:
    """Return the parameters after gradient averaging of one rank."""
    algorithm = build_algorithm(job)
    assert isinstance(algorithm, GradientAveraging)
    model = model_for(job.model, X, y)
    assert isinstance(model, LossModel)
    state = algorithm.initial_state(model, model.initial_parameters(), lambda: (X, y))
    for number in range(1, job.stop.max_epochs + 1):
        progress = RankProgress(state.parameters, extras=state.extras)
        epoch, peer = RankEpoch(number, 0, (N,), 0), Peer(Ranks(1), 0)
        *_, last = algorithm.steps(model, progress, X, model.targets(y), epoch, peer)
        state = last.state
    return state.parameters


CELLS = [(name, penalty) for name in MODELS for penalty in PENALTIES]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize(("name", "penalty"), CELLS)
def test_gradient_averaging(name: str, penalty: str, optimiser: str) -> None:
    job = job_for(name, penalty, algorithms.GradientAveraging, optimiser)
    check(name, penalty, alone(job, *data_for(name)))


@pytest.mark.parametrize("optimiser", ["momentum", "adam"])
def test_gradient_averaging_of_several_ranks(optimiser: str) -> None:
    job = job_for("linear", "l1", algorithms.GradientAveraging, optimiser)
    done = averaged_gradients(job, *data_for("linear"), (100, 140, 120), EPOCHS)
    check("linear", "l1", done.parameters)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("name", ["logistic", "softmax"])
def test_clipping_slows_down_and_no_more(name: str, optimiser: str) -> None:
    """At the minimum, the gradient without the subgradient of l1 is longer than the limit."""
    job = job_for(name, "l1", algorithms.GradientAveraging, optimiser, clip_norm=0.06)
    check(name, "l1", alone(job, *data_for(name)))


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize("name", MODELS)
def test_zeros_of_a_constant_rate(name: str, optimiser: str) -> None:
    """The batches' noise makes the objective inexact, but its zeros are 0."""
    job = job_for(name, "both", algorithms.GradientAveraging, optimiser, schedule="constant")
    model, expected, least = best_of(name, "both")
    w, n = alone(job, *data_for(name)), model.penalty.n_coefficients
    assert objective(model, w, *data_for(name)) < 1.02 * least
    assert not w[:n][expected[:n] == 0].any()


@pytest.mark.parametrize(
    ("optimiser", "name", "penalty"),
    [
        (optimiser, *cell)
        for optimiser in OPTIMISERS
        for cell in CELLS
        if optimiser != "adam" or not PENALTIES[cell[1]][0]  # refused
    ],
)
def test_model_averaging(optimiser: str, name: str, penalty: str) -> None:
    job = job_for(name, penalty, algorithms.ModelAveraging, optimiser, local_epochs=3)
    check(name, penalty, Orchestra(job, *data_for(name), 3).epochs(EPOCHS))


@pytest.mark.parametrize("batch_size", [119, 60, 17])
@pytest.mark.parametrize("name", ["linear", "logistic"])
def test_rows_count_alike_if_batches_do_not_divide_a_shard(name: str, batch_size: int) -> None:
    """A last batch of one row counted as much as the 119 before it: 14 % above the minimum."""
    job = job_for(name, "l2", algorithms.ModelAveraging, "sgd", batch_size=batch_size)
    algorithm = msgspec.structs.replace(job.algorithm, learning_rate=2 * RATES[name])
    job = msgspec.structs.replace(job, algorithm=algorithm)
    check(name, "l2", Orchestra(job, *data_for(name), 3).epochs(EPOCHS))


@pytest.mark.parametrize(("name", "penalty"), CELLS)
def test_admm(name: str, penalty: str) -> None:
    l1, l2 = PENALTIES[penalty]
    fields: dict[str, Any] = {"local_epochs": 3, "batch_size": 20} if name == "svm" else {}
    algorithm = algorithms.Admm(absolute_tolerance=0.0, relative_tolerance=0.0, **fields)
    job = job_of(MODELS[name](l1=l1, l2=l2), algorithm, max_epochs=EPOCHS)
    check(name, penalty, Orchestra(job, *data_for(name), 3).epochs(EPOCHS))


@dataclass(eq=False)
class Turn:
    """A shared model, seen by the rank whose turn it is."""

    vector: Floats
    applied: Array
    rank: int = 0

    def pull(self) -> Self:
        return self

    def push(self, sequence: int, pulled: Self, change: Any, totals: Any) -> Self:
        self.vector = self.vector.copy()
        change(self.vector)
        self.applied[self.rank] = sequence
        return self


def in_turns(job: spec.JobSpec, X: Floats, y: Floats, world_size: int) -> Floats:
    """Return the parameters after epochs in which one rank after the other updates the model."""
    exchange = spec.Exchange(pattern="async")
    algorithm = build_algorithm(msgspec.structs.replace(job, exchange=exchange))
    assert isinstance(algorithm, AsynchronousAlgorithm)
    model, cuts = model_for(job.model, X, y), cuts_of(N, world_size)
    assert isinstance(model, LossModel)
    state, ends = State(model.initial_parameters()), np.cumsum([0, *cuts])
    for number in range(1, job.stop.max_epochs + 1):
        shared = Turn(algorithm.shared_vector(model, state), np.zeros(world_size))
        for rank in range(world_size):
            shared.rank, rows = rank, slice(ends[rank], ends[rank + 1])
            epoch, targets = RankEpoch(number, rank, cuts, 0), model.targets(y[rows])
            assert algorithm.train(model, X[rows], targets, epoch, shared)
        state = algorithm.state_of(model, shared.vector)
    return state.parameters


@pytest.mark.parametrize("kind", [algorithms.GradientAveraging, algorithms.ModelAveraging])
@pytest.mark.parametrize("optimiser", ["sgd", "momentum"])
@pytest.mark.parametrize("name", MODELS)
def test_asynchronous_updates(name: str, optimiser: str, kind: Any) -> None:
    job = job_for(name, "both", kind, optimiser)
    check(name, "both", in_turns(job, *data_for(name), 2))
