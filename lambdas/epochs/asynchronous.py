"""Epochs of ranks that change one shared model, each at its own pace."""

from __future__ import annotations

from typing import Any

import numpy as np

from comm import SharedModelExchange
from lambdas.attempts.watch import Watch
from lambdas.channels import JobChannel
from lambdas.epochs.base import EpochEnd, Epochs, Trained, take_turn
from lambdas.epochs.runs import EpochRun, RankRun
from lambdas.job_store import TrainingPlan
from lambdas.job_store.marks import Mark
from lambdas.logs import best_effort
from stepml.job.errors import (
    AttemptStoppedError,
    ExecutorPausedError,
    MissingContributionError,
    SharedModelLostError,
    WaitTimeoutError,
)
from stepml.job.stopwatch import timed
from stepml.ml.algorithms import State
from stepml.ml.algorithms.base import AsynchronousAlgorithm


class AsynchronousEpochs(Epochs[AsynchronousAlgorithm[Any]]):
    """A rank that comes back makes the updates that the shared model does not have yet.

    A model that the channel has lost lacks the updates of ranks that have left. So no rank makes
    it a second time, or waits for those ranks: the epoch starts again at once.
    """

    is_per_attempt = True  # the next attempt makes a model of its own

    def require_room(self, plan: TrainingPlan, channel: JobChannel) -> None:
        model = plan.model()
        parameters = np.zeros(model.n_parameters, np.float32)
        vector = self.algorithm.shared_vector(model, State(parameters))
        channel.require_room_for_model(vector, self.algorithm.n_totals, self._n_updates(plan))

    def train(self, run: RankRun) -> Trained:
        """Train one rank; errors as of `Epochs.train`, and one more.

        Raises
        ------
        SharedModelLostError
            The channel has lost the shared model: the epoch has to be trained again.
        """
        watch = run.watch()
        shared = run.channel.shared(
            run.task,
            run.task.rank,
            self._n_updates(run.plan),
            timeout_s=run.timing.wait_s,
            watch=watch,
        )
        try:
            self._train(run, shared, watch)
        except AttemptStoppedError:
            # The last rank to stop clears the values of all: their keys are this attempt's own.
            with best_effort("clear the attempt", job_id=run.task.job_id, epoch=run.task.epoch):
                shared.abandon()
            raise
        except WaitTimeoutError:
            if self.waits_for_all:
                take_turn(run, watch)
            raise
        return Trained()

    def end(self, run: EpochRun) -> EpochEnd:
        """Return the shared model.

        Raises
        ------
        MissingContributionError
            Ranks have not made all their updates.
        SharedModelLostError
            The channel has lost the shared model, or all updates.
        """
        n_updates = self._n_updates(run.plan)
        shared = run.channel.shared(run.task, 0, n_updates)
        with timed("transfer"):
            state, lost = shared.pull(), None
        behind = [rank for rank, last in enumerate(state.applied) if last < n_updates]
        if shared.has_lost_updates(state):
            # Ranks that have made all their updates make none again: the epoch ends without them.
            lost = state.lost + int((n_updates - state.applied).sum())
        elif behind:
            raise MissingContributionError(behind, f"the end of epoch {run.task.epoch}")
        loss_sum, rows_seen = state.totals
        if not rows_seen:
            raise SharedModelLostError(f"all updates of epoch {run.task.epoch} are lost")
        return EpochEnd(
            self.algorithm.state_of(run.plan.model(), state.vector),
            float(loss_sum / rows_seen),
            staleness_mean=state.staleness_mean,
            staleness_max=state.staleness_max,
            lost_updates=lost,
        )

    def release(self, run: EpochRun) -> None:
        run.channel.shared(run.task, 0, self._n_updates(run.plan)).release()
        run.store.shared_model_mark(run.task.attempt).delete()

    def _n_updates(self, plan: TrainingPlan) -> int:
        return self.algorithm.n_updates(plan.shard_rows)

    def _train(self, run: RankRun, shared: SharedModelExchange, watch: Watch) -> None:
        mark = run.store.shared_model_mark(run.task.attempt)
        if not mark.exists():  # otherwise a model that is absent is lost, and not made again
            vector = self.algorithm.shared_vector(run.plan.model(), run.state)
            with timed("transfer"):
                shared.create(vector, self.algorithm.n_totals)
                mark.save(Mark())
        model, X, y = run.load()
        with timed("compute"):
            finished = self.algorithm.train(model, X, y, run.rank_epoch, shared, watch.must_pause)
        if not finished:
            raise ExecutorPausedError(
                f"rank {run.task.rank} paused; its updates are in the shared model"
            )
