"""Statistics of all pieces → the manifest of a data set, and the plan of its shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import xxhash

from stepml.job.errors import EmptyDataError, InvalidDataError, NotEnoughDataError
from stepml.ml.data.formats.rows import Skipped
from stepml.ml.data.labels import (
    NO_LABELS,
    LabelMoments,
    merge_label_counts,
    merge_label_moments,
)
from stepml.ml.data.layout import Layout
from stepml.ml.data.pieces import PieceStatistics
from stepml.ml.data.remainders import Ends, merged_ends
from stepml.ml.data.row_ids import N_BUCKETS

MAX_SKIPPED_SAMPLES = 10
MAX_VALIDATION_BYTES = 64 * 2**20
# A function of 3 GB may have two shards in memory: the last one and the next one.
MAX_SHARD_BYTES = 2**30
# Indices are int32.
MAX_SPARSE_FEATURES = 2**31 - 1
# A pair needs twice the memory of a dense value, and about ten times the time of arithmetic.
SPARSE_DENSITY = 0.1

ShardKind = Literal["dense", "sparse"]
_STORED = {"dense": "dense float32", "sparse": "pairs"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A stored piece."""

    key: str
    n_rows: int
    value_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A partitioned data set."""

    digest: str  # content address, see `dataset_digest`
    layout: Layout  # with the facts that only range tasks find
    n_rows: int
    n_features: int
    labels: tuple[float, ...] | None  # distinct ones as written, ascending; None: over 1,000
    label_counts: tuple[int, ...] | None  # rows of each label
    min_label: float
    max_label: float
    nnz: int  # stored values
    bucket_counts: tuple[int, ...]  # rows in each of the 4096 buckets of ids
    pieces: tuple[Piece, ...]  # in the order of objects and offsets
    skipped_rows: int  # bad rows that were skipped
    skipped_samples: tuple[str, ...]  # messages about the first ones, at most 10
    # Only for reports: the last bits depend on the ranges.
    label_moments: LabelMoments = field(default=NO_LABELS, compare=False)
    missing_values: int = 0  # features that were filled in, or will be
    fine_ends: tuple[Ends, ...] = ()  # of the values of each fine feature

    @property
    def n_validation(self) -> int | None:
        """The number of rows that are for validation by themselves; None: ids decide."""
        if not self.layout.names_validation:
            return None
        return sum(self.bucket_counts[: N_BUCKETS // 2])

    @property
    def fingerprint(self) -> str:
        """A hash of the rows' statistics, which depends neither on ranges nor on ETags."""
        shape = (self.n_rows, self.n_features, self.nnz, self.bucket_counts)
        labels = (self.labels, self.label_counts, self.min_label, self.max_label)
        return xxhash.xxh3_64_hexdigest(repr((shape, labels)).encode())


