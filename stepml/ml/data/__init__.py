"""Data sets in object storage → the shard of each rank.

::

    objects ─ sniff ─► Layout ─ plan_ranges ─► range tasks ─ write_pieces ─► pieces + statistics
                                                                                 │ merge
    Shard of a rank ◄─ assemble ─ intervals of the order of row ids ◄─ shard_plan ─ Manifest

A row's id is a hash of the seed, the name of its object and its place there: the byte offset of
its line, or its number if the format is not text. Sorting by id shuffles the rows. So the shards do
not depend on the ranges, nor on the tasks that read them. In a stratified order the first rows of
each label come before the others (`stepml.ml.data.strata`).
"""

from __future__ import annotations

from stepml.ml.data.assembly import assemble, cuts_of
from stepml.ml.data.fitting import Treatments, scale_of
from stepml.ml.data.format_guess import guess_format, note_on_format
from stepml.ml.data.formats.rows import Skipped
from stepml.ml.data.layout import Layout, dataset_digest
from stepml.ml.data.manifest import Manifest, are_alike, merge
from stepml.ml.data.moments import Moments, feature_moments, merge_moments
from stepml.ml.data.objects import DataObject, ObjectReader, ObjectWriter
from stepml.ml.data.piece_statistics import PieceStatistics, RangeResult
from stepml.ml.data.pieces import write_pieces
from stepml.ml.data.planning import DataPlan, plan_data
from stepml.ml.data.ranges import ByteRange, plan_ranges
from stepml.ml.data.scaling import Scale, scale_in_place, scaled
from stepml.ml.data.shards import Shard, pack_shard, unpack_shard
from stepml.ml.data.sniff import sniff
from stepml.ml.data.source_format import SourceFormat
from stepml.ml.data.split import (
    Interval,
    ShardKind,
    ShardPlan,
    rows_name,
    shard_kind,
    shard_plan,
)
from stepml.ml.data.strata import Cuts, labels_and_counts

__all__ = [
    "ByteRange",
    "Cuts",
    "DataObject",
    "DataPlan",
    "Interval",
    "Layout",
    "Manifest",
    "Moments",
    "ObjectReader",
    "ObjectWriter",
    "PieceStatistics",
    "RangeResult",
    "Scale",
    "Shard",
    "ShardKind",
    "ShardPlan",
    "Skipped",
    "SourceFormat",
    "Treatments",
    "are_alike",
    "assemble",
    "cuts_of",
    "dataset_digest",
    "feature_moments",
    "guess_format",
    "labels_and_counts",
    "merge",
    "merge_moments",
    "note_on_format",
    "pack_shard",
    "plan_data",
    "plan_ranges",
    "rows_name",
    "scale_in_place",
    "scale_of",
    "scaled",
    "shard_kind",
    "shard_plan",
    "sniff",
    "unpack_shard",
    "write_pieces",
]
