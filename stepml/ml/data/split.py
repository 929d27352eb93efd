"""The plan of a data set's shards: intervals of the order of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import xxhash

from stepml.job.errors import InvalidDataError, NotEnoughDataError
from stepml.ml.data.manifest import Manifest
from stepml.ml.data.remainders import are_narrow
from stepml.ml.data.strata import quotas_of

MAX_VALIDATION_BYTES = 64 * 2**20
# A function of 3 GB may have two shards in memory: the last one and the next one.
MAX_SHARD_BYTES = 2**30
# Indices are int32.
MAX_SPARSE_FEATURES = 2**31 - 1
# A pair needs twice the memory of a dense value, and about ten times the time of arithmetic.
SPARSE_DENSITY = 0.1

ShardKind = Literal["dense", "sparse", "uint8"]  # uint8: dense rows of bytes
_STORED = {"dense": "dense float32", "sparse": "pairs", "uint8": "bytes"}


@dataclass(frozen=True, slots=True)
class Interval:
    """Positions ``[start, stop)`` in the order of row ids, or of quotas and ids."""

    start: int
    stop: int
    # Validation rows of each label, which come first in the order. Empty: ids alone decide.
    quotas: tuple[int, ...] = ()

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start

    @property
    def validates(self) -> bool:
        """Whether quotas take all of the rows."""
        return self.stop <= sum(self.quotas)


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The rows of each shard, in one order."""

    validation: Interval
    shards: tuple[Interval, ...]  # by rank

    @property
    def training_start(self) -> int:
        """The position of the first training row."""
        return self.shards[0].start


def rows_name(fingerprint: str, interval: Interval, kind: ShardKind) -> str:
    """Return the name of the rows of a shard, by which a misplaced one is noticed."""
    name = f"{fingerprint} {interval.start}-{interval.stop} {kind}"
    if not interval.quotas:
        return name
    return f"{name} {xxhash.xxh3_64_hexdigest(repr(interval.quotas).encode())}"


def shard_kind(
    asked: str, manifest: Manifest, world_size: int, *, as_bytes: bool = False
) -> ShardKind:
    """Return the kind of the shards' matrices.

    Parameters
    ----------
    asked : {"auto", "dense", "sparse"}
        auto: sparse if the pieces are sparse, and either less than a tenth of the values is stored
        or dense shards would need more than 1 GiB. Tables with numbers that are close together and
        far from 0 are only sparse in the second case.
    manifest : Manifest
    world_size : int
    as_bytes : bool, default False
        Dense rows stay bytes if the data have bytes.

    Raises
    ------
    InvalidDataError
        Sparse shards are asked for, but the rows are dense.
    """
    if asked == "sparse" and not manifest.can_be_sparse:
        raise InvalidDataError(
            "data.matrix: expected auto or dense, as the rows of format "
            f"{manifest.layout.format!r} are dense here, got 'sparse'"
        )
    if asked == "dense" or not manifest.can_be_sparse:
        return "uint8" if as_bytes and manifest.is_bytes else "dense"
    few = manifest.nnz < SPARSE_DENSITY * manifest.n_rows * manifest.n_features
    few = few and not _has_narrow_numbers(manifest)
    most_bytes = _shard_bytes(manifest, "dense", -(-manifest.n_rows // world_size))
    return "sparse" if asked == "sparse" or few or most_bytes > MAX_SHARD_BYTES else "dense"


def _has_narrow_numbers(manifest: Manifest) -> bool:
    """Return whether a table has numbers, such as times, that need the remainders of dense rows."""
    ends = manifest.fine_ends if manifest.layout.table is not None else ()
    return any(each is not None and are_narrow(each) for each in ends)


def shard_plan(
    manifest: Manifest,
    world_size: int,
    validation_fraction: float,
    kind: ShardKind,
    *,
    stratify: bool = False,
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
    kind : {"dense", "sparse", "uint8"}
        From `shard_kind`.
    stratify : bool, default False
        Hold out the share of each label, see `quotas_of`.

    Raises
    ------
    NotEnoughDataError
        There are fewer training rows than workers, or no label has two rows.
    BadLabelError
        There are too many labels to hold out a share of each.
    InvalidDataError
        A shard would need more than 1 GiB.
    """
    if world_size < 1:
        raise ValueError(f"world_size is at least 1, not {world_size}")
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"validation_fraction is 0 to 1, not {validation_fraction}")
    most = max(1, int(MAX_VALIDATION_BYTES / _row_bytes(manifest, kind)))
    quotas = quotas_of(manifest, validation_fraction, most) if stratify else ()
    held_out = sum(quotas) or _held_out(manifest, validation_fraction, most)
    n_training = manifest.n_rows - held_out
    if not n_training and manifest.n_validation is not None:
        raise _no_rows_for("training", manifest)
    if n_training < world_size:
        raise NotEnoughDataError(
            f"workers: expected at most the number of training rows, {n_training} "
            f"({manifest.n_rows} rows, of which {held_out} validate), got {world_size}"
        )
    check_shard_size(manifest, kind, -(-n_training // world_size))
    cuts = [held_out + n_training * rank // world_size for rank in range(world_size + 1)]
    shards = tuple(Interval(*ends, quotas) for ends in pairwise(cuts))
    return ShardPlan(Interval(0, min(held_out or manifest.n_rows, most), quotas), shards)


def _held_out(manifest: Manifest, fraction: float, most: int) -> int:
    """Return the number of rows that are not for training."""
    named = manifest.n_validation
    if named == 0:
        raise _no_rows_for("validation", manifest)
    if named is not None:
        return named
    return min(max(1, round(fraction * manifest.n_rows)), most) if fraction else 0


def _no_rows_for(
    purpose: Literal["training", "validation"], manifest: Manifest
) -> NotEnoughDataError:
    """Return an error about ``data.validation``, which gives one side all rows."""
    layout, ends = manifest.layout, manifest.validation_ends
    if ends is None:
        return NotEnoughDataError(f"data.validation: none of the rows is for {purpose}")
    title = layout.column_title(layout.validation_column)
    if layout.validates_after is None:
        return NotEnoughDataError(
            f"data.validation.column: none of the rows is for {purpose}; {title} is "
            f"{ends[0]:g} in all rows"
        )
    return NotEnoughDataError(
        f"data.validation.after: none of the rows is for {purpose}; expected at least the smallest "
        f"value of {title}, {ends[0]:.15g}, and less than the largest one, {ends[1]:.15g}, got "
        f"{layout.validates_after:.15g}"
    )


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
    if kind == "uint8":
        return manifest.n_features
    if kind == "dense":
        return 4 * (manifest.n_features + len(manifest.layout.fine))
    return 8 * manifest.nnz / manifest.n_rows + 12  # index and value; end and label
