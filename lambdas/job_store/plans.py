"""The documents by which the functions of one job inform each other."""

from __future__ import annotations

from typing import Self

import msgspec
import numpy as np

from stepml.job import keys
from stepml.job.choices import Choices, choices_between
from stepml.job.errors import NotEnoughDataError
from stepml.job.reports import DatasetFacts, DatasetReport, JobWarning, Preparation
from stepml.job.spec import JobSpec, Stop
from stepml.ml.algorithms import RankEpoch
from stepml.ml.class_names import NUMBERS, ClassNames
from stepml.ml.data import (
    ByteRange,
    DataObject,
    Interval,
    Layout,
    Manifest,
    Moments,
    PieceStatistics,
    Shard,
    ShardKind,
    ShardPlan,
    Skipped,
)
from stepml.ml.dataset_facts import dataset_facts
from stepml.ml.models import ChannelScale, DataFacts, LabelUnit, Model, NetworkLayout, build_model
from stepml.ml.models.base import Floats
from stepml.ml.models.row_weights import scaled_weights
from stepml.ml.own.code import directory_of


class PartitionPlan(msgspec.Struct, frozen=True):
    """The byte ranges of each range task."""

    spec: JobSpec
    run: str  # differs between runs of the same job id
    digest: str  # content address of the partitioned data set
    bucket: str  # of the data
    objects: list[DataObject]
    layout: Layout
    tasks: list[list[ByteRange]]
    notes: list[str] = []  # on facts about the data that were inferred
    choices: Choices = {}  # in ``spec``, of fields that the job leaves open
    resumed_from: str = ""  # the job that trained the first epochs of this one
    resumed_epochs: int = 0  # number of these epochs; 0: the job begins anew
    code: str = ""  # SHA-256 of the zip file with the user's own network
    # As in the training plan.
    rank_states_after: int = msgspec.field(default=0, name="own_states_after")


class RangeSummary(msgspec.Struct, frozen=True):
    """The result of a range task."""

    range: int  # its number
    pieces: list[PieceStatistics]
    skipped: Skipped
    levels: list[list[str]] = []  # of each category of the table


