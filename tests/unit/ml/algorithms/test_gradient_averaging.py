"""Gradient averaging: many workers equal one on the whole batch, and replicas stay equal."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from stepml.job import algorithms, models
from stepml.ml.algorithms import GradientAveraging, RankEpoch, RankProgress
from stepml.ml.algorithms.gradient_averaging import Batches
from tests.support.learning import InFlightEpoch, Peer, Ranks, averaged_gradients, job_of, rows


def epoch_of(
    shard_rows: tuple[int, ...],
    batch_size: int = 40,
    l2: float = 0.0,
    l1: float = 0.0,
    learning_rate: float = 0.5,
    **fields: Any,
) -> InFlightEpoch:
    """Return an epoch on shards of these sizes."""
    algorithm = algorithms.GradientAveraging(
        learning_rate=learning_rate, batch_size=batch_size, **fields
    )
    job = job_of(models.LogisticRegression(l1=l1, l2=l2), algorithm)
    return InFlightEpoch(job, *rows(sum(shard_rows)), shard_rows)


def after(progress: RankProgress | None) -> RankProgress:
    """Return the state at the start of an epoch, the first or a later one."""
    state = progress.state if progress else epoch_of((100,)).state
    assert state is not None
    return RankProgress(state.parameters, extras=state.extras)


def bits_of(progress: RankProgress) -> tuple[bytes, ...]:
    """Return the arrays that must be equal in all replicas."""
    extras = (array.tobytes() for _, array in sorted(progress.extras.items()))
    return progress.parameters.tobytes(), *extras


SHARDS = [(500,), (250, 250), (200, 130, 170), (97, 1, 2), (3, 1, 1, 1, 1, 1, 1, 1)]


@pytest.mark.parametrize("batch_size", [1, 7, 40, 1000])
@pytest.mark.parametrize("shard_rows", SHARDS)
def test_an_epoch_takes_every_row_once_in_batches_of_like_size(
    shard_rows: tuple[int, ...], batch_size: int
) -> None:
    algorithm = GradientAveraging(algorithms.GradientAveraging(batch_size=batch_size), max_epochs=1)
    n_batches = algorithm.n_batches(shard_rows)
    assert n_batches == math.ceil(max(shard_rows) / batch_size)
    plans = [
        Batches.plan(RankEpoch(1, r, shard_rows, 0), n_batches) for r in range(len(shard_rows))
    ]
    for plan, n_samples in zip(plans, shard_rows, strict=True):
        slices = [plan[number][0] for number in range(1, len(plan) + 1)]
        taken = [row for each in slices for row in range(each.start, each.stop)]
        assert sorted(taken) == list(range(n_samples))
        sizes = {each.stop - each.start for each in slices}
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= batch_size
    for number in range(1, len(plans[0]) + 1):
        assert sum(plan[number][1] for plan in plans) == pytest.approx(1)


def test_batches_come_in_another_order_every_epoch_and_the_same_for_all_ranks() -> None:
    first, again, other_rank, next_epoch = (
        Batches.plan(RankEpoch(epoch, rank, (500, 300), 0), 50).order.tolist()
        for rank, epoch in ((0, 1), (0, 1), (1, 1), (0, 2))
    )
    assert first == again == other_rank
    assert first != next_epoch


def test_one_worker_that_averages_gradients_of_all_rows_descends_the_gradient() -> None:
    epoch = epoch_of((500,), batch_size=500)
    X, y = rows(500)
    progress, expected = after(None), np.zeros(7)
    for _ in range(20):
        (done,) = epoch.run(Peer(Ranks(1), 0), after(progress))
        probabilities = 1 / (1 + np.exp(-(X @ expected[:-1] + expected[-1])))
        loss = -np.log(np.where(y == 1, probabilities, 1 - probabilities)).mean()
        assert done.training_loss == pytest.approx(loss, rel=1e-5)
        error = (probabilities - y) / len(y)
        expected -= 0.5 * np.append(error @ X, error.sum())
        progress = done
    assert progress.finished
    assert progress.parameters == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("shard_rows", SHARDS)
def test_workers_that_average_gradients_equal_one_on_their_batches_together(
    shard_rows: tuple[int, ...], l2: float
) -> None:
    epoch = epoch_of(shard_rows, batch_size=2, l2=l2, learning_rate=0.05)
    shards = [epoch.shard(rank) for rank in range(len(shard_rows))]
    n_batches = math.ceil(max(shard_rows) / 2)
    plans = [
        Batches.plan(RankEpoch(1, rank, shard_rows, 3), n_batches) for rank in range(len(shards))
    ]
    model, gradient = epoch.model, np.empty(7, np.float32)
    expected, loss_sum = np.zeros(7, np.float32), 0.0
    for number in range(1, len(plans[0]) + 1):
        taken = [plan[number][0] for plan in plans]
        X = np.concatenate([X[rows] for (X, _), rows in zip(shards, taken, strict=True)])
        y = np.concatenate([y[rows] for (_, y), rows in zip(shards, taken, strict=True)])
        loss_sum += model.gradient(expected, X, y, out=gradient) * len(y)
        gradient[:-1] += np.float32(l2) * expected[:-1]
        expected -= np.float32(0.05) * gradient
    for steps in epoch.run_all():
        assert steps[-1].parameters == pytest.approx(expected, abs=1e-5)
        assert steps[-1].rows_seen == sum(shard_rows)
        assert steps[-1].loss_sum == pytest.approx(loss_sum, rel=1e-4)


OPTIMISERS: list[dict[str, Any]] = [{}, {"momentum": 0.9}, {"optimiser": "adam"}]
PATHS = [*OPTIMISERS, *({"l1": 0.1} | each for each in OPTIMISERS)]


@pytest.mark.parametrize("optimiser", PATHS)
def test_replicas_have_the_same_bits_after_every_step(optimiser: dict[str, Any]) -> None:
    first, *others = epoch_of((200, 130, 170), **optimiser).run_all()
    assert len(first) == 5
    assert [step.finished for step in first] == [False] * 4 + [True]
    for other in others:
        for mine, theirs in zip(first, other, strict=True):
            assert bits_of(mine) == bits_of(theirs)
            assert (mine.loss_sum, mine.rows_seen) == (theirs.loss_sum, theirs.rows_seen)


def test_averaging_gradients_learns() -> None:
    losses = []
    progress = after(None)
    for _ in range(5):
        steps = epoch_of((500,)).run(Peer(Ranks(1), 0), after(progress))
        progress = steps[-1]
        losses.append(progress.training_loss)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < np.log(2) - 0.1


@pytest.mark.parametrize("optimiser", PATHS)
@pytest.mark.parametrize("dies_at", [1, 3, 5])
def test_a_rank_that_is_repeated_replays_and_changes_no_bit(
    dies_at: int, optimiser: dict[str, Any]
) -> None:
    epoch = epoch_of((200, 130, 170), **optimiser)
    undisturbed = epoch.run_all()[0][-1]
    ranks = Ranks(3)
    with ThreadPoolExecutor(3) as threads:
        others = [threads.submit(epoch.run, Peer(ranks, rank)) for rank in (0, 2)]
        with pytest.raises(InterruptedError):
            epoch.run(Peer(ranks, 1, dies_at))
        again = epoch.run(Peer(ranks, 1))
        assert len(again) == 5  # from the start of the epoch, with a replay of the exchanged sums
        for steps in (again, *(other.result() for other in others)):
            assert bits_of(steps[-1]) == bits_of(undisturbed)
            assert steps[-1].loss_sum == undisturbed.loss_sum


@pytest.mark.parametrize("optimiser", PATHS)
def test_a_pause_of_one_rank_stops_all_after_the_same_step_and_changes_no_bit(
    optimiser: dict[str, Any],
) -> None:
    epoch = epoch_of((200, 130, 170), **optimiser)
    undisturbed = epoch.run_all()[0][-1]
    ranks = Ranks(3)
    asked = iter([False, True, False, False, False])
    with ThreadPoolExecutor(3) as threads:
        others = [threads.submit(epoch.run, Peer(ranks, rank)) for rank in (0, 2)]
        paused = epoch.run(Peer(ranks, 1), must_pause=lambda: next(asked))
        stopped = [paused, *(other.result() for other in others)]
    assert [steps[-1].batches_done for steps in stopped] == [2, 2, 2]
    assert not any(steps[-1].finished for steps in stopped)
    # One rank continues from its own state, one from an earlier step, one from the start.
    starts = [paused[-1], paused[0], None]
    with ThreadPoolExecutor(3) as threads:
        ended = list(threads.map(lambda rank: epoch.run(Peer(ranks, rank), starts[rank]), range(3)))
    for steps in ended:
        assert steps[-1].finished
        assert bits_of(steps[-1]) == bits_of(undisturbed)
        assert steps[-1].loss_sum == undisturbed.loss_sum


def test_steps_leave_the_common_parameters_alone() -> None:
    start = after(None)
    start.parameters.flags.writeable = False  # as read from the store
    epoch_of((100,)).run(Peer(Ranks(1), 0), start)
    assert not start.parameters.any()


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_moments_go_on_from_epoch_to_epoch(optimiser: dict[str, Any]) -> None:
    """Two epochs of one batch are two consecutive steps of the optimiser."""
    X, y = rows(200)
    algorithm = algorithms.GradientAveraging(learning_rate=0.1, batch_size=10**6, **optimiser)
    job = job_of(models.LogisticRegression(), algorithm)
    found = averaged_gradients(job, X, y, 3, epochs=5)
    w, gradient = np.zeros(7), np.empty(7)
    mean, square, velocity = np.zeros(7), np.zeros(7), np.zeros(7)
    for step in range(1, 6):
        error = (1 / (1 + np.exp(-(X @ w[:-1] + w[-1]))) - y) / len(y)
        gradient = np.append(error @ X, error.sum())
        if optimiser.get("optimiser") == "adam":
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            corrected = mean / (1 - 0.9**step), square / (1 - 0.999**step)
            w -= 0.1 * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        else:
            velocity = optimiser.get("momentum", 0) * velocity + gradient
            w -= 0.1 * velocity
    assert found.parameters == pytest.approx(w, abs=2e-6)
