"""Ranks that learn in this process, with the parts of functions and exchange."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from stepml.job import algorithms, models, spec
from stepml.ml.algorithms import (
    Outcome,
    RankEpoch,
    RankProgress,
    State,
    build_algorithm,
)
from stepml.ml.algorithms.base import InFlightAlgorithm, OrchestratedAlgorithm
from stepml.ml.models import build_model
from stepml.ml.models.base import Array, Floats, LossModel, Matrix, Model
from stepml.ml.models.row_weights import weighted
from tests.support.plain_choices import plain_spec


def rows(n_samples: int = 500, n_features: int = 6, seed: int = 0) -> tuple[Floats, Floats]:
    """Return rows of two classes, 0 and 1, that overlap along a line."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)).astype(np.float32)
    logits = X @ rng.normal(size=n_features) + 0.3
    y = (rng.random(n_samples) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return X, y


def job_of(
    model: models.Model,
    algorithm: algorithms.Algorithm,
    pattern: str = "reduce",
    max_epochs: int = 10,
) -> spec.JobSpec:
    """Return a job with this model and algorithm, and the simplest choices."""
    job = spec.JobSpec(
        data=spec.Data(uri="s3://bucket/data", format="csv"),
        model=model,
        algorithm=algorithm,
        exchange=spec.Exchange(pattern=pattern),  # type: ignore[arg-type]
        stop=spec.Stop(max_epochs=max_epochs),
    )
    return plain_spec(job)


def model_for(model: models.Model, X: Matrix, labels: Floats) -> Model:
    """Return the model for these rows."""
    classes, counts = np.unique(labels, return_counts=True)
    return build_model(model, X.shape[1], classes.tolist(), counts.tolist())


def cuts_of(n_samples: int, shards: int | Sequence[int]) -> tuple[int, ...]:
    """Return the number of rows of each shard, as given or about equal."""
    if not isinstance(shards, int):
        return tuple(shards)
    return tuple(np.diff([n_samples * rank // shards for rank in range(shards + 1)]).tolist())


@dataclass(eq=False)
class Orchestra:
    """Ranks that train alone for an epoch and are then merged."""

    job: spec.JobSpec
    X: Matrix
    labels: Floats
    shards: int | Sequence[int] = 1
    start: Floats | None = None
    seed: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    weights: Floats | None = None  # of the rows, of mean 1

    def __post_init__(self) -> None:
        algorithm = build_algorithm(self.job)
        assert isinstance(algorithm, OrchestratedAlgorithm)
        self.algorithm: OrchestratedAlgorithm[Any] = algorithm
        self.model = model_for(self.job.model, self.X, self.labels)
        self.shard_rows = cuts_of(len(self.X), self.shards)
        self.rank_states: list[Any] = [{} for _ in self.shard_rows]
        first = self.start
        if first is None:
            assert isinstance(self.model, LossModel)
            first = self.model.initial_parameters()
        self.state = algorithm.initial_state(self.model, first, self.sample)

    def sample(self) -> tuple[Matrix, Array]:
        """Return some rows and their targets."""
        return self._rows(slice(20))

    def shard(self, rank: int) -> tuple[Matrix, Array]:
        """Return rows and targets of a rank."""
        ends = np.cumsum([0, *self.shard_rows])
        return self._rows(slice(*list(pairwise(ends.tolist()))[rank]))

    def _rows(self, part: slice) -> tuple[Matrix, Array]:
        weights = None if self.weights is None else self.weights[part]
        return self.X[part], weighted(self.model.targets(self.labels[part]), weights)

    def rank_epoch(self, rank: int) -> RankEpoch:
        """Return a rank's part in the next epoch."""
        return RankEpoch(len(self.outcomes) + 1, rank, self.shard_rows, self.seed)

    def train(self, rank: int, must_pause: Callable[[], bool] | None = None) -> RankProgress:
        """Train one rank to the end of the epoch; continue after each pause."""
        rank_epoch, pause = self.rank_epoch(rank), must_pause or (lambda: False)
        X, y = self.shard(rank)
        progress = self.algorithm.begin(self.model, self.state, self.rank_states[rank], rank_epoch)
        while not progress.finished:
            progress = self.algorithm.train(self.model, progress, X, y, rank_epoch, pause)
        return progress

    def epoch(self, must_pause: Callable[[], bool] | None = None) -> Outcome:
        """Return the outcome of an epoch of all ranks."""
        ranks = range(len(self.shard_rows))
        self.rank_states = [
            self.algorithm.rank_result(self.train(rank, must_pause)) for rank in ranks
        ]
        given = [
            self.algorithm.contribution(self.rank_states[r], self.rank_epoch(r)) for r in ranks
        ]
        vector, trailer = given[0][0].copy(), given[0][1].copy()
        for other, more in given[1:]:
            vector += other
            trailer += more
        outcome = self.algorithm.next_state(
            self.model, self.state, vector, trailer, self.rank_epoch(0), lambda: self.X
        )
        self.state = outcome.state
        self.outcomes.append(outcome)
        return outcome

    def epochs(self, number: int) -> Floats:
        """Return the parameters after a number of epochs, or when the algorithm converges."""
        for _ in range(number):
            if self.epoch().converged:
                break
        return self.state.parameters


@dataclass(frozen=True)
class Sum:
    """An aggregate."""

    vector: Array
    trailer: Array
    pause: bool


class Ranks:
    """Threads that sum their values in rank order; the sums are stored for replay."""

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
            assert self._changed.wait_for(lambda: batch in self.sums, timeout=240)
            return self.sums[batch]


@dataclass(frozen=True)
class Peer:
    """One rank's exchange in `Ranks`; ``dies_at`` is the batch to which it never contributes."""

    ranks: Ranks
    rank: int
    dies_at: int = 10**9

    def all_reduce(self, batch: int, vector: Floats, trailer: Array, pause: bool) -> Sum:
        if batch == self.dies_at:
            raise InterruptedError
        return self.ranks.all_reduce(self.rank, batch, Sum(vector, trailer, pause))

    def replay(self, batch: int) -> Sum | None:
        return self.ranks.sums.get(batch)


@dataclass(eq=False)
class InFlightEpoch:
    """An epoch whose ranks exchange after every batch."""

    job: spec.JobSpec
    X: Matrix
    labels: Floats
    shards: int | Sequence[int] = 1
    number: int = 1
    seed: int = 3
    state: State | None = None
    weights: Floats | None = None  # of the rows, of mean 1

    def __post_init__(self) -> None:
        algorithm = build_algorithm(self.job)
        assert isinstance(algorithm, InFlightAlgorithm)
        self.algorithm: InFlightAlgorithm[Any] = algorithm
        model = model_for(self.job.model, self.X, self.labels)
        assert isinstance(model, LossModel)
        self.model = model
        self.shard_rows = cuts_of(len(self.X), self.shards)
        if self.state is None:
            targets = model.targets(self.labels)
            self.state = algorithm.initial_state(
                model, model.initial_parameters(), lambda: (self.X, targets)
            )

    def rank_epoch(self, rank: int) -> RankEpoch:
        """Return a rank's part."""
        return RankEpoch(self.number, rank, self.shard_rows, self.seed)

    def shard(self, rank: int) -> tuple[Matrix, Array]:
        """Return rows and targets of a rank."""
        first = sum(self.shard_rows[:rank])
        part = slice(first, first + self.shard_rows[rank])
        weights = None if self.weights is None else self.weights[part]
        return self.X[part], weighted(self.model.targets(self.labels[part]), weights)

    def run(
        self,
        peer: Peer,
        start: RankProgress | None = None,
        must_pause: Callable[[], bool] = lambda: False,
    ) -> list[RankProgress]:
        """Return copies of one rank's yields."""
        assert self.state is not None
        begin = start or RankProgress(self.state.parameters, extras=self.state.extras)
        X, y = self.shard(peer.rank)
        # A model of each rank's own: a network is bound to the parameters of one rank.
        steps = self.algorithm.steps(
            model_for(self.job.model, self.X, self.labels),
            begin,
            X,
            y,
            self.rank_epoch(peer.rank),
            peer,
            must_pause,
        )
        return [copied(step) for step in steps]

    def run_all(self) -> list[list[RankProgress]]:
        """Return each rank's yields."""
        ranks = Ranks(len(self.shard_rows))
        with ThreadPoolExecutor(len(self.shard_rows)) as threads:
            return list(
                threads.map(lambda rank: self.run(Peer(ranks, rank)), range(ranks.world_size))
            )


def copied(step: RankProgress) -> RankProgress:
    """Return a copy of a progress, which the next step does not change."""
    extras = {name: array.copy() for name, array in step.extras.items()}
    return replace(step, parameters=step.parameters.copy(), extras=extras)


def averaged_gradients(
    job: spec.JobSpec,
    X: Matrix,
    labels: Floats,
    shards: int | Sequence[int],
    epochs: int,
    start: Floats | None = None,
) -> RankProgress:
    """Return rank 0's replica after a number of epochs of gradient averaging."""
    state = None
    if start is not None:
        algorithm = build_algorithm(job)
        model = model_for(job.model, X, labels)
        state = algorithm.initial_state(model, start, lambda: (X, model.targets(labels)))
    for number in range(1, epochs + 1):
        epoch = InFlightEpoch(job, X, labels, shards, number, state=state)
        last = epoch.run_all()[0][-1]
        state = last.state
    return last