class TrainingPlan(msgspec.Struct, frozen=True):
    """Data, shards and model, as executors and reducer need them."""

    spec: JobSpec
    run: str  # as in the partition plan
    digest: str
    n_features: int
    matrix: ShardKind  # of the shards
    labels: list[float] | None  # distinct, ascending; None: more than 1,000
    label_counts: list[int] | None  # rows of each label
    label_name: str  # of its column; empty without a header
    feature_names: list[str]  # empty without a header
    shard_rows: list[int]  # by rank
    validation_rows: int  # the first ones in the order of ids
    density: float  # share of values that are stored
    skipped_rows: int
    skipped_samples: list[str]
    # Position of the first training row; None, in plans of earlier versions: behind validation.
    training_start: int | None = None
    quotas: tuple[int, ...] = ()  # validation rows of each label; empty: ids alone decide
    fingerprint: str = ""  # of the rows; empty: an earlier version made the plan
    label_unit: LabelUnit = LabelUnit()  # in which a regression trains
    n_fine: int = 0  # features with remainders in the shards
    network: NetworkLayout | None = None  # of a neural network
    channels: ChannelScale | None = None  # of images
    saved_row_bytes: int = 0  # of a network: activations of a row in training
    code: str = ""  # as in the partition plan
    names: ClassNames = NUMBERS  # of labels that are codes
    about: DatasetFacts = DatasetFacts()
    # Validation losses of a model that ignores the features, and of the first state.
    constant_loss: float | None = None
    first_loss: float | None = None
    # Of the objective of all training rows before training, in sight; relative to it.
    start_fall: float | None = None
    # The last epoch without rank states: 0, or that at which a job of another size was resumed.
    rank_states_after: int = msgspec.field(default=0, name="own_states_after")
    mean_weight: float | None = None  # of the training rows; None: rows have no weights
    resumed_epochs: int = 0  # as in the partition plan
    preparation_usd: float = 0.0  # cost of the job before its first epoch, and of its ends
    preparation: Preparation = Preparation()  # the same in detail

    @classmethod
    def of(
        cls,
        partition: PartitionPlan,
        spec: JobSpec,
        manifest: Manifest,
        kind: ShardKind,
        intervals: ShardPlan,
        label_unit: LabelUnit | None = None,
    ) -> Self:
        """Return the plan of a job on the data that ``manifest`` describes.

        ``spec`` is the partition plan's with a value in each open field.
        """
        layout = manifest.layout
        names, column = layout.column_names, layout.label_column
        return cls(
            spec=spec,
            run=partition.run,
            digest=partition.digest,
            n_features=manifest.n_features,
            matrix=kind,
            labels=None if manifest.labels is None else list(manifest.labels),
            label_counts=None if manifest.label_counts is None else list(manifest.label_counts),
            label_name=names[column] if names and column >= 0 else "",
            feature_names=[each.name for each in layout.raw_columns] if names else [],
            shard_rows=[interval.n_rows for interval in intervals.shards],
            validation_rows=intervals.validation.n_rows,
            training_start=intervals.training_start,
            quotas=intervals.validation.quotas,
            density=manifest.nnz / (manifest.n_rows * manifest.n_features),
            skipped_rows=manifest.skipped_rows,
            skipped_samples=list(manifest.skipped_samples),
            fingerprint=manifest.fingerprint,
            label_unit=label_unit or LabelUnit(),
            code=partition.code,
            names=manifest.names,
            n_fine=len(layout.fine) if kind == "dense" else 0,
            about=msgspec.structs.replace(
                dataset_facts(spec, manifest, len(partition.objects), partition.notes),
                choices=partition.choices | choices_between(partition.spec, spec),
            ),
            rank_states_after=partition.rank_states_after,
            resumed_epochs=partition.resumed_epochs,
        )

    def with_network(self, moments: Moments, row_bytes: int) -> Self:
        """Return the plan with the facts of a neural network, given the training rows' moments."""
        plan, model = self, self.spec.model
        if model.takes_images and not self.spec.data.rescales:
            variances = moments.m2 / np.maximum(moments.n, 1)
            channels = ChannelScale.of(moments.mean, variances, model.n_channels)
            plan = msgspec.structs.replace(plan, channels=channels)
        return msgspec.structs.replace(
            plan, network=plan.model().network, saved_row_bytes=row_bytes
        )

    def with_weights(self, moments: Moments) -> Self:
        """Return the plan with the mean weight of the training rows, given their moments.

        Raises
        ------
        NotEnoughDataError
            All weights are 0.
        """
        if not len(moments.weight):
            return self
        mean = float(moments.weight[0]) / self.training_rows
        if not np.float32(mean) > 0:
            raise NotEnoughDataError(
                "data.weight: expected a weight above 0 for some training row, got 0 for all "
                f"{self.training_rows:,}"
            )
        return msgspec.structs.replace(self, mean_weight=mean)

    def weights_of(self, rows: Shard) -> Floats | None:
        """Return the weights of rows, if they have any, in units of the mean."""
        return scaled_weights(rows.weights, self.mean_weight or 1.0)

    def with_rows_of(self, other: Self) -> Self:
        """Return the plan with another plan's facts of its network and of the rows' weights."""
        names = ("network", "channels", "saved_row_bytes", "mean_weight")
        return msgspec.structs.replace(self, **{name: getattr(other, name) for name in names})

    def noting(self, notes: list[str], warnings: list[JobWarning]) -> Self:
        """Return the plan with more notes and warnings about the data."""
        about = msgspec.structs.replace(
            self.about,
            notes=[*self.about.notes, *notes],
            warnings=[*self.about.warnings, *warnings],
        )
        return msgspec.structs.replace(self, about=about)

    @property
    def first_training(self) -> int:
        """The position of the first training row in the order of ids."""
        return self.validation_rows if self.training_start is None else self.training_start

    def ending_like(self, stop: Stop) -> Self:
        """Return the plan with tolerance and patience of ``stop``; others than before are new."""
        before, choices = self.spec.stop, dict(self.about.choices)
        for name in ("tolerance", "patience"):
            value = getattr(stop, name)
            if value is not None and value != getattr(before, name):
                choices[f"stop.{name}"] = value
        return msgspec.structs.replace(
            self,
            spec=msgspec.structs.replace(self.spec, stop=stop),
            about=msgspec.structs.replace(self.about, choices=choices),
        )

    @property
    def training_rows(self) -> int:
        """Rows of all shards."""
        return sum(self.shard_rows)

    @property
    def row_bytes(self) -> float:
        """Mean size of a row's float32 values and label; bytes become float32 in the model."""
        if self.matrix == "sparse":
            return 8 * self.density * self.n_features + 12
        return 4 * (self.n_features + 1)

    @property
    def stored_row_bytes(self) -> float:
        """Mean size of a row in a shard, with its remainders and its weight."""
        weight = 0 if self.mean_weight is None else 4
        if self.matrix == "uint8":
            return self.n_features + 4 + weight
        return self.row_bytes + 4 * self.n_fine + weight

    def rows(self, rank: int) -> int:
        """Return the rows of ``rank`` (or `keys.VALIDATION`)."""
        return self.validation_rows if rank == keys.VALIDATION else self.shard_rows[rank]

    def interval(self, rank: int) -> Interval:
        """Return the positions of the rows of ``rank`` (or `keys.VALIDATION`)."""
        start = 0
        if rank != keys.VALIDATION:
            start = self.first_training + sum(self.shard_rows[:rank])
        return Interval(start, start + self.rows(rank), self.quotas)

    def model(self) -> Model:
        """Return the job's model."""
        return build_model(
            self.spec.model,
            self.n_features,
            self.labels,
            self.label_counts,
            self.label_unit,
            self.network,
            self.channels,
            directory_of(self.code) if self.code else None,
            self.names,
        )

    def facts(self, manifest: Manifest, mean_row: Floats) -> DataFacts:
        """Return the facts of a model that ignores the features.

        ``mean_row`` is the mean of the training rows, as prepared for training.
        """
        mean = manifest.label_moments.mean
        names = self.names
        return DataFacts(
            self.n_features, self.labels, self.label_counts, mean, mean_row, names=names
        )

    def rank_epoch(self, epoch: int, rank: int) -> RankEpoch:
        """Return the part of ``rank`` in ``epoch``."""
        return RankEpoch(epoch, rank, tuple(self.shard_rows), self.spec.data.seed)

    def dataset_report(self) -> DatasetReport:
        """Return the summary of the data for the reports."""
        return DatasetReport(
            **msgspec.structs.asdict(self.about),
            digest=self.digest,
            n_features=self.n_features,
            training_rows=self.training_rows,
            validation_rows=self.validation_rows,
            matrix=self.matrix,
            density=self.density,
            skipped_rows=self.skipped_rows,
            skipped_samples=self.skipped_samples,
        )
