"""Model averaging against mathematics."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Self

import msgspec
import numpy as np
import pytest

from stepml.job import algorithms, models, spec
from stepml.ml.algorithms import RankEpoch, build_algorithm
from stepml.ml.algorithms.model_averaging import AsynchronousModels
from stepml.ml.models.base import Floats
from tests.support.learning import Orchestra, job_of, rows

ASYNC = spec.Exchange(pattern="async")


def orchestra(
    shards: Any = 1,
    n_samples: int = 500,
    seed: int = 0,
    l2: float = 0.0,
    l1: float = 0.0,
    **fields: Any,
) -> Orchestra:
    algorithm = algorithms.ModelAveraging(**{"learning_rate": 0.5, "batch_size": 100} | fields)
    X, y = rows(n_samples)
    job = job_of(models.LogisticRegression(l1=l1, l2=l2), algorithm)
    return Orchestra(job, X, y, shards, seed=seed)


def test_one_worker_with_full_batches_is_plain_gradient_descent() -> None:
    alone = orchestra(batch_size=10**6, l2=0.1)
    X, y = rows()
    expected = np.zeros(7)
    for _ in range(20):
        outcome = alone.epoch()
        probabilities = 1 / (1 + np.exp(-(X @ expected[:-1] + expected[-1])))
        loss = -np.log(np.where(y == 1, probabilities, 1 - probabilities)).mean()
        assert outcome.training_loss == pytest.approx(loss, rel=1e-5)
        error = (probabilities - y) / len(y)
        expected -= 0.5 * (np.append(error @ X, error.sum()) + 0.1 * np.append(expected[:-1], 0))
    assert alone.state.parameters == pytest.approx(expected, abs=1e-5)


def test_ranks_count_by_their_rows() -> None:
    both = orchestra((200, 100), n_samples=300)
    trained = [both.train(rank) for rank in (0, 1)]
    outcome = both.epoch()
    expected = (2 * trained[0].parameters + trained[1].parameters) / 3
    assert outcome.state.parameters == pytest.approx(expected, rel=1e-5)
    losses = trained[0].loss_sum + trained[1].loss_sum
    assert outcome.training_loss == pytest.approx(losses / 300)


def test_the_same_seed_gives_the_same_bits_and_another_another_order() -> None:
    once, again, other = (
        orchestra(3, batch_size=50, seed=seed).epochs(2).tobytes() for seed in (0, 0, 1)
    )
    assert once == again
    assert once != other


@pytest.mark.parametrize(
    "optimiser", [{}, {"momentum": 0.9}, {"optimiser": "adam"}, {"momentum": 0.9, "l1": 0.1}]
)
@pytest.mark.parametrize("local_epochs", [1, 3])
@pytest.mark.parametrize("batch_size", [50, 70, 10**6])
def test_pausing_anywhere_changes_no_bit(
    batch_size: int, local_epochs: int, optimiser: dict[str, Any]
) -> None:
    whole, paused = (
        orchestra(batch_size=batch_size, local_epochs=local_epochs, **optimiser) for _ in range(2)
    )
    calls = 0

    def pause() -> bool:
        nonlocal calls
        calls += 1
        return True

    outcome, expected = paused.epoch(pause), whole.epoch()
    assert calls == math.ceil(500 / batch_size) * local_epochs - 1  # each call trained one batch
    assert outcome.state.parameters.tobytes() == expected.state.parameters.tobytes()
    assert outcome.training_loss == expected.training_loss
    for name, array in expected.state.extras.items():
        assert outcome.state.extras[name].tobytes() == array.tobytes()


def test_moments_start_afresh_each_epoch() -> None:
    """So an epoch equals the first epoch of a job that starts from the same state."""
    job = orchestra(2, momentum=0.9)
    after_one = job.epochs(1)
    again = orchestra(2, momentum=0.9)
    again.start = after_one
    again.state = again.algorithm.initial_state(again.model, after_one, again.sample)
    again.outcomes = list(job.outcomes)  # the second epoch's order of batches
    assert job.epochs(1).tobytes() == again.epochs(1).tobytes()


def test_training_leaves_the_common_parameters_alone() -> None:
    job = orchestra()
    job.state.parameters.flags.writeable = False  # as read from the store
    start: Floats = job.state.parameters
    job.epochs(1)
    assert not start.any()


def test_shards_of_one_row_and_a_class_missing_from_a_shard_are_no_trouble() -> None:
    X, y = rows(102)
    order = np.argsort(y, kind="stable")  # sorted by label
    job = job_of(models.LogisticRegression(), algorithms.ModelAveraging(batch_size=10))
    learner = Orchestra(job, X[order], y[order], (1, 50, 1, 50))
    losses = [learner.epoch().training_loss for _ in range(5)]
    assert np.isfinite(learner.state.parameters).all()
    assert losses == sorted(losses, reverse=True)


class Alone:
    """A shared model of one rank."""

    def __init__(self, vector: Floats) -> None:
        self.vector, self.applied, self.totals = vector, np.zeros(1), list[Any]()

    def pull(self) -> Self:
        return self

    def push(self, sequence: int, pulled: Self, change: Any, totals: Any) -> Self:
        self.vector = self.vector.copy()
        change(self.vector)
        self.applied[0] = sequence
        self.totals.append(totals)
        return self


@pytest.mark.parametrize("most_batches", [10_000, 3, 1])
@pytest.mark.parametrize(
    "fields", [{}, {"momentum": 0.9}, {"schedule": "cosine"}, {"momentum": 0.9, "l1": 0.05}]
)
def test_a_rank_alone_on_a_shared_model_takes_the_same_path(
    fields: dict[str, Any], most_batches: int
) -> None:
    """Schedule, moments and batches continue from update to update."""
    together = orchestra(local_epochs=3, batch_size=100, **fields)
    expected = together.epoch()
    algorithm = build_algorithm(msgspec.structs.replace(together.job, exchange=ASYNC))
    assert isinstance(algorithm, AsynchronousModels)
    algorithm = replace(algorithm, most_batches=most_batches)
    start = algorithm.initial_state(together.model, np.zeros(7, np.float32), together.sample)
    shared = Alone(algorithm.shared_vector(together.model, start))
    rank_epoch = RankEpoch(1, 0, (500,), 0)
    X, y = together.shard(0)
    assert algorithm.train(together.model, X, y, rank_epoch, shared)
    found = algorithm.state_of(together.model, shared.vector)
    assert found.parameters == pytest.approx(expected.state.parameters, abs=1e-5)
    assert len(shared.totals) == algorithm.n_updates((500,))
    losses, counts = np.sum(shared.totals, axis=0)
    assert losses / counts == pytest.approx(expected.training_loss, rel=1e-5)


def test_ranks_with_few_rows_make_as_many_updates() -> None:
    job = orchestra((1, 499), batch_size=100)
    algorithm = build_algorithm(msgspec.structs.replace(job.job, exchange=ASYNC))
    assert isinstance(algorithm, AsynchronousModels)
    algorithm = replace(algorithm, most_batches=1)
    assert algorithm.n_updates((1, 499)) == 5
    shared, (X, y) = Alone(np.zeros(7, np.float32)), job.shard(0)
    assert algorithm.train(job.model, X, y, RankEpoch(1, 0, (1, 499), 0), shared)
    assert shared.applied[0] == 5
    assert sum(rows for _, rows in shared.totals) == 1
