"""The rows and the model of a baseline, with the choices that functions make for its job."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stepml.job.errors import NotAvailableError
from stepml.job.spec import JobSpec
from stepml.ml.choices import with_pace, with_penalty, with_scaling, with_start
from stepml.ml.data import Manifest, Moments, Scale, Shard, feature_moments, merge_moments, scaled
from stepml.ml.job_scale import mean_row, scale_for
from stepml.ml.matrices import Matrix
from stepml.ml.models import ChannelScale, DataFacts, LabelUnit, Model, build_model
from stepml.ml.models.base import Array
from stepml.ml.models.row_weights import scaled_weights, weighted
from stepml.studies.baselines.rows import Rows

Labelled = tuple[Matrix, Array]
"""Features, scaled as the job asks, and targets."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job whose rows are ready for training."""

    asked: JobSpec
    spec: JobSpec  # with all choices but those that depend on the first parameters
    facts: DataFacts  # of the training rows
    channels: ChannelScale | None  # of images
    shards: tuple[Labelled, ...]  # of each rank
    validation: Labelled
    sample: Labelled  # the first training rows

    @property
    def shard_rows(self) -> tuple[int, ...]:
        """Rows of each rank."""
        return tuple(len(y) for _, y in self.shards)

    def model(self, spec: JobSpec | None = None) -> Model:
        """Return the model of the job."""
        return _model(spec or self.spec, self.facts, self.channels)


def prepare(asked: JobSpec, rows: Rows) -> Prepared:
    """Return a job with its rows; errors as for the job.

    Parameters
    ----------
    asked : JobSpec
        As a person wrote it.
    rows : Rows
    """
    if asked.needs_code:
        raise NotAvailableError(
            f"baseline: {asked.code_fields[0]} is code of your own, which runs in functions alone"
        )
    manifest, sample = rows.manifest, rows.sample()
    shards = [rows.shard(rank) for rank in range(len(rows.shard_rows))]
    moments = merge_moments(
        feature_moments(each.X, each.remainders, each.weights) for each in shards
    ).in_rows(sum(rows.shard_rows))
    largest = max(abs(manifest.min_label), abs(manifest.max_label))
    spec = with_scaling(rows.spec, lambda: sample.X, largest, scales_table=manifest.scales_table)
    unit = LabelUnit.of(sample.y) if spec.model.trains_on_scaled_labels else LabelUnit()
    spec = _paced(spec, rows, unit, sample)
    scale = _scale(spec, rows, moments, sample)
    facts = _facts(manifest, unit, mean_row(moments, scale, sum(rows.shard_rows)))
    channels = _channels(spec, moments)
    mean_weight = float(moments.weight.sum()) / sum(rows.shard_rows) or 1.0
    model = _model(spec, facts, channels)

    def labelled(shard: Shard) -> Labelled:
        X = shard.X if scale is None else scaled(shard.X, scale, shard.remainders)
        weights = scaled_weights(shard.weights, mean_weight)
        return X, weighted(model.targets(shard.y), weights)

    ready = tuple(map(labelled, shards))
    return Prepared(
        asked, spec, facts, channels, ready, labelled(rows.validation()), labelled(sample)
    )


def _paced(spec: JobSpec, rows: Rows, unit: LabelUnit, sample: Shard) -> JobSpec:
    n_rows = sum(rows.shard_rows)
    if spec.model.is_convex:
        model = _model(spec, _facts(rows.manifest, unit), None)
        spec = with_start(spec, model, lambda: sample.X, n_rows)
    return with_pace(with_penalty(spec, n_rows), rows.shard_rows)


def _scale(spec: JobSpec, rows: Rows, moments: Moments, sample: Shard) -> Scale | None:
    data, kind = spec.data, rows.kind
    changes = data.rescales or data.drops_uninformative
    if not (changes or (data.may_lack_values and kind != "uint8")):
        return None
    return scale_for(spec, rows.manifest, moments, lambda: sample, sparse=kind == "sparse")


def _channels(spec: JobSpec, moments: Moments) -> ChannelScale | None:
    if not spec.model.takes_images or spec.data.rescales:
        return None
    variances = moments.m2 / np.maximum(moments.n, 1)
    return ChannelScale.of(moments.mean, variances, spec.model.n_channels)


def _facts(manifest: Manifest, unit: LabelUnit, mean_row: Array | None = None) -> DataFacts:
    return DataFacts(
        manifest.n_features,
        manifest.labels,
        manifest.label_counts,
        manifest.label_moments.mean,
        mean_row,
        unit,
        names=manifest.names,
    )


def _model(spec: JobSpec, facts: DataFacts, channels: ChannelScale | None) -> Model:
    return build_model(
        spec.model,
        facts.n_features,
        facts.labels,
        facts.label_counts,
        facts.label_unit,
        channels=channels,
        names=facts.names,
    )