@dataclass(frozen=True, slots=True)
class Interval:
    """Positions ``[start, stop)`` in the order of row ids."""

    start: int
    stop: int

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The rows of each shard."""

    validation: Interval
    shards: tuple[Interval, ...]  # by rank

    @property
    def training_start(self) -> int:
        """The position of the first training row."""
        return self.shards[0].start


def rows_name(fingerprint: str, interval: Interval, kind: ShardKind) -> str:
    """Return the name of the rows of a shard, by which a misplaced one is noticed."""
    return f"{fingerprint} {interval.start}-{interval.stop} {kind}"


def merge(
    digest: str,
    layout: Layout,
    statistics: Sequence[PieceStatistics],
    skipped: Sequence[Skipped] = (),
) -> Manifest:
    """Return the manifest of the pieces of all range tasks, which may be in any order.

    Parameters
    ----------
    statistics : sequence of PieceStatistics
        Of all pieces.
    skipped : sequence of Skipped
        The skipped rows of each range task, in order.

    Raises
    ------
    EmptyDataError
        There are no rows, or all were skipped.
    InvalidDataError
        No row has a feature.
    """
    ordered = sorted(statistics, key=lambda each: each.first)
    if not ordered:
        raise _no_rows(skipped)
    layout = ordered[0].layout or layout
    n_features = layout.n_features or max(each.n_features for each in ordered)
    if n_features == 0:
        raise InvalidDataError("no row of the data set has a feature")
    labels = merge_label_counts((each.labels, each.label_counts) for each in ordered)
    return Manifest(
        digest=digest,
        layout=layout,
        n_rows=sum(each.n_rows for each in ordered),
        n_features=n_features,
        labels=None if labels is None else tuple(labels),
        label_counts=None if labels is None else tuple(labels.values()),
        min_label=min(each.min_label for each in ordered),
        max_label=max(each.max_label for each in ordered),
        nnz=sum(each.nnz for each in ordered),
        bucket_counts=tuple(map(sum, zip(*(each.bucket_counts for each in ordered), strict=True))),
        pieces=tuple(Piece(each.key, each.n_rows, each.value_bytes, each.etag) for each in ordered),
        skipped_rows=sum(each.count for each in skipped),
        skipped_samples=_samples(skipped)[:MAX_SKIPPED_SAMPLES],
        label_moments=merge_label_moments(each.label_moments for each in ordered),
        missing_values=sum(each.missing_values for each in ordered),
        fine_ends=tuple(map(merged_ends, zip(*(each.fine_ends for each in ordered), strict=True))),
    )


def are_alike(statistics: Sequence[PieceStatistics]) -> bool:
    """Return whether one version of the code can have written all pieces, so that they merge."""
    forms = {(each.layout, len(each.bucket_counts), len(each.fine_ends)) for each in statistics}
    return len(forms) <= 1


def shard_kind(asked: str, manifest: Manifest, world_size: int) -> ShardKind:
    """Return the kind of the shards' matrices.

    Parameters
    ----------
    asked : {"auto", "dense", "sparse"}
        auto: sparse if the pieces are sparse, and either less than a tenth of the values is stored
        or dense shards would need more than 1 GiB.
    manifest : Manifest
    world_size : int

    Raises
    ------
    InvalidDataError
        Sparse shards are asked for, but the rows are dense.
    """
    if asked == "sparse" and not manifest.layout.is_sparse:
        raise InvalidDataError(
            "data.matrix: expected auto or dense, as the rows of format "
            f"{manifest.layout.format!r} are dense here, got 'sparse'"
        )
    if asked == "dense" or not manifest.layout.is_sparse:
        return "dense"
    few = manifest.nnz < SPARSE_DENSITY * manifest.n_rows * manifest.n_features
    most_bytes = _shard_bytes(manifest, "dense", -(-manifest.n_rows // world_size))
    return "sparse" if asked == "sparse" or few or most_bytes > MAX_SHARD_BYTES else "dense"


def shard_plan(
    manifest: Manifest, world_size: int, validation_fraction: float, kind: ShardKind
) -> ShardPlan:
    """Return the rows of the validation shard and of each rank.

    The first rows in the order of ids are for validation: at least one, at most 64 MB. The others
    are cut into ``world_size`` intervals whose sizes differ by at most one row. If no row is held
    out, training rows validate.

    Parameters
    ----------
    world_size : int
        At least 1.
    validation_fraction : float
        At least 0, less than 1.
    kind : {"dense", "sparse"}
        From `shard_kind`.

    Raises
    ------
    NotEnoughDataError
        There are fewer training rows than workers.
    InvalidDataError
        A shard would need more than 1 GiB.
    """
    if world_size < 1:
        raise ValueError(f"world_size is at least 1, not {world_size}")
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"validation_fraction is 0 to 1, not {validation_fraction}")
    most = max(1, int(MAX_VALIDATION_BYTES / _row_bytes(manifest, kind)))
    held_out = _held_out(manifest, validation_fraction, most)
    n_training = manifest.n_rows - held_out
    if n_training < world_size:
        raise NotEnoughDataError(
            f"{n_training} training rows are fewer than {world_size} workers "
            f"({manifest.n_rows} rows, of which {held_out} validate)"
        )
    check_shard_size(manifest, kind, -(-n_training // world_size))
    cuts = [held_out + n_training * rank // world_size for rank in range(world_size + 1)]
    shards = tuple(Interval(*ends) for ends in pairwise(cuts))
    return ShardPlan(Interval(0, min(held_out or manifest.n_rows, most)), shards)


def _held_out(manifest: Manifest, fraction: float, most: int) -> int:
    """Return the number of rows that are not for training."""
    named = manifest.n_validation
    if named == 0:
        raise NotEnoughDataError("data.validation: none of the rows is for validation")
    if named is not None:
        return named
    return min(max(1, round(fraction * manifest.n_rows)), most) if fraction else 0


def check_shard_size(manifest: Manifest, kind: ShardKind, n_rows: int) -> None:
    """Refuse a shard that would need more than 1 GiB, or indices that do not fit into int32.

    Raises
    ------
    InvalidDataError
        The message has the size, the limit and advice.
    """
    if kind == "sparse" and manifest.n_features > MAX_SPARSE_FEATURES:
        raise InvalidDataError(
            f"the data have {manifest.n_features} features; at most {MAX_SPARSE_FEATURES} are "
            "possible"
        )
    value_bytes = _shard_bytes(manifest, kind, n_rows)
    if value_bytes > MAX_SHARD_BYTES:
        raise InvalidDataError(
            f"a shard of {n_rows} rows × {manifest.n_features} features is "
            f"{value_bytes / 2**30:.1f} GiB of {_STORED[kind]}; at most "
            f"{MAX_SHARD_BYTES // 2**30} GiB are possible: use more workers or fewer features"
        )


def _shard_bytes(manifest: Manifest, kind: ShardKind, n_rows: int) -> float:
    return n_rows * _row_bytes(manifest, kind)


def _row_bytes(manifest: Manifest, kind: ShardKind) -> float:
    """Return the memory of a row; of sparse rows the mean, because they are shuffled."""
    if kind == "dense":
        return 4 * (manifest.n_features + len(manifest.layout.fine))
    return 8 * manifest.nnz / manifest.n_rows + 12  # index and value; end and label


def _no_rows(skipped: Sequence[Skipped]) -> EmptyDataError:
    n_skipped = sum(each.count for each in skipped)
    if not n_skipped:
        return EmptyDataError("the data set has no rows")
    return EmptyDataError(
        f"the data set has no rows: all {n_skipped} were skipped as bad ones, "
        f"the first is {_samples(skipped)[0]}"
    )


def _samples(skipped: Sequence[Skipped]) -> tuple[str, ...]:
    return tuple(sample for each in skipped for sample in each.samples)
