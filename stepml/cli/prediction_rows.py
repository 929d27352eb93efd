"""Reads the rows of one file or S3 object for a model, with the readers of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stepml.cli.given_format import GivenFormat
from stepml.cli.kept_columns import KeptColumns, kept_columns
from stepml.cli.prediction_files import Column
from stepml.cli.prediction_layout import find_layout
from stepml.cli.prediction_order import Order
from stepml.cli.prediction_source import Source
from stepml.cli.unknown_levels import UnknownLevels
from stepml.job.errors import InvalidDataError
from stepml.ml.class_names import ClassNames
from stepml.ml.data import ByteRange, Layout
from stepml.ml.data.encoding import RawRows
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.formats.base import RowSource
from stepml.ml.data.formats.rows import DenseRows, SparseRows, Values
from stepml.ml.data.formats.stored_numbers import to_float32
from stepml.ml.data.labels import MAX_LABELS
from stepml.ml.data.objects import REQUEST_BYTES
from stepml.ml.data.ranges import Cut
from stepml.ml.matrices import CsrMatrix, Floats
from stepml.ml.models.base import Array

if TYPE_CHECKING:
    from stepml.trained_model import TrainedModel


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows."""

    X: Any  # as `TrainedModel.predict` takes them
    y: Array  # labels as the data have them
    is_labelled: Array  # whether a row has a label
    kept: dict[str, Column]  # columns to copy

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.y)


@dataclass(frozen=True, slots=True)
class PredictionRows:
    """The rows to predict, and the assumptions about them."""

    source: Source
    layout: Layout
    n_features: int
    order: Order
    assumed: tuple[str, ...]  # guesses about the format that the user should see
    keep: KeptColumns
    unknown_levels: UnknownLevels  # in the rows so far

    @property
    def has_label(self) -> bool:
        """Whether rows have labels."""
        return self.layout.has_label

    def blocks(self) -> Iterator[Block]:
        """Yield the rows of all objects, in their order."""
        source, objects = self.source.reader, self.source.objects
        data_format = FORMATS[self.layout.format]
        rows = data_format.open_rows(source, objects, self.layout, REQUEST_BYTES)
        for number, data in enumerate(objects):
            if not data.value_bytes or data_format.cut_of(data) is Cut.NO_ROWS:
                continue
            kept = self.keep.of_object(data)
            for block in rows.read(ByteRange(number, 0, data.value_bytes)):
                y, is_labelled = self._labels(block, rows.label_names), ~np.isnan(block.y)
                X = self._matrix(block)
                if isinstance(X, RawRows):
                    self.unknown_levels.add(X, data.name, partial(self._levels, rows))
                yield Block(X, y, is_labelled, kept.take(len(y)))

    def _levels(self, rows: RowSource) -> list[Sequence[str]]:
        """Return the levels of the model's categories in the data so far."""
        levels, order = rows.levels, self.order.levels
        return list(levels) if order is None else [levels[place] for place in order]

    def _labels(self, rows: DenseRows | SparseRows, names: tuple[str, ...]) -> Array:
        """Return labels as the file has them: text, booleans, integers or numbers."""
        if self.layout.label_kind == "number" or not self.has_label:
            return rows.y if rows.written is None else rows.written
        if (rows.y >= MAX_LABELS).any():
            title = self.layout.column_title(self.layout.label_column)
            raise InvalidDataError(
                f"{self.source.objects[0].name}: {title} has more than {MAX_LABELS:,} different "
                "labels; is it the label's column? (--label)"
            )
        return ClassNames(self.layout.label_kind, names).array(rows.y)

    def _matrix(self, rows: DenseRows | SparseRows) -> Any:
        """Return rows as float32, as float64 if remainders count, or raw rows of a table."""
        if isinstance(rows, DenseRows) and self.layout.table is not None:
            levels = np.empty((len(rows.y), 0), np.uint64) if rows.levels is None else rows.levels
            X = to_float32(_ordered(rows.X, self.order.numbers))
            return RawRows(X, _ordered(levels, self.order.levels), rows.remainders)
        if isinstance(rows, DenseRows):
            exact = rows.X if rows.remainders is None else self._exact(rows.X, rows.remainders)
            return _ordered(exact, self.order.numbers)
        values: Any = rows.values
        if rows.remainders is not None:
            values = np.add(values, rows.remainders, dtype=np.float64)
        indptr = np.concatenate([[0], np.cumsum(rows.counts, dtype=np.int64)])
        indices = rows.indices.astype(np.int32)
        return CsrMatrix(indptr, indices, values, self.n_features)

    def _exact(self, X: Values, remainders: Floats) -> Any:
        exact = X.astype(np.float64)
        exact[:, list(self.layout.fine)] += remainders
        return exact


def _ordered(columns: Any, order: list[int] | None) -> Any:
    return columns if order is None else columns[:, order]


def prediction_rows(source: Source, model: TrainedModel, given: GivenFormat) -> PredictionRows:
    """Return the rows of ``source`` with the features in the order of ``model``.

    Raises
    ------
    InvalidDataError
        They do not have the given format, or the features of the model.
    BadInputError
        An option does not fit the rows.
    """
    found = find_layout(source, model, given)
    keep = kept_columns(source, found.layout, given.keep)
    n_features = model.n_features_in_
    return PredictionRows(
        source,
        found.layout,
        n_features,
        found.order,
        found.assumed,
        keep,
        UnknownLevels(model.table),
    )
