"""Trains one rank in flight: it waits for its peers after every batch, and keeps a replica."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from comm import InFlightExchange, Message
from lambdas.environment import Deadline
from lambdas.exchanges import WAIT_S, open_in_flight
from lambdas.logs import best_effort
from lambdas.plans import TrainingPlan
from lambdas.shards import load_shard
from lambdas.snapshots import SnapshotKeeper, Snapshots
from lambdas.states import digest_of
from lambdas.watch import Watch
from stepml.job.errors import AttemptStoppedError, ExecutorPausedError, ReplayLostError
from stepml.job.step import Step
from stepml.job.tasks import ExecutorTask
from stepml.ml.algorithms import InFlightAlgorithm, RankProgress
from stepml.ml.algorithms.base import Sums
from stepml.ml.models.base import Floats
from storage import DurableStorage


@dataclass(frozen=True, slots=True)
class Trained:
    """What is told of a rank that is through with its epoch."""

    waited_s: float = 0.0  # for its peers
    digest: str = ""  # of its replica, if the epoch is exchanged in flight
    was_there: bool = False  # an earlier attempt had done it


SAVES_SNAPSHOTS = 0  # the rank that does so; its replica is as good as any


def train_replica(
    task: ExecutorTask,
    plan: TrainingPlan,
    algorithm: InFlightAlgorithm[Any],
    start: RankProgress,
    storage: DurableStorage,
    deadline: Deadline,
) -> Trained:
    """Train ``task.rank`` to the end of the epoch.

    Raises
    ------
    ExecutorPausedError
        A rank's deadline is near: all stop after the same batch, and go on from a snapshot; or
        this one has to go on from a later one.
    PeerFailedError
        Another rank has failed for good.
    ReplayLostError
        The channel has lost what the rank needs to catch up with its peers.
    AttemptStoppedError
        The execution has ended for which this function works.
    """
    if start.finished:  # the last snapshot: somebody was called again after the last batch
        return Trained(digest=digest_of(start.state))
    watch = Watch(task, storage, deadline)
    exchange = EpochExchange(open_in_flight(task, task.rank, plan, storage, watch), task.epoch)
    try:
        return _train(task, plan, algorithm, start, storage, watch, exchange)
    except (AttemptStoppedError, ExecutorPausedError):
        if watch.is_over:
            exchange.withdraw()
        raise
    except ReplayLostError as error:
        later = Snapshots(storage, task.job_id, task.epoch).load()
        if later is None or later.batches_done <= start.batches_done:
            raise
        # Nothing is lost: it hung for so long that its peers have saved a later snapshot.
        raise ExecutorPausedError(
            f"rank {task.rank} goes on from the snapshot after batch {later.batches_done}"
        ) from error


def _train(
    task: ExecutorTask,
    plan: TrainingPlan,
    algorithm: InFlightAlgorithm[Any],
    start: RankProgress,
    storage: DurableStorage,
    watch: Watch,
    exchange: EpochExchange,
) -> Trained:
    snapshots = Snapshots(storage, task.job_id, task.epoch)
    keeper = SnapshotKeeper(snapshots, exchange.forget, start.batches_done)
    shard = load_shard(task.job_id, task.rank, plan, storage)
    model, progress = plan.model(), start
    y, rank_epoch = model.targets(shard.y), plan.rank_epoch(task.epoch, task.rank)
    for progress in algorithm.steps(
        model, start, shard.X, y, rank_epoch, exchange, watch.is_time_to_pause
    ):
        if task.rank == SAVES_SNAPSHOTS:
            keeper.after_step(progress)
    if task.rank == SAVES_SNAPSHOTS:
        keeper.save(progress)
    exchange.close()
    if not progress.finished:
        raise ExecutorPausedError(
            f"all ranks stopped after {progress.batches_done} batches of epoch {task.epoch}"
        )
    return Trained(exchange.waited_s, digest_of(progress.state))


@dataclass(slots=True)
class EpochExchange:
    """The exchange of one epoch, as the algorithm sees it."""

    exchange: InFlightExchange
    epoch: int
    waited_s: float = 0.0  # in all steps: what an exchange takes is mostly waiting for peers

    def all_reduce(self, batch: int, vector: Floats, trailer: Sums, pause: bool) -> Message:
        """Return the sum of all ranks' parts of ``batch``."""
        message = Message(vector, trailer, pause)
        began = time.monotonic()
        aggregate = self.exchange.all_reduce(Step(self.epoch, batch), message)
        self.waited_s += time.monotonic() - began
        self.exchange.timeout_s = WAIT_S  # by now all are running
        return aggregate

    def replay(self, batch: int) -> Message | None:
        """Return the sum of a batch that the ranks are through with, if there is one."""
        return self.exchange.replay(Step(self.epoch, batch))

    def forget(self, batches: Iterable[int]) -> None:
        """Delete the sums of ``batches``."""
        self.exchange.forget(Step(self.epoch, batch) for batch in batches)

    def close(self) -> None:
        """Delete what nobody needs any more."""
        self.exchange.close()

    def withdraw(self) -> None:
        """Delete what this rank has published."""
        with best_effort("take back what was exchanged", epoch=self.epoch):
            self.exchange.withdraw()
