"""Logistic regression and its algorithms, against mathematics and scikit-learn."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as Reference

from stepml.job import spec
from stepml.job.errors import BadLabelError, NotAvailableError, TrainingDivergedError
from stepml.job.reports import EpochReport
from stepml.job.spec import Stop
from stepml.ml.algorithms import GradientAveraging, ModelAveraging, Progress, build_algorithm
from stepml.ml.algorithms.gradient_averaging import Batches
from stepml.ml.convergence import decide, require_finite
from stepml.ml.models import LogisticRegression, build_model
from stepml.ml.models.base import Array, Floats

SEED = (0, 1, 0)


def rows(n_samples: int = 500, n_features: int = 6, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)).astype(np.float32)
    logits = X @ rng.normal(size=n_features) + 0.3
    y = (rng.random(n_samples) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return X, y


def averaging(
    learning_rate: float = 0.5, batch_size: int = 100, local_epochs: int = 1
) -> ModelAveraging:
    return ModelAveraging(
        spec.ModelAveraging(
            learning_rate=learning_rate, batch_size=batch_size, local_epochs=local_epochs
        )
    )


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_the_gradient_is_that_of_the_loss(l2: float) -> None:
    X, y = rows()
    model = LogisticRegression(6, positive=1, l2=l2)
    w = np.random.default_rng(1).normal(size=7).astype(np.float32)
    gradient = np.empty_like(w)
    model.gradient(w, X, y, out=gradient)

    def objective(at: np.ndarray) -> float:
        z = X.astype(np.float64) @ at[:-1] + at[-1]
        return float(np.mean(np.logaddexp(0, z) - y * z) + l2 / 2 * at[:-1] @ at[:-1])

    wide, step = w.astype(np.float64), 1e-6
    for position in range(7):
        shift = np.zeros(7)
        shift[position] = step
        slope = (objective(wide + shift) - objective(wide - shift)) / (2 * step)
        assert gradient[position] == pytest.approx(slope, abs=1e-5)


def test_loss_and_accuracy_are_those_of_scikit_learn() -> None:
    X, y = rows(2000)
    reference = Reference(C=np.inf, tol=1e-8, max_iter=1000).fit(X, y)
    w = np.append(reference.coef_[0], reference.intercept_).astype(np.float32)
    found = LogisticRegression(6, positive=1).evaluate(w, X, y)
    probabilities = reference.predict_proba(X)[np.arange(len(y)), y.astype(int)]
    assert found.loss == pytest.approx(-np.log(probabilities).mean(), rel=1e-5)
    assert found.accuracy == pytest.approx(reference.score(X, y))


def test_far_from_the_boundary_the_loss_stays_exact() -> None:
    X = np.array([[1000.0], [-1000.0]], np.float32)
    model = LogisticRegression(1, positive=1)
    w = np.array([1.0, 0.0], np.float32)
    assert model.evaluate(w, X, np.array([1, 0], np.float32)).loss == 0
    assert model.evaluate(w, X, np.array([0, 1], np.float32)).loss == pytest.approx(1000)
    gradient = np.empty(2, np.float32)
    assert model.gradient(w, X, np.array([0, 1], np.float32), out=gradient) == pytest.approx(1000)
    assert np.isfinite(gradient).all()


def test_evaluation_in_blocks_is_evaluation_of_all_rows() -> None:
    X, y = rows(40_000)
    w = np.random.default_rng(2).normal(size=7).astype(np.float32)
    z = X.astype(np.float64) @ w[:-1] + w[-1]
    found = LogisticRegression(6, positive=1).evaluate(w, X, y)
    assert found.loss == pytest.approx(np.mean(np.logaddexp(0, z) - y * z), rel=1e-5)
    assert found.accuracy == pytest.approx(np.mean((z > 0) == (y == 1)))


def test_one_worker_with_full_batches_is_plain_gradient_descent() -> None:
    X, y = rows()
    model, algorithm = LogisticRegression(6, positive=1), averaging(0.5, batch_size=10**6)
    w, expected = model.initial_parameters(), np.zeros(7)
    for epoch in range(20):
        progress = algorithm.train(model, Progress(w), X, y, seed=(0, epoch, 0))
        w, training_loss = algorithm.next_state(*algorithm.contribution(progress, weight=1.0))
        probabilities = 1 / (1 + np.exp(-(X @ expected[:-1] + expected[-1])))
        loss = -np.log(np.where(y == 1, probabilities, 1 - probabilities)).mean()
        assert training_loss == pytest.approx(loss, rel=1e-5)
        error = (probabilities - y) / len(y)
        expected -= 0.5 * np.append(error @ X, error.sum())
    assert w == pytest.approx(expected, abs=1e-5)


def test_ranks_count_by_their_rows() -> None:
    X, y = rows(300)
    model, algorithm = LogisticRegression(6, positive=1), averaging()
    parts = [slice(0, 200), slice(200, 300)]
    trained = [
        algorithm.train(model, Progress(model.initial_parameters()), X[p], y[p], SEED)
        for p in parts
    ]
    given = [algorithm.contribution(t, w) for t, w in zip(trained, (2 / 3, 1 / 3), strict=True)]
    vector, loss = algorithm.next_state(given[0][0] + given[1][0], given[0][1] + given[1][1])
    expected = (2 * trained[0].parameters + trained[1].parameters) / 3
    assert vector == pytest.approx(expected, rel=1e-5)
    assert loss == pytest.approx((trained[0].loss_sum + trained[1].loss_sum) / 300)


def test_the_same_seed_gives_the_same_bits_and_another_another_order() -> None:
    X, y = rows()
    model, algorithm = LogisticRegression(6, positive=1), averaging(batch_size=50)
    start = Progress(model.initial_parameters())
    once, again, other = (
        algorithm.train(model, start, X, y, seed).parameters.tobytes()
        for seed in (SEED, SEED, (0, 2, 0))
    )
    assert once == again
    assert once != other


@pytest.mark.parametrize("local_epochs", [1, 3])
@pytest.mark.parametrize("batch_size", [50, 70, 10**6])
def test_pausing_anywhere_changes_no_bit(batch_size: int, local_epochs: int) -> None:
    X, y = rows()
    model = LogisticRegression(6, positive=1)
    algorithm = averaging(batch_size=batch_size, local_epochs=local_epochs)
    whole = algorithm.train(model, Progress(model.initial_parameters()), X, y, SEED)
    progress, calls = Progress(model.initial_parameters()), 0
    while not progress.finished:
        progress = algorithm.train(model, progress, X, y, SEED, must_pause=lambda: True)
        calls += 1
    assert calls == math.ceil(500 / batch_size) * local_epochs  # each call got one batch further
    assert progress.parameters.tobytes() == whole.parameters.tobytes()
    assert (progress.loss_sum, progress.rows_seen) == (whole.loss_sum, whole.rows_seen)


def test_training_leaves_the_common_parameters_alone() -> None:
    X, y = rows()
    model = LogisticRegression(6, positive=1)
    start = model.initial_parameters()
    start.flags.writeable = False  # as read from the store
    averaging().train(model, Progress(start), X, y, SEED)
    assert not start.any()


@dataclass(frozen=True)
class Sum:
    """An aggregate."""

    vector: Array
    trailer: Array
    pause: bool


class Ranks:
    """Threads that sum what they have in the order of their ranks; sums are kept for replay."""

    def __init__(self, world_size: int) -> None:
        self.world_size = world_size
        self.sums: dict[int, Sum] = {}
        self._given: dict[tuple[int, int], Sum] = {}
        self._changed = threading.Condition()

    def all_reduce(self, rank: int, batch: int, given: Sum) -> Sum:
        copied = Sum(given.vector.copy(), given.trailer.copy(), given.pause)
        with self._changed:
            self._given.setdefault((batch, rank), copied)
            parts = [self._given.get((batch, each)) for each in range(self.world_size)]
            if batch not in self.sums and (whole := [part for part in parts if part]) == parts:
                self.sums[batch] = Sum(
                    sum((part.vector for part in whole[1:]), start=whole[0].vector),
                    sum((part.trailer for part in whole[1:]), start=whole[0].trailer),
                    any(part.pause for part in whole),
                )
                self._changed.notify_all()
            assert self._changed.wait_for(lambda: batch in self.sums, timeout=20)
            return self.sums[batch]


@dataclass(frozen=True)
class Peer:
    """One rank's end of `Ranks`; ``dies_at`` is the batch that it never contributes to."""

    ranks: Ranks
    rank: int
    dies_at: int = 10**9

    def all_reduce(self, batch: int, vector: Floats, trailer: Array, pause: bool) -> Sum:
        if batch == self.dies_at:
            raise InterruptedError
        return self.ranks.all_reduce(self.rank, batch, Sum(vector, trailer, pause))

    def replay(self, batch: int) -> Sum | None:
        return self.ranks.sums.get(batch)


