"""A job's training by processes of one machine: the same steps and the same bits, no functions."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from msgspec import Struct

from stepml.job.errors import StepMLError, TrainingDivergedError
from stepml.job.measures import LOSS
from stepml.job.reports import EpochReport
from stepml.ml.algorithms import Outcome, RankEpoch, RankProgress, State, build_algorithm
from stepml.ml.algorithms.base import Algorithm, OrchestratedAlgorithm
from stepml.ml.convergence import OwnCriterion, decide
from stepml.ml.models import Evaluation
from stepml.ml.standing import Standing
from stepml.ml.stopping import converged_at_start
from stepml.studies.baselines.shared_sum import RankSum, SharedSum
from stepml.studies.baselines.start import Training


class TrainedEpoch(Struct, frozen=True):
    """An epoch of a baseline."""

    epoch: int
    seconds: float  # of training so far
    loss: float  # on the validation rows
    metrics: dict[str, float]
    end: str  # the reason why training ends, in words; empty if it goes on
    converged: bool
    exchange_s: float  # so far, in the exchanges of rank 0


def train(training: Training) -> list[TrainedEpoch]:
    """Train with a process for each rank, and return all epochs.

    Raises
    ------
    StepMLError
        A rank has failed.
    """
    algorithm = build_algorithm(training.spec)
    n_ranks = len(training.shards)
    shared = SharedSum(n_ranks, *_sizes(algorithm, training))
    if n_ranks == 1:
        return list(_Rank(training, algorithm, shared.of(0), 0).epochs())
    fork = get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    ranks = [
        fork.Process(target=_work, args=(training, algorithm, shared, rank, sender))
        for rank in range(n_ranks)
    ]
    for each in ranks:
        each.start()
    sender.close()
    answer = _answer(receiver)
    for each in ranks:
        each.join()
    if isinstance(answer, str):
        raise StepMLError(answer)
    return answer


def _sizes(algorithm: Algorithm[Any], training: Training) -> tuple[int, int]:
    if isinstance(algorithm, OrchestratedAlgorithm):
        return algorithm.contribution_shape(training.model)
    return training.model.n_parameters, 2


def _work(
    training: Training, algorithm: Algorithm[Any], shared: SharedSum, rank: int, sender: Any
) -> None:
    """Be one rank; rank 0 sends all epochs, a failed one sends its error."""
    try:
        epochs = list(_Rank(training, algorithm, shared.of(rank), rank).epochs())
    except Exception as error:
        sender.send(f"rank {rank}: {type(error).__name__}: {error}")
        shared.abort()  # only now: errors of the other ranks follow from this one
        return
    if rank == 0:
        sender.send(epochs)


def _answer(receiver: Any) -> list[TrainedEpoch] | str:
    """Return the epochs, or the first error; others only follow from it."""
    try:
        answer: list[TrainedEpoch] | str = receiver.recv()
    except EOFError:
        return "all ranks have ended without a result; the machine may lack memory"
    return answer


@dataclass
class _Rank:
    """One rank of a baseline."""

    training: Training
    algorithm: Algorithm[Any]
    exchange: RankSum
    rank: int
    began: float = field(default_factory=time.perf_counter)
    last: EpochReport | None = None
    rank_state: Any = field(default_factory=dict)

    def epochs(self) -> Iterator[TrainedEpoch]:
        """Train to the end, and yield each epoch."""
        state, epoch = self.training.state, 0
        is_over = False
        while not is_over:
            epoch += 1
            rank_epoch = RankEpoch(
                epoch, self.rank, self.training.shard_rows, self.training.spec.data.seed
            )
            outcome = self._epoch(state, rank_epoch)
            state = outcome.state
            done = self._judged(epoch, outcome) if self.rank == 0 else None
            is_over = self.exchange.agree(done is not None and bool(done.end))
            if done is not None:
                yield done

    def _epoch(self, state: State, rank_epoch: RankEpoch) -> Outcome:
        if isinstance(self.algorithm, OrchestratedAlgorithm):
            return self._alone(self.algorithm, state, rank_epoch)
        return self._in_step(state, rank_epoch)

    def _alone(
        self, algorithm: OrchestratedAlgorithm[Any], state: State, rank_epoch: RankEpoch
    ) -> Outcome:
        """Train alone for an epoch, then exchange."""
        model, (X, y) = self.training.model, self.training.shards[self.rank]
        progress = algorithm.begin(model, state, self.rank_state, rank_epoch)
        progress = algorithm.train(model, progress, X, y, rank_epoch)
        result = algorithm.rank_result(progress)
        if algorithm.keeps_rank_state:
            self.rank_state = result
        vector, trailer = algorithm.contribution(result, rank_epoch)
        total = self.exchange.all_reduce(0, vector.copy(), trailer, pause=False)
        return algorithm.next_state(
            model, state, total.vector, total.trailer, rank_epoch, lambda: self.training.sample[0]
        )

    def _in_step(self, state: State, rank_epoch: RankEpoch) -> Outcome:
        """Exchange after every batch."""
        algorithm: Any = self.algorithm  # asynchronous ones have no baseline
        X, y = self.training.shards[self.rank]
        progress = RankProgress(state.parameters, extras=state.extras)
        steps = algorithm.steps(self.training.model, progress, X, y, rank_epoch, self.exchange)
        for progress in steps:
            last = progress
        return Outcome(last.state, last.training_loss)

    def _judged(self, epoch: int, outcome: Outcome) -> TrainedEpoch:
        training, stop = self.training, self.training.spec.stop
        found = training.model.evaluate(outcome.state.parameters, *training.validation)
        if not math.isfinite(found.loss):
            raise TrainingDivergedError(f"the loss is {found.loss} after epoch {epoch}")
        standing = Standing.of(stop, found, self.last, list)
        converged = outcome.converged or converged_at_start(stop, epoch, training.fall)
        own = OwnCriterion(converged, outcome.lacks)
        verdict = decide(stop, epoch, found.loss, self.last, own, standing=standing)
        self.last = _report(
            epoch,
            found,
            stop.metric,
            verdict.best_loss,
            verdict.best_value,
            verdict.epochs_without_improvement,
        )
        return TrainedEpoch(
            epoch,
            time.perf_counter() - self.began,
            found.loss,
            {name: value for name, value in found.metrics.items() if math.isfinite(value)},
            "" if verdict.decision == "continue" else verdict.reason,
            verdict.decision == "converged",
            self.exchange.exchange_s,
        )


def _report(
    epoch: int,
    found: Evaluation,
    measure: str,
    best_loss: float,
    best_value: float,
    without_improvement: int,
) -> EpochReport:
    """Return the part of an epoch's report on which the next decision depends."""
    return EpochReport(
        epoch=epoch,
        decision="continue",
        reason="",
        next_epoch=epoch + 1,
        loss=found.loss,
        metrics=found.metrics,
        training_loss=0.0,
        best_loss=best_loss,
        measure=measure or LOSS,
        best_value=best_value,
        epochs_without_improvement=without_improvement,
        seconds=0.0,
        active_seconds=0.0,
        cost_usd=0.0,
        total_cost_usd=0.0,
        executor_seconds=[],
        stragglers=[],
        called_again=[],
    )
