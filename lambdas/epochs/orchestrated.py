"""Epochs of ranks that train alone, contribute and return; the state machine is the barrier."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from comm import Message
from lambdas.attempts.fences import Fences
from lambdas.attempts.watch import Verdict, Watch
from lambdas.channels import JobChannel
from lambdas.epochs.base import EpochEnd, Epochs, Trained
from lambdas.epochs.runs import EpochRun, RankRun
from lambdas.job_store import TrainingPlan
from lambdas.job_store.rank_states import publish_rank_state
from lambdas.job_store.samples import load_sample
from stepml.job.errors import DamagedValueError, ExecutorPausedError
from stepml.job.step import Step
from stepml.job.stopwatch import timed
from stepml.ml.algorithms import Extras, RankProgress
from stepml.ml.algorithms.base import OrchestratedAlgorithm
from stepml.ml.models import Model
from stepml.ml.models.base import Array, Matrix, WithClasses


class OrchestratedEpochs(Epochs[OrchestratedAlgorithm[Any]]):
    """Each rank contributes once; the sum of all contributions becomes the next state."""

    keeps_contributions = True

    @property
    def chunks(self) -> list[int]:
        is_scattered = self.spec.exchange.pattern == "reduce_scatter"
        return list(range(self.spec.workers)) if is_scattered else []

    def require_room(self, plan: TrainingPlan, channel: JobChannel) -> None:
        def contribution() -> Message:
            model, rank_epoch = plan.model(), plan.rank_epoch(epoch=1, rank=0)
            parameters = np.zeros(model.n_parameters, np.float32)
            state = self.first_state(model, parameters, lambda: _any_row(model))
            result = self.algorithm.rank_result(self.algorithm.begin(model, state, {}, rank_epoch))
            return Message(*self.algorithm.contribution(result, rank_epoch))

        channel.require_room_for_sums(contribution)

    def train(self, run: RankRun) -> Trained:
        # A failed peer is no reason to stop: the next attempt can use this rank's contribution.
        watch = run.watch(for_failures=False)
        exchange = run.channel.orchestrated(self.n_chunks, watch=watch.look_now_and_then)
        step, rank = Step(run.task.epoch), run.task.rank
        shape = self.algorithm.contribution_shape(run.plan.model())
        with timed("transfer"):
            if exchange.has_contributed(step, rank, shape):
                return Trained(was_done=True)
        result, loss = self._result(run, watch)
        with timed("compute"):
            message = Message(*self.algorithm.contribution(result, run.rank_epoch))
        watch.look_now_and_then()  # spares the contribution of an attempt that is over
        with timed("transfer"):
            exchange.contribute(step, rank, message)
        fences = Fences(run.store, run.task)
        if fences.comes_too_late():
            exchange.withdraw(step, rank)
            if not fences.comes_too_late():  # the job goes on now, and may have seen it
                exchange.contribute(step, rank, message)
        return Trained(loss=loss)

    def end(self, run: EpochRun) -> EpochEnd:
        exchange, model = run.channel.orchestrated(self.n_chunks), run.plan.model()
        with timed("transfer"):
            aggregate = exchange.sum(Step(run.task.epoch))
        if aggregate.shape != self.algorithm.contribution_shape(model):
            run.channel.clear()  # the next attempt trains the epoch again
            raise DamagedValueError(
                f"another version of StepML trained the ranks in epoch {run.task.epoch}: they "
                f"contributed {aggregate.vector.size} + {aggregate.trailer.size} numbers"
            )
        with timed("load"):
            before = run.store.state(run.task.epoch - 1).load()
        with timed("compute"):
            outcome = self.algorithm.next_state(
                model,
                before,
                aggregate.vector,
                aggregate.trailer,
                run.plan.rank_epoch(run.task.epoch, rank=0),
                lambda: load_sample(run.store, run.plan),
            )
        return EpochEnd(
            outcome.state,
            outcome.training_loss,
            outcome.converged,
            outcome.residuals,
            outcome.lacks,
            outcome.empty_clusters,
        )

    def release(self, run: EpochRun) -> None:
        run.channel.orchestrated(self.n_chunks).release(Step(run.task.epoch))

    def _result(self, run: RankRun, watch: Watch) -> tuple[Extras, float | None]:
        """Return the rank's result and its loss; of several copies of the rank, the first one's."""
        algorithm, epoch, rank = self.algorithm, run.task.epoch, run.task.rank
        if not algorithm.keeps_rank_state:
            progress = self._train_alone(run, watch, {})
            return algorithm.rank_result(progress), _loss(run, progress)
        entry, knows = run.store.rank_state(epoch, rank), partial(algorithm.knows, run.plan.model())
        with timed("load"):
            found = run.store.storage.load_many([entry.key])
            done = entry.read_whole(found)
            if done is not None and knows(done):
                return done, None
            before = epoch - 1
            has_state = before > run.plan.rank_states_after
            rank_state = run.store.rank_state(before, rank).load() if has_state else {}
        progress = self._train_alone(run, watch, rank_state)
        result, unless = algorithm.rank_result(progress), knows if found else None
        with timed("transfer"):
            first = publish_rank_state(run.store, epoch, rank, result, unless=unless)
        return first, _loss(run, progress)

    def _train_alone(self, run: RankRun, watch: Watch, rank_state: Extras) -> RankProgress:
        model, X, y = run.load()
        rank_epoch = run.rank_epoch
        start = run.progress
        with timed("compute"):
            if start is None or not self.algorithm.knows(model, start.extras):
                start = self.algorithm.begin(model, run.state, rank_state, rank_epoch)
            progress = self.algorithm.train(
                model, start, X, y, rank_epoch, lambda: watch.verdict() is not Verdict.GO_ON
            )
        if progress.finished:
            return progress
        with timed("snapshot"):
            _save(run, progress)
        watch.look()  # raises if the execution has ended
        raise ExecutorPausedError(
            f"rank {run.task.rank} saved its progress after {progress.batches_done} batches "
            f"of epoch {run.task.epoch}"
        )


def _any_row(model: Model) -> tuple[Matrix, Array]:
    label = model.classes[0] if isinstance(model, WithClasses) else 0.0
    return np.zeros((1, model.n_features), np.float32), model.targets(np.array([label], np.float32))


def _loss(run: RankRun, progress: RankProgress) -> float | None:
    if not progress.rows_seen:
        return None
    return progress.loss_sum / progress.rows_seen * run.plan.model().loss_unit


def _save(run: RankRun, progress: RankProgress) -> None:
    entry = run.store.progress(run.task.epoch, run.task.rank)
    entry.save(progress)
    if run.store.report(run.task.epoch).exists():
        entry.delete()  # a late copy: the epoch is over and has been cleared
