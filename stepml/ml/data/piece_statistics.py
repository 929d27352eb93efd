"""Statistics of pieces, by which shards are planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stepml.ml.data.formats.rows import Skipped
from stepml.ml.data.labels import NO_LABELS, LabelMoments
from stepml.ml.data.layout import Layout
from stepml.ml.data.remainders import Ends


@dataclass(frozen=True, slots=True)
class PieceStatistics:
    """Statistics of a piece, for the plan of the shards."""

    key: str
    first: tuple[int, int]  # object index and offset of the earliest row: orders the pieces
    n_rows: int
    bucket_counts: tuple[int, ...]  # rows in each of the 4096 buckets
    labels: tuple[float, ...] | None  # distinct ones as written, ascending; None: over 1,000
    label_counts: tuple[int, ...] | None  # rows of each; if some validate by themselves, the others
    min_label: float
    max_label: float
    n_features: int  # columns; sparse rows: the largest 1-based index
    nnz: int  # stored values
    value_bytes: int  # of the piece
    etag: str  # of the stored piece
    layout: Layout | None = None  # complete, if only range tasks know all of it
    label_moments: LabelMoments = NO_LABELS
    missing_values: int = 0  # features that will be filled in
    fine_ends: tuple[Ends, ...] = ()  # of the values of each fine feature
    is_bytes: bool = False  # the values are stored as uint8
    validation_ends: Ends = None  # of the column that says which rows validate
    weight_ends: Ends = None  # of the rows' weights
    label_names: tuple[str, ...] = ()  # by code; empty if labels are numbers


@dataclass(frozen=True, slots=True)
class RangeResult:
    """The result of a range task."""

    pieces: list[PieceStatistics]
    skipped: Skipped
    levels: Sequence[Sequence[str]] = ()  # of each category of the table, in order