@dataclass(frozen=True)
class Epoch:
    """An epoch of gradient averaging on shards of these sizes."""

    shard_rows: tuple[int, ...]
    batch_size: int = 40
    l2: float = 0.0
    learning_rate: float = 0.5

    def shard(self, rank: int) -> tuple[Floats, Floats]:
        X, y = rows(sum(self.shard_rows))
        first = sum(self.shard_rows[:rank])
        mine = slice(first, first + self.shard_rows[rank])
        return X[mine], y[mine]

    def run(
        self,
        peer: Peer,
        start: Progress | None = None,
        must_pause: Callable[[], bool] = lambda: False,
    ) -> list[Progress]:
        model = LogisticRegression(6, positive=1, l2=self.l2)
        algorithm = GradientAveraging(
            spec.GradientAveraging(learning_rate=self.learning_rate, batch_size=self.batch_size)
        )
        steps = algorithm.steps(
            model,
            start or Progress(model.initial_parameters()),
            *self.shard(peer.rank),
            rank=peer.rank,
            shard_rows=self.shard_rows,
            seed=(3, 1),
            exchange=peer,
            must_pause=must_pause,
        )
        return [replace(step, parameters=step.parameters.copy()) for step in steps]

    def run_all(self) -> list[list[Progress]]:
        ranks = Ranks(len(self.shard_rows))
        with ThreadPoolExecutor(len(self.shard_rows)) as threads:
            return list(
                threads.map(lambda rank: self.run(Peer(ranks, rank)), range(ranks.world_size))
            )


