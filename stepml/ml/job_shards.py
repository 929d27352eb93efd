"""The plan of a job's shards."""

from __future__ import annotations

from stepml.job.spec import JobSpec
from stepml.ml.data import Manifest, ShardKind, ShardPlan, shard_kind, shard_plan


def kind_of(spec: JobSpec, manifest: Manifest) -> ShardKind:
    """Return the kind of a job's shards: bytes stay bytes if the model normalises them itself."""
    data = spec.data
    stays = spec.model.takes_images and not data.rescales
    return shard_kind(data.matrix, manifest, spec.workers, as_bytes=stays)


def split_of(spec: JobSpec, manifest: Manifest) -> tuple[ShardKind, ShardPlan]:
    """Return kind and rows of a job's shards; errors as of `shard_plan` and `shard_kind`."""
    data, kind = spec.data, kind_of(spec, manifest)
    return kind, shard_plan(
        manifest, spec.workers, data.validation_fraction, kind, stratify=data.stratify
    )
