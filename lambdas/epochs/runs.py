"""One call of a rank, or of the reducer, in an epoch: everything that its work needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from lambdas.attempts.fences import Fences
from lambdas.attempts.timing import Timing
from lambdas.attempts.watch import Watch
from lambdas.channels import JobChannel, channel_of
from lambdas.environment import Deadline
from lambdas.job_store import JobStore, TrainingPlan
from lambdas.job_store.entries import require_found
from lambdas.job_store.shards import load_shard
from lambdas.job_store.snapshots import Snapshots
from stepml.job.stopwatch import timed
from stepml.job.tasks import ExecutorTask, ReducerTask
from stepml.ml.algorithms import RankEpoch, RankProgress, State
from stepml.ml.matrices import Matrix
from stepml.ml.models import Model
from stepml.ml.models.base import Array
from stepml.ml.models.row_weights import targets_on

_NO_STATE = State(np.empty(0, np.float32))


@dataclass(slots=True)
class RankRun:
    """One call of a rank."""

    task: ExecutorTask
    plan: TrainingPlan
    store: JobStore
    deadline: Deadline
    timing: Timing
    state: State  # of the epoch before
    progress: RankProgress | None  # of this rank, if an earlier call ran out of time
    snapshot: RankProgress | None  # of all replicas, if the epoch is exchanged in flight
    was_paused: bool  # this call continues the work of an earlier one

    @classmethod
    def begin(
        cls, task: ExecutorTask, store: JobStore, deadline: Deadline, timing: Timing
    ) -> Self | None:
        """Load everything in one round trip; return None if the epoch is over already.

        Raises
        ------
        AttemptStoppedError
            The execution has ended.
        KeyNotFoundError
            The plan or the state of the epoch before is absent.
        DamagedValueError
            One of them is damaged, or the last snapshot.
        """
        fences, report = Fences(store, task), store.report(task.epoch)
        plan, state = store.training_plan, store.state(task.epoch - 1)
        progress, snapshots = store.progress(task.epoch, task.rank), Snapshots(store, task.epoch)
        names = [each.key for each in (plan, state, report, progress)]
        found = store.storage.load_many([*names, *snapshots.keys, *fences.keys])
        if report.key in found:
            return None
        fences.begin(found)
        require_found([plan, state], found)
        saved, snapshot = progress.read_whole(found), snapshots.read(found)
        return cls(
            task,
            plan.decode(found[plan.key], plan.key),
            store,
            deadline,
            timing,
            state.decode(found[state.key], state.key),
            saved,
            snapshot,
            was_paused=saved is not None or snapshot is not None,
        )

    @property
    def start(self) -> RankProgress:
        """The point from which ranks in flight go on."""
        return self.snapshot or RankProgress(self.state.parameters, extras=self.state.extras)

    def take_start(self) -> RankProgress:
        """Return `start`, which is large, and keep no reference to it."""
        start = self.start
        self.state, self.snapshot = _NO_STATE, None
        return start

    @property
    def channel(self) -> JobChannel:
        """The channel of the job."""
        return channel_of(self.store, self.plan)

    @property
    def rank_epoch(self) -> RankEpoch:
        """The part of the rank in the epoch."""
        return self.plan.rank_epoch(self.task.epoch, self.task.rank)

    def watch(self, *, for_failures: bool = True) -> Watch:
        """Return a watch that begins now."""
        return Watch(
            self.store,
            self.task,
            self.deadline,
            for_failures=for_failures,
            interval_s=self.timing.watch_interval_s,
        )

    def load(self) -> tuple[Model, Matrix, Array]:
        """Return the model, and features and targets of the rank's rows."""
        shard, model = load_shard(self.store, self.plan, self.task.rank), self.plan.model()
        with timed("load"):
            return model, shard.X, targets_on(model, shard)


@dataclass(frozen=True, slots=True)
class EpochRun:
    """One call of the reducer."""

    task: ReducerTask
    plan: TrainingPlan
    store: JobStore

    @property
    def channel(self) -> JobChannel:
        """The channel of the job."""
        return channel_of(self.store, self.plan)

    @property
    def fences(self) -> Fences:
        """The fences of the attempt."""
        return Fences(self.store, self.task)