SHARDS = [(500,), (250, 250), (200, 130, 170), (97, 1, 2), (3, 1, 1, 1, 1, 1, 1, 1)]


@pytest.mark.parametrize("batch_size", [1, 7, 40, 1000])
@pytest.mark.parametrize("shard_rows", SHARDS)
def test_an_epoch_takes_every_row_once_in_batches_of_like_size(
    shard_rows: tuple[int, ...], batch_size: int
) -> None:
    algorithm = GradientAveraging(spec.GradientAveraging(batch_size=batch_size))
    n_batches = algorithm.n_batches(shard_rows)
    assert n_batches == math.ceil(max(shard_rows) / batch_size)
    plans = [Batches.plan(r, shard_rows, n_batches, (0, 1)) for r in range(len(shard_rows))]
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
        Batches.plan(rank, (500, 300), 50, (0, epoch)).order.tolist()
        for rank, epoch in ((0, 1), (0, 1), (1, 1), (0, 2))
    )
    assert first == again == other_rank
    assert first != next_epoch


def test_one_worker_that_averages_gradients_of_all_rows_descends_the_gradient() -> None:
    epoch = Epoch((500,), batch_size=500)
    X, y = epoch.shard(0)
    progress, expected = Progress(np.zeros(7, np.float32)), np.zeros(7)
    for _ in range(20):
        (done,) = epoch.run(Peer(Ranks(1), 0), Progress(progress.parameters))
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
    epoch = Epoch(shard_rows, batch_size=2, l2=l2, learning_rate=0.05)
    shards = [epoch.shard(rank) for rank in range(len(shard_rows))]
    n_batches = math.ceil(max(shard_rows) / 2)
    plans = [Batches.plan(rank, shard_rows, n_batches, (3, 1)) for rank in range(len(shards))]
    model, gradient = LogisticRegression(6, positive=1, l2=l2), np.empty(7, np.float32)
    expected, loss_sum = np.zeros(7, np.float32), 0.0
    for number in range(1, len(plans[0]) + 1):
        taken = [plan[number][0] for plan in plans]
        X = np.concatenate([X[rows] for (X, _), rows in zip(shards, taken, strict=True)])
        y = np.concatenate([y[rows] for (_, y), rows in zip(shards, taken, strict=True)])
        loss_sum += model.gradient(expected, X, y, out=gradient) * len(y)
        expected -= np.float32(0.05) * gradient
    for steps in epoch.run_all():
        assert steps[-1].parameters == pytest.approx(expected, abs=1e-5)
        assert steps[-1].rows_seen == sum(shard_rows)
        assert steps[-1].loss_sum == pytest.approx(loss_sum, rel=1e-4)


