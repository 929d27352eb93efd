"""All objects of one job, by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import msgspec

from lambdas.job_store.data_sets import DataSetStore
from lambdas.job_store.entries import Entry, document, require_found
from lambdas.job_store.marks import Claim, Mark, MergedEpoch, PausedTimes, Resumed
from lambdas.job_store.plans import PartitionPlan, TrainingPlan
from lambdas.job_store.shard_store import ShardStore
from lambdas.job_store.states import (
    pack_progress,
    pack_rank_state,
    pack_scale,
    pack_state,
    unpack_progress,
    unpack_rank_state,
    unpack_scale,
    unpack_state,
)
from stepml.job import keys
from stepml.job.errors import JobIdTakenError
from stepml.job.reports import EndReport, EpochReport, Failure, Fence, JobReport
from stepml.job.spec import JobSpec
from stepml.ml.algorithms import Extras, RankProgress, State
from stepml.ml.data import Scale, ShardKind
from stepml.ml.data.pipeline import Pipeline
from storage import DurableStorage
from storage.base import Buffer

# Reports that are looked for at once: most jobs have few, and each look is a request.
_FIRST_LOOK, _LARGEST_LOOK = 4, 256


@dataclass(frozen=True, slots=True)
class JobStore:
    """The one owner of a job's keys and of the types that are stored under them."""

    storage: DurableStorage
    job_id: str

    # The plans.

    @property
    def claim(self) -> Entry[Claim]:
        """The owner of the job id."""
        return document(self.storage, keys.claim(self.job_id), Claim)

    @property
    def partition_plan(self) -> Entry[PartitionPlan]:
        """The byte ranges of the data."""
        return document(self.storage, keys.partition_plan(self.job_id), PartitionPlan)

    @property
    def training_plan(self) -> Entry[TrainingPlan]:
        """The shards and the shape of the model."""
        return document(self.storage, keys.training_plan(self.job_id), TrainingPlan)

    @property
    def scale(self) -> Entry[Scale]:
        """The scale of each feature; jobs without scaling have none."""
        return Entry(self.storage, keys.scale(self.job_id), pack_scale, unpack_scale)

    @property
    def pipeline(self) -> Entry[Pipeline]:
        """The fitted pipeline of a table; jobs on other data have none."""
        return document(self.storage, keys.pipeline(self.job_id), Pipeline)

    def begin(self, execution_arn: str, started_at: str, plan: PartitionPlan) -> PartitionPlan:
        """Claim the job id, write spec and plan, and return the plan that counts.

        Raises
        ------
        JobIdTakenError
            Another execution owns the id.
        """
        mine = Claim(execution_arn, started_at)
        owner = self.claim.publish(mine)
        if owner != mine:
            raise JobIdTakenError(
                f"run name {self.job_id!r} is taken by {owner.execution_arn}, started at "
                f"{owner.started_at}, whose objects are still stored; choose another name"
            )
        # Plain JSON, which can be started again.
        self.storage.publish(keys.spec(self.job_id), msgspec.json.encode(plan.spec))
        return self.partition_plan.publish(plan)

    def data_set(self, digest: str) -> DataSetStore:
        """Return the partitioned data with this digest."""
        return DataSetStore(self.storage, digest, self.job_id)

    def shards(
        self, digest: str, spec: JobSpec, kind: ShardKind, fingerprint: str = ""
    ) -> ShardStore:
        """Return the shards of the job's ranks."""
        data, data_set = spec.data, self.data_set(digest)
        return ShardStore(
            data_set, spec.workers, data.validation_fraction, kind, data.stratify, fingerprint
        )

    # The epochs.

    def state(self, epoch: int) -> Entry[State]:
        """The state after an epoch; epoch 0 is the start."""
        key = keys.state(self.job_id, epoch)
        return Entry(self.storage, key, partial(pack_state, epoch), unpack_state)

    def report(self, epoch: int) -> Entry[EpochReport]:
        """The report of an epoch: where it exists, the epoch is finished."""
        return document(self.storage, keys.epoch_report(self.job_id, epoch), EpochReport)

    def save_functions(self, epoch: int, lines: bytes) -> None:
        """Write the times of the functions of an epoch, one line of JSON each."""
        self.storage.save(keys.ranks(self.job_id, epoch), lines)

    def merged_epoch(self, epoch: int) -> Entry[MergedEpoch]:
        """The end of an epoch whose state is evaluated apart."""
        return document(self.storage, keys.merged_epoch(self.job_id, epoch), MergedEpoch)

    def tally(self, epoch: int, part: int) -> Entry[Extras]:
        """The sums of the state after an epoch over one slice of the validation rows."""
        key = keys.tally(self.job_id, epoch, part)
        return Entry(self.storage, key, pack_rank_state, unpack_rank_state)

    def slice_progress(self, epoch: int, part: int) -> Entry[Extras]:
        """The outputs for the first rows of a slice whose function ran out of time."""
        key = keys.slice_progress(self.job_id, epoch, part)
        return Entry(self.storage, key, pack_rank_state, unpack_rank_state)

    def tallies(self, epoch: int, n_slices: int) -> list[Extras]:
        """Return the sums over all slices, or raise `KeyNotFoundError`."""
        entries = [self.tally(epoch, part) for part in range(n_slices)]
        found = self.storage.load_many([each.key for each in entries])
        require_found(entries, found)
        return [each.decode(found[each.key], each.key) for each in entries]

    def rank_state(self, epoch: int, rank: int) -> Entry[Extras]:
        """The result of one rank in an epoch, for algorithms that need it in the next one."""
        key = keys.rank_state(self.job_id, epoch, rank)
        return Entry(self.storage, key, pack_rank_state, unpack_rank_state)

    def progress(self, epoch: int, rank: int) -> Entry[RankProgress]:
        """The progress of a rank that ran out of time."""
        key = keys.progress(self.job_id, epoch, rank)
        return Entry(self.storage, key, pack_progress, unpack_progress)

    def paused_times(self, epoch: int, rank: int) -> Entry[PausedTimes]:
        """The times of a rank's calls that have returned before the epoch's end."""
        key = keys.paused_times(self.job_id, epoch, rank)
        return document(self.storage, key, PausedTimes)

    def snapshot(self, epoch: int) -> Entry[RankProgress]:
        """The progress of all replicas of an epoch that is exchanged in flight."""
        key = keys.snapshot(self.job_id, epoch)
        return Entry(self.storage, key, pack_progress, unpack_progress)

    def last_snapshot(self, epoch: int) -> Entry[RankProgress]:
        """The end of such an epoch: where it exists, no rank needs its peers any more."""
        key = keys.last_snapshot(self.job_id, epoch)
        return Entry(self.storage, key, pack_progress, unpack_progress)

    def shared_model_mark(self, attempt: str) -> Entry[Mark]:
        """Says that an attempt's shared model has been made; also for redrives of its execution."""
        execution, _, _ = attempt.rpartition(".")
        return document(self.storage, keys.shared_model_mark(self.job_id, execution), Mark)

    def reports(self, last: int, most_functions: int = 0) -> list[EpochReport]:
        """Return the reports of epochs 1 to ``last``, or raise `KeyNotFoundError`.

        They have the times of their functions only if there are at most ``most_functions``, as
        those take most of the memory.
        """
        reports: list[EpochReport] = []
        n_functions = 0
        for first in range(1, last + 1, _LARGEST_LOOK):
            entries = [self.report(n) for n in range(first, min(first + _LARGEST_LOOK, last + 1))]
            found = self.storage.load_many([each.key for each in entries])
            require_found(entries, found)
            more = [each.decode(found[each.key], each.key) for each in entries]
            n_functions += sum(len(each.functions) for each in more)
            reports += more
            if n_functions > most_functions:
                reports = [each.without_functions() for each in reports]
        return reports

    def finished_epochs(self, after: int = 0) -> int:
        """Return the number of finished epochs; the first ``after`` are known to be finished."""
        size = _FIRST_LOOK
        while True:
            names = [keys.epoch_report(self.job_id, after + n) for n in range(1, size + 1)]
            found = self.storage.find_many(names)
            in_a_row = next((n for n, name in enumerate(names) if name not in found), size)
            after += in_a_row
            if in_a_row < size:
                return after
            size = min(2 * size, _LARGEST_LOOK)

    # Failures and ends.

    def failure(self, attempt: str) -> Entry[Failure]:
        """The first error that failed an attempt at an epoch."""
        return document(self.storage, keys.failure(self.job_id, attempt), Failure)

    def failures(self, epoch: int) -> list[Failure]:
        """Return the first errors of all attempts at an epoch that are recorded and whole."""
        names = [*self.storage.list(keys.failures_prefix(self.job_id))]
        found = self.storage.load_many(names)
        entries = [document(self.storage, name, Failure) for name in names]
        read = [each.read_whole(found) for each in entries]
        return [each for each in read if each is not None and each.epoch == epoch]

    @property
    def fence(self) -> Entry[Fence]:
        """The end of the job's execution."""
        return document(self.storage, keys.fence(self.job_id), Fence)

    def attempt_fence(self, attempt: str) -> Entry[Fence]:
        """The end of one attempt's execution."""
        return document(self.storage, keys.attempt_fence(self.job_id, attempt), Fence)

    @property
    def resumed(self) -> Entry[Resumed]:
        """A sign that the job goes on."""
        return document(self.storage, keys.resumed(self.job_id), Resumed)

    @property
    def end_report(self) -> Entry[EndReport]:
        """The end of an execution that has no model."""
        return document(self.storage, keys.ended(self.job_id), EndReport)

    # The results.

    @property
    def job_report(self) -> Entry[JobReport]:
        """The final report: where it exists, the job has come through."""
        return document(self.storage, keys.report(self.job_id), JobReport)

    def save_history(self, reports: Iterable[EpochReport]) -> None:
        """Write the report of every epoch, one line of JSON each."""
        lines = [msgspec.json.encode(each) + b"\n" for each in reports]
        self.storage.save(keys.history(self.job_id), b"".join(lines))

    def save_model(self, packed: Buffer, card: Buffer) -> None:
        """Write the model's arrays and then its card."""
        self.storage.save(keys.model(self.job_id), packed)
        self.storage.save(keys.model_card(self.job_id), card)

    def clear_progress(self) -> None:
        """Delete the progress of all ranks."""
        self.storage.clear(keys.progress_prefix(self.job_id))

    def clear_shared_model_marks(self) -> None:
        """Delete the marks of all attempts."""
        self.storage.clear(keys.shared_model_marks_prefix(self.job_id))

    def clear_snapshots(self) -> None:
        """Delete the snapshots of all epochs."""
        self.storage.clear(keys.snapshot_prefix(self.job_id))
