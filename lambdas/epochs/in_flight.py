"""Epochs of ranks that wait for each other after every batch; each has a replica of the model."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from comm import InFlightExchange, Message
from lambdas.attempts.fences import Fences
from lambdas.attempts.watch import Watch
from lambdas.channels import JobChannel
from lambdas.epochs.base import EpochEnd, Epochs, Trained, take_turn
from lambdas.epochs.runs import EpochRun, RankRun
from lambdas.job_store import TrainingPlan
from lambdas.job_store.snapshots import SnapshotKeeper, Snapshots
from lambdas.job_store.states import digest_of
from lambdas.logs import best_effort
from stepml.job.errors import (
    AttemptStoppedError,
    ExecutorPausedError,
    MissingContributionError,
    ReplayLostError,
    ReplicasDivergedError,
    WaitTimeoutError,
)
from stepml.job.step import Step
from stepml.job.stopwatch import timed
from stepml.ml.algorithms import RankProgress
from stepml.ml.algorithms.base import InFlightAlgorithm
from stepml.ml.algorithms.state import Sums
from stepml.ml.models.base import Floats
from storage.base import backoff

SAVES_SNAPSHOTS = 0  # the rank that saves them: all replicas are equal
_MOST_SAVERS = 5  # of the last one, a second apart, if rank 0 does not
_SAVED_BYTES_S = 20e6  # by rank 0 at least
# Ranks have equal work: a peer that has not contributed after so many times this rank's own time
# is not slow, but absent.
_PATIENCE = 3
_WHY = "its function is returned, as other jobs may hold the rest, and it will be called again"


class InFlightEpochs(Epochs[InFlightAlgorithm[Any]]):
    """All ranks take the same steps; a snapshot lets them come back after a pause or a crash.

    No rank leaves the epoch before its last snapshot is durable. So a rank that is called again
    never waits for peers that have left: it finds that snapshot.
    """

    def require_room(self, plan: TrainingPlan, channel: JobChannel) -> None:
        def contribution() -> Message:
            parameters = np.zeros(plan.model().n_parameters, np.float32)
            return Message(parameters, RankProgress(parameters).loss)

        channel.require_room_for_sums(contribution)

    def train(self, run: RankRun) -> Trained:
        """Train one rank; errors as of `Epochs.train`, and one more.

        Raises
        ------
        ReplayLostError
            The channel has lost the sums that the rank needs to catch up with its peers.
        """
        if run.start.finished:  # the rank was called again after the last batch
            return Trained(digest=digest_of(run.start.state))
        watch, batches_done = run.watch(), run.start.batches_done
        exchange = self._exchange(run, batches_done, watch)
        try:
            return self._train(run, batches_done, watch, exchange)
        except (AttemptStoppedError, ExecutorPausedError):
            if watch.is_over and Fences(run.store, run.task).comes_too_late():
                exchange.withdraw()
            raise
        except WaitTimeoutError as error:
            with best_effort("delete what is not needed", job_id=run.task.job_id):
                exchange.close()
            if not exchange.n_exchanges:  # peers have not begun: perhaps they lack functions
                take_turn(run, watch)
            raise WaitTimeoutError(error.missing, exchange.patience_s, _WHY) from error
        except ReplayLostError as error:
            paused = _pause_if_later(run, batches_done)
            if paused is None:
                raise
            raise paused from error

    def end(self, run: EpochRun) -> EpochEnd:
        """Return the last snapshot, with which all ranks must have ended.

        Raises
        ------
        MissingContributionError
            There is no last snapshot: the epoch has to be trained again.
        ReplicasDivergedError
            Ranks ended with different states: likewise.
        """
        snapshots = Snapshots(run.store, run.task.epoch)
        with timed("load"):
            final = snapshots.load()
        if final is None or not final.finished:
            raise MissingContributionError([0], f"the end of epoch {run.task.epoch}")
        digest = digest_of(final.state)
        others = sorted(result.rank for result in run.task.executors if result.digest != digest)
        if others:
            _discard(run, snapshots)
            raise ReplicasDivergedError(
                f"epoch {run.task.epoch} ended with another state than the last snapshot in rank "
                f"{', '.join(map(str, others))}; it trains again"
            )
        return EpochEnd(final.state, final.training_loss)

    def release(self, run: EpochRun) -> None:
        batches = range(1, self.algorithm.n_batches(run.plan.shard_rows) + 1)
        exchange = run.channel.in_flight(run.task, 0, run.plan.model().n_parameters)
        exchange.forget(Step(run.task.epoch, batch) for batch in batches)
        exchange.withdraw()
        Snapshots(run.store, run.task.epoch).delete()

    def _exchange(self, run: RankRun, batches_done: int, watch: Watch) -> EpochExchange:
        wait = Wait(run, watch, batches_done + 1, time.monotonic())
        exchange = run.channel.in_flight(
            run.task, run.task.rank, run.plan.model().n_parameters, watch=wait
        )
        return EpochExchange(exchange, wait, run.task.epoch, time.monotonic())

    def _train(
        self, run: RankRun, batches_done: int, watch: Watch, exchange: EpochExchange
    ) -> Trained:
        keeper = SnapshotKeeper(
            Snapshots(run.store, run.task.epoch),
            exchange.forget,
            batches_done,
            interval_s=run.timing.snapshot_interval_s,
        )
        saves = run.task.rank == SAVES_SNAPSHOTS
        model, X, y = run.load()
        # The start is not the end, so there is a step. During it, nothing refers to the start.
        with timed("compute"):
            for progress in self.algorithm.steps(
                model, run.take_start(), X, y, run.rank_epoch, exchange, watch.must_pause
            ):
                if saves:
                    keeper.after_step(progress)
        if saves:
            keeper.save(progress)
        elif progress.finished:
            with timed("wait"):
                exchange.waited_s += self._await_last_snapshot(run, watch, progress)
        with timed("transfer"):
            exchange.close()
        if not progress.finished:
            raise ExecutorPausedError(
                f"all ranks stopped after {progress.batches_done} batches of epoch {run.task.epoch}"
            )
        loss = progress.training_loss * model.loss_unit if progress.rows_seen else None
        return Trained(exchange.waited_s, digest_of(progress.state), loss=loss)

    def _await_last_snapshot(self, run: RankRun, watch: Watch, progress: RankProgress) -> float:
        """Wait until the epoch's end is durable; save it if rank 0 does not. Return the seconds."""
        snapshots, began = Snapshots(run.store, run.task.epoch), time.monotonic()
        sizes = [progress.parameters.nbytes, *(each.nbytes for each in progress.extras.values())]
        patience_s = run.timing.last_snapshot_s + sum(sizes) / _SAVED_BYTES_S
        patience_s += min(run.task.rank, _MOST_SAVERS) - 1
        delays = backoff()
        time.sleep(next(delays))  # rank 0 has the last sum no earlier than this one
        while not snapshots.has_last():
            if time.monotonic() - began >= patience_s:
                snapshots.save(progress)
                break
            time.sleep(next(delays))
            watch()
        return time.monotonic() - began


