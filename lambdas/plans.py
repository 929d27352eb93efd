"""What the functions of one job tell each other through the durable store."""

from __future__ import annotations

from typing import Literal

import msgspec

from stepml.job import keys
from stepml.job.reports import DatasetReport
from stepml.job.spec import JobSpec
from stepml.ml.algorithms import RankEpoch
from stepml.ml.data import ByteRange, DataObject, Layout, PieceStatistics, Skipped
from stepml.ml.models import Model, build_model
from stepml.ml.models.classes import as_stored


class Claim(msgspec.Struct, frozen=True):
    """Who owns a job id."""

    execution_arn: str
    started_at: str  # ISO 8601; names return after 90 days, start times do not


class PartitionPlan(msgspec.Struct, frozen=True):
    """Which bytes are parsed by whom."""

    spec: JobSpec
    run: str  # tells this run from others of the same job id
    digest: str  # content address of the partitioned data set
    bucket: str  # of the data
    objects: list[DataObject]
    layout: Layout
    tasks: list[list[ByteRange]]
    resumed_from: str = ""  # the job that has trained the epochs with which this one begins
    resumed_epochs: int = 0  # so many of them; 0: it begins anew
    own_states_after: int = 0  # as in the training plan


class RangeSummary(msgspec.Struct, frozen=True):
    """What a range task wrote."""

    pieces: list[PieceStatistics]
    skipped: Skipped


class TrainingPlan(msgspec.Struct, frozen=True):
    """What executors and reducer need to know."""

    spec: JobSpec
    run: str  # as in the partition plan
    digest: str
    n_features: int
    matrix: Literal["dense", "sparse"]  # how shards hold their rows
    labels: list[float] | None  # distinct, ascending; None: more than 1,000
    label_counts: list[int] | None  # rows of each label
    label_name: str  # of its column; empty without a header
    feature_names: list[str]  # empty without a header
    shard_rows: list[int]  # by rank
    validation_rows: int
    density: float  # share of values that are stored
    skipped_rows: int
    skipped_samples: list[str]
    # The last epoch from which ranks have no states of their own: 0, or where a job of another
    # world size was resumed.
    own_states_after: int = 0

    @property
    def training_rows(self) -> int:
        """Rows of all shards."""
        return sum(self.shard_rows)

    @property
    def row_bytes(self) -> float:
        """Mean size of a row in a shard."""
        if self.matrix == "dense":
            return 4 * (self.n_features + 1)
        return 8 * self.density * self.n_features + 12

    def rows(self, rank: int) -> int:
        """Return the rows of ``rank`` (or `keys.VALIDATION`)."""
        return self.validation_rows if rank == keys.VALIDATION else self.shard_rows[rank]

    def model(self) -> Model:
        """Return the job's model."""
        return build_model(self.spec.model, self.n_features, self.labels, self.label_counts)

    def rank_epoch(self, epoch: int, rank: int) -> RankEpoch:
        """Return the part of ``rank`` in ``epoch``."""
        return RankEpoch(epoch, rank, tuple(self.shard_rows), self.spec.data.seed)

    def shard_key(self, rank: int) -> str:
        """Return where the rows of ``rank`` (or `keys.VALIDATION`) are."""
        data = self.spec.data
        workers, fraction = self.spec.workers, data.validation_fraction
        return keys.shard(self.digest, workers, fraction, self.matrix, rank)

    def dataset_report(self) -> DatasetReport:
        """Return what the reports say of the data."""
        return DatasetReport(
            digest=self.digest,
            n_features=self.n_features,
            training_rows=self.training_rows,
            validation_rows=self.validation_rows,
            classes=self._classes(),
            matrix=self.matrix,
            density=self.density,
            skipped_rows=self.skipped_rows,
            skipped_samples=self.skipped_samples,
        )

    def _classes(self) -> list[float]:
        """Return the labels as they stand in the data, if they are classes."""
        learnt = self.labels if self.spec.model.learns_classes else None
        return [as_stored(label) for label in learnt or ()]