def test_replicas_have_the_same_bits_after_every_step() -> None:
    first, *others = Epoch((200, 130, 170)).run_all()
    assert len(first) == 5
    assert [step.finished for step in first] == [False] * 4 + [True]
    for other in others:
        for mine, theirs in zip(first, other, strict=True):
            assert mine.parameters.tobytes() == theirs.parameters.tobytes()
            assert (mine.loss_sum, mine.rows_seen) == (theirs.loss_sum, theirs.rows_seen)


def test_averaging_gradients_learns() -> None:
    losses = []
    progress = Progress(np.zeros(7, np.float32))
    for _ in range(5):
        steps = Epoch((500,)).run(Peer(Ranks(1), 0), Progress(progress.parameters))
        progress = steps[-1]
        losses.append(progress.training_loss)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < np.log(2) - 0.1


@pytest.mark.parametrize("dies_at", [1, 3, 5])
def test_a_rank_that_is_repeated_replays_and_changes_no_bit(dies_at: int) -> None:
    epoch = Epoch((200, 130, 170))
    undisturbed = epoch.run_all()[0][-1]
    ranks = Ranks(3)
    with ThreadPoolExecutor(3) as threads:
        others = [threads.submit(epoch.run, Peer(ranks, rank)) for rank in (0, 2)]
        with pytest.raises(InterruptedError):
            epoch.run(Peer(ranks, 1, dies_at))
        again = epoch.run(Peer(ranks, 1))
        assert len(again) == 5  # from the start of the epoch: what was exchanged is replayed
        for steps in (again, *(other.result() for other in others)):
            assert steps[-1].parameters.tobytes() == undisturbed.parameters.tobytes()
            assert steps[-1].loss_sum == undisturbed.loss_sum


def test_a_pause_of_one_rank_stops_all_after_the_same_step_and_changes_no_bit() -> None:
    epoch = Epoch((200, 130, 170))
    undisturbed = epoch.run_all()[0][-1]
    ranks = Ranks(3)
    asked = iter([False, True, False, False, False])
    with ThreadPoolExecutor(3) as threads:
        others = [threads.submit(epoch.run, Peer(ranks, rank)) for rank in (0, 2)]
        paused = epoch.run(Peer(ranks, 1), must_pause=lambda: next(asked))
        stopped = [paused, *(other.result() for other in others)]
    assert [steps[-1].batches_done for steps in stopped] == [2, 2, 2]
    assert not any(steps[-1].finished for steps in stopped)
    # One goes on from what it had, one from an earlier step, one from the start.
    starts = [paused[-1], paused[0], None]
    with ThreadPoolExecutor(3) as threads:
        ended = list(threads.map(lambda rank: epoch.run(Peer(ranks, rank), starts[rank]), range(3)))
    for steps in ended:
        assert steps[-1].finished
        assert steps[-1].parameters.tobytes() == undisturbed.parameters.tobytes()
        assert steps[-1].loss_sum == undisturbed.loss_sum


