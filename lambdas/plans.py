"""What the functions of one job tell each other through the durable store."""

from __future__ import annotations

import msgspec

from stepml.job import keys
from stepml.job.reports import DatasetReport
from stepml.job.spec import JobSpec
from stepml.ml.data import ByteRange, DataObject, Layout, PieceStatistics, Skipped
from stepml.ml.models import Model, build_model


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
    labels: list[float]  # distinct, ascending
    label_name: str  # of its column; empty without a header
    feature_names: list[str]  # empty without a header
    shard_rows: list[int]  # by rank
    validation_rows: int

    @property
    def training_rows(self) -> int:
        """Rows of all shards."""
        return sum(self.shard_rows)

    def rows(self, rank: int) -> int:
        """Return the rows of ``rank`` (or `keys.VALIDATION`)."""
        return self.validation_rows if rank == keys.VALIDATION else self.shard_rows[rank]

    def model(self) -> Model:
        """Return the job's model."""
        return build_model(self.spec.model, self.n_features, self.labels)

    def weight(self, rank: int) -> float:
        """Return the rank's share of all training rows."""
        return self.shard_rows[rank] / self.training_rows

    def shard_key(self, rank: int) -> str:
        """Return where the rows of ``rank`` (or `keys.VALIDATION`) are."""
        data = self.spec.data
        return keys.shard(self.digest, self.spec.workers, data.validation_fraction, rank)

    def dataset_report(self) -> DatasetReport:
        """Return what the reports say of the data."""
        return DatasetReport(
            digest=self.digest,
            n_features=self.n_features,
            training_rows=self.training_rows,
            validation_rows=self.validation_rows,
            classes=self.labels,
        )