def _pause_if_later(run: RankRun, batches_done: int) -> ExecutorPausedError | None:
    """Return the pause of a rank whose peers have saved a later snapshot, or None.

    With such a snapshot, a lost sum only means that this rank was slow.
    """
    later = Snapshots(run.store, run.task.epoch).load()
    if later is None or later.batches_done <= batches_done:
        return None
    return ExecutorPausedError(
        f"rank {run.task.rank} goes on from the snapshot after batch {later.batches_done}"
    )


def _discard(run: EpochRun, snapshots: Snapshots) -> None:
    """Delete everything from which the next attempt would reach the same end.

    The exchanged values led to different replicas. The snapshot goes first: with it, all ranks of
    the next attempt would agree on its state.
    """
    run.fences.look()  # the next attempt may have begun
    snapshots.delete()
    with best_effort("clear the channel", job_id=run.task.job_id, epoch=run.task.epoch):
        run.channel.clear_epoch(run.task.epoch)


@dataclass(slots=True)
class Wait:
    """The watch of a rank that waits for a sum.

    If the channel loses the last sum of an epoch when the other ranks have returned, no rank makes
    it again. But the snapshot has it then, so a long wait looks there.
    """

    run: RankRun
    watch: Watch
    batch: int  # whose sum is next
    since: float  # by time.monotonic: of the wait, or of the last look at the snapshot
    seen: tuple[str | None, ...] = ()  # versions of the snapshots that were loaded last

    def begin(self, batch: int) -> None:
        """Note that the rank asks for the sum of ``batch`` from now on."""
        self.batch, self.since = batch, time.monotonic()

    def __call__(self) -> None:
        """Check that it makes sense to go on waiting; errors as of `Watch`."""
        self.watch()
        now = time.monotonic()
        if now - self.since >= self.run.timing.lost_sum_s:
            self.since = now
            self._look()

    def _look(self) -> None:
        versions = Snapshots(self.run.store, self.run.task.epoch).versions()
        if versions == self.seen:  # they are as large as the model
            return
        self.seen = versions
        paused = _pause_if_later(self.run, self.batch - 1)
        if paused is not None:
            raise paused


@dataclass(slots=True)
class EpochExchange:
    """The exchange of one epoch, as the algorithm sees it."""

    exchange: InFlightExchange
    wait: Wait
    epoch: int
    left_at: float  # by time.monotonic: the last exchange, or the call's start
    n_exchanges: int = 0
    waited_s: float = 0.0  # in all steps: an exchange mostly waits for peers
    longest_s: float = 0.0  # of this rank's own work between two exchanges

    @property
    def patience_s(self) -> float:
        """The longest wait for peers in the next exchange."""
        timing = self.wait.run.timing
        limit_s = timing.wait_s if self.n_exchanges else timing.first_wait_s
        return max(limit_s, _PATIENCE * self.longest_s)

    def all_reduce(self, batch: int, vector: Floats, trailer: Sums, pause: bool) -> Message:
        """Return the sum of all ranks' parts of ``batch``."""
        message = Message(vector, trailer, pause)
        began = time.monotonic()
        self.longest_s = max(self.longest_s, began - self.left_at)
        self.exchange.timeout_s = self.patience_s
        self.wait.begin(batch)
        with timed("transfer"):
            aggregate = self.exchange.all_reduce(Step(self.epoch, batch), message, into=vector)
        self.left_at = time.monotonic()
        self.waited_s += self.left_at - began
        self.n_exchanges += 1
        return aggregate

    def replay(self, batch: int) -> Message | None:
        """Return the sum of a batch that the ranks have finished, if it is still there."""
        self.wait.begin(batch)
        with timed("transfer"):
            return self.exchange.replay(Step(self.epoch, batch))

    def forget(self, batches: Iterable[int]) -> None:
        """Delete the sums of ``batches``."""
        self.exchange.forget(Step(self.epoch, batch) for batch in batches)

    def close(self) -> None:
        """Delete the values that no rank needs any more."""
        self.exchange.close()

    def withdraw(self) -> None:
        """Delete the values that this rank has published."""
        with best_effort("take back what was exchanged", epoch=self.epoch):
            self.exchange.withdraw()