def test_steps_leave_the_common_parameters_alone() -> None:
    start = np.zeros(7, np.float32)
    start.flags.writeable = False  # as read from the store
    Epoch((100,)).run(Peer(Ranks(1), 0), Progress(start))
    assert not start.any()


def test_labels_become_targets() -> None:
    labels = np.array([1, 2, 3, 2], np.float32)
    one_against_rest = build_model(spec.LogisticRegression(positive_class=2), 3, [1, 2, 3])
    assert one_against_rest.targets(labels).tolist() == [0, 1, 0, 1]
    fraction = build_model(spec.LogisticRegression(positive_class=0.1), 3, np.float32([0.1, 0.2]))
    assert fraction.targets(np.array([0.1, 0.2], np.float32)).tolist() == [1, 0]
    larger = build_model(spec.LogisticRegression(), 3, [-1, 1])
    assert larger.targets(np.array([1, -1], np.float32)).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("positive", "labels", "message"),
    [
        (None, [1, 2, 3], r"two labels, the data have 3 \(1, 2, 3\); set model.positive_class"),
        (4, [1, 2, 3], r"expected a label of the data \(1, 2, 3\), got 4"),
        (None, [1], "the data have only: 1"),
        (1, [1], "the data have only: 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    positive: float | None, labels: list[float], message: str
) -> None:
    with pytest.raises(BadLabelError, match=message):
        build_model(spec.LogisticRegression(positive_class=positive), 3, labels)


def job_spec(algorithm: spec.Algorithm) -> spec.JobSpec:
    data = spec.Data(uri="s3://bucket/data", format="csv")
    return spec.JobSpec(data=data, model=spec.LogisticRegression(), algorithm=algorithm)


def test_what_is_not_built_yet_is_named() -> None:
    with pytest.raises(NotAvailableError, match="model 'svm' is not available yet"):
        build_model(spec.Svm(), 3, [0, 1])
    with pytest.raises(NotAvailableError, match="algorithm 'admm' is not available yet"):
        build_algorithm(job_spec(spec.Admm()))


def epochs(stop: Stop, losses: list[float]) -> list[tuple[str, str]]:
    """Return the decision and the reason after each of the losses."""
    previous: EpochReport | None = None
    decisions = []
    for epoch, loss in enumerate(losses, start=1):
        verdict = decide(stop, epoch, loss, previous)
        decisions.append((verdict.decision, verdict.reason))
        previous = EpochReport(
            epoch=epoch,
            decision=verdict.decision,
            reason=verdict.reason,
            next_epoch=epoch + 1,
            loss=loss,
            accuracy=0,
            training_loss=loss,
            best_loss=verdict.best_loss,
            epochs_without_improvement=verdict.epochs_without_improvement,
            seconds=0,
            executor_seconds=[],
        )
    return decisions


def test_max_epochs_stops() -> None:
    decided = epochs(Stop(max_epochs=3), [3, 4, 5])
    assert [decision for decision, _ in decided] == ["continue", "continue", "stopped"]
    assert decided[-1][1] == "max_epochs 3 reached"


def test_a_target_loss_converges_at_once() -> None:
    decided = epochs(Stop(target_loss=1.5, max_epochs=2), [2, 1.5])
    assert decided[-1] == ("converged", "loss 1.5 reached target_loss 1.5")


def test_tolerance_waits_for_patience_in_a_row() -> None:
    stop = Stop(tolerance=0.1, patience=2)
    decided = epochs(stop, [1.0, 0.95, 0.7, 0.69, 0.68])
    assert [decision for decision, _ in decided] == ["continue"] * 4 + ["converged"]
    assert decided[-1][1] == "no improvement above tolerance 0.1 for 2 epochs in a row"


def test_without_tolerance_a_rising_loss_goes_on() -> None:
    assert {decision for decision, _ in epochs(Stop(), [1, 2, 3, 4])} == {"continue"}


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_job_by_name(loss: float) -> None:
    with pytest.raises(
        TrainingDivergedError, match=r"after epoch 1; lower algorithm.learning_rate"
    ):
        require_finite(1, validation=0.5, training=loss)
