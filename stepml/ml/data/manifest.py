"""Statistics of all pieces → the manifest of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import xxhash

from stepml.job.errors import EmptyDataError, InvalidDataError
from stepml.ml.class_names import ClassNames
from stepml.ml.data.encoding import Encoder
from stepml.ml.data.feature_names import NamedFeatures, TableFeatures
from stepml.ml.data.formats.rows import Skipped
from stepml.ml.data.labels import (
    NO_LABELS,
    LabelMoments,
    codes_among,
    merge_label_counts,
    merge_label_moments,
    merge_label_names,
    moments_of_counts,
)
from stepml.ml.data.layout import Layout
from stepml.ml.data.levels import merge_levels
from stepml.ml.data.piece_statistics import PieceStatistics
from stepml.ml.data.remainders import Ends, merged_ends
from stepml.ml.data.row_ids import N_BUCKETS
from stepml.ml.data.uninformative import is_identifier

MAX_SKIPPED_SAMPLES = 10


@dataclass(frozen=True, slots=True)
class Piece:
    """A stored piece."""

    key: str
    n_rows: int
    value_bytes: int
    etag: str
    label_codes: tuple[int, ...] = ()  # the class of each code in it; empty: labels are numbers


@dataclass(frozen=True, slots=True)
class Manifest:
    """A partitioned data set."""

    digest: str  # content address, see `dataset_digest`
    layout: Layout  # with the facts that only range tasks find
    n_rows: int
    n_features: int
    labels: tuple[float, ...] | None  # distinct ones as written, ascending; None: over 1,000
    label_counts: tuple[int, ...] | None  # rows of each; if some validate by themselves, the others
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
    is_bytes: bool = False  # all values are stored as uint8
    validation_ends: Ends = None  # of the column that says which rows validate
    weight_ends: Ends = None  # of the rows' weights
    levels: tuple[tuple[str, ...], ...] = ()  # of each category of the table, ascending
    # Of labels that are codes, by code; empty: labels are numbers, or codes of more than 1,000.
    class_names: tuple[str, ...] = ()

    @property
    def names(self) -> ClassNames:
        """The names of the classes."""
        return ClassNames(self.layout.label_kind, self.class_names)

    @property
    def encoder(self) -> Encoder | None:
        """The encoder of a table's raw rows; None: the rows in pieces are features."""
        table = self.layout.table
        return None if table is None else Encoder(table, self.levels, self.layout.fine)

    @property
    def named_features(self) -> NamedFeatures:
        """The features with their titles."""
        encoder = self.encoder
        return self.layout if encoder is None else TableFeatures(encoder)

    @property
    def scales_table(self) -> bool | None:
        """Whether scaling applies to a feature of the table; None: it is one of numbers alone."""
        encoder = self.encoder
        return None if encoder is None else bool(encoder.are_scaled().any())

    @property
    def has_levels(self) -> bool:
        """Whether the levels of a category have features of their own."""
        table = self.layout.table
        return table is not None and any(
            each.encode in ("one_hot", "hash") for each in table.columns
        )

    @property
    def can_be_sparse(self) -> bool:
        """Whether shards may store pairs of index and value."""
        return self.layout.is_sparse or self.layout.table is not None

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


def merge(
    digest: str,
    layout: Layout,
    statistics: Sequence[PieceStatistics],
    skipped: Sequence[Skipped] = (),
    levels: Sequence[Sequence[Sequence[str]]] = (),
) -> Manifest:
    """Return the manifest of the pieces of all range tasks, which may be in any order.

    Parameters
    ----------
    statistics : sequence of PieceStatistics
        Of all pieces.
    skipped : sequence of Skipped
        The skipped rows of each range task, in order.
    levels : sequence of sequence of sequence of str
        The levels of each category of the table, of each range task.

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
    nnz = sum(each.nnz for each in ordered)
    all_levels: tuple[tuple[str, ...], ...] = ()
    if layout.table is not None:
        all_levels = merge_levels(layout.table.categories, levels)
        if layout.table.drops_identifiers:
            n_rows = sum(each.n_rows for each in ordered)
            all_levels = tuple(() if is_identifier(own, n_rows) else own for own in all_levels)
        encoder = Encoder(layout.table, all_levels, layout.fine)
        n_features, nnz = encoder.n_features, encoder.n_pairs * sum(e.n_rows for e in ordered)
    if n_features == 0:
        raise InvalidDataError("no row of the data set has a feature")
    labels = _Labels.of(ordered, layout.label_kind)
    return Manifest(
        digest=digest,
        layout=layout,
        n_rows=sum(each.n_rows for each in ordered),
        n_features=n_features,
        labels=labels.labels,
        label_counts=labels.counts,
        min_label=labels.least,
        max_label=labels.largest,
        nnz=nnz,
        bucket_counts=tuple(map(sum, zip(*(each.bucket_counts for each in ordered), strict=True))),
        pieces=tuple(map(labels.piece, ordered)),
        skipped_rows=sum(each.count for each in skipped),
        skipped_samples=_samples(skipped)[:MAX_SKIPPED_SAMPLES],
        label_moments=labels.moments,
        missing_values=sum(each.missing_values for each in ordered),
        validation_ends=merged_ends(each.validation_ends for each in ordered),
        weight_ends=merged_ends(each.weight_ends for each in ordered),
        fine_ends=tuple(map(merged_ends, zip(*(each.fine_ends for each in ordered), strict=True))),
        is_bytes=all(each.is_bytes for each in ordered),
        levels=all_levels,
        class_names=labels.names,
    )


@dataclass(frozen=True, slots=True)
class _Labels:
    """The labels of all pieces."""

    rows: dict[float, int] | None  # of each label, ascending; None: there are too many
    least: float
    largest: float
    moments: LabelMoments = NO_LABELS
    names: tuple[str, ...] = ()  # by code

    @classmethod
    def of(cls, pieces: Sequence[PieceStatistics], kind: str) -> Self:
        if kind != "number":
            return cls._coded(pieces, kind)
        return cls(
            merge_label_counts((each.labels, each.label_counts) for each in pieces),
            min(each.min_label for each in pieces),
            max(each.max_label for each in pieces),
            merge_label_moments(each.label_moments for each in pieces),
        )

    @classmethod
    def _coded(cls, pieces: Sequence[PieceStatistics], kind: str) -> Self:
        names = merge_label_names(((each.labels, each.label_names) for each in pieces), kind)
        if not names:
            return cls(None, 0.0, 0.0)
        places = {name: place for place, name in enumerate(names)}
        rows = dict.fromkeys(map(float, range(len(names))), 0)
        for each in pieces:
            for code, count in zip(each.labels or (), each.label_counts or (), strict=True):
                rows[places[each.label_names[int(code)]]] += count
        return cls(rows, 0.0, len(names) - 1.0, moments_of_counts(rows), names)

    @property
    def labels(self) -> tuple[float, ...] | None:
        return None if self.rows is None else tuple(self.rows)

    @property
    def counts(self) -> tuple[int, ...] | None:
        return None if self.rows is None else tuple(self.rows.values())

    def piece(self, each: PieceStatistics) -> Piece:
        places = {name: place for place, name in enumerate(self.names)}
        codes = codes_among(each.label_names, places) if each.label_names else ()
        return Piece(each.key, each.n_rows, each.value_bytes, each.etag, codes)


def are_alike(statistics: Sequence[PieceStatistics]) -> bool:
    """Return whether one version of the code can have written all pieces, so that they merge."""
    forms = {(each.layout, len(each.bucket_counts), len(each.fine_ends)) for each in statistics}
    return len(forms) <= 1


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
