"""The table that a model was trained on: its columns, and rows to predict as rows of features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from stepml.ml.data.encoding import RawRows
from stepml.ml.data.levels import MISSING
from stepml.ml.data.pipeline import Pipeline
from stepml.ml.data.remainders import Remainders
from stepml.ml.data.table import TableColumn
from stepml.ml.matrices import CsrMatrix, Matrix
from stepml.trained.columns import places_of
from stepml.trained.frame_rows import FrameRows
from stepml.trained.frames import Frame, frame_of
from stepml.trained.numbers import Array, unmasked
from stepml.trained.rows import Block, BlockSizes, place_of, require_width

_WIDE = 20  # features for each pair of a sparse row
_ENOUGH_ROWS = 10  # one row may well have new levels


class ModelTable:
    """Columns of a model that are not all numbers, and the features that they become.

    Parameters
    ----------
    pipeline : Pipeline
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.table = pipeline.table
        self.encoder = pipeline.encoder
        self.levels = self.encoder.levels
        self.fine = pipeline.fine
        label = "" if pipeline.label is None else pipeline.label.name
        self._others = (label, *pipeline.dropped)  # columns that may be there beside the features

    @property
    def columns(self) -> tuple[TableColumn, ...]:
        """The columns that are features, in order."""
        return self.table.columns

    @cached_property
    def column_names(self) -> list[str]:
        """Their names; empty if the data had no names."""
        names = [each.name for each in self.columns]
        return names if all(names) else []

    @cached_property
    def feature_names(self) -> list[str]:
        """The names of the features that the columns become."""
        return [each.name for each in self.encoder.features()]

    def title(self, feature: int) -> str:
        """Return the title of a feature for messages."""
        name = self.feature_names[feature]
        return f"feature {feature}" + (f" ({name!r})" if name else "")

    @property
    def is_wide(self) -> bool:
        """Whether few of the features are stored in a sparse row."""
        return self.encoder.n_features >= _WIDE * max(1, self.encoder.n_pairs)

    def blocks(self, X: Any, sizes: BlockSizes, *, sparse: bool = False) -> Iterator[Block]:
        """Yield the features of all rows of ``X`` in blocks, at least one.

        Sparse blocks have no remainders.

        Raises
        ------
        ValueError
            ``X`` lacks a column, a value is not of its column's kind or infinite, or there is a
            level that training did not have and that is not ignored.
        """
        n_rows, read = self._reader(X)
        width = self.encoder.n_pairs if sparse else self.encoder.n_features
        step = max(1, sizes.values // max(1, width))
        levels = _LevelCheck(self)
        for start in range(0, max(1, n_rows), step):
            raw = read(slice(start, start + step))
            if not isinstance(X, RawRows):  # files have been checked
                levels.add(raw, start)
            features = self._sparse(raw) if sparse else self.encoder.dense(raw)
            self._require_finite(features, start)
            yield Block(features, None if sparse else self._remainders(raw))
        levels.warn()

    def _reader(self, X: Any) -> tuple[int, Callable[[slice], RawRows]]:
        if isinstance(X, RawRows):
            return len(X), X.__getitem__
        frame = frame_of(X)
        if frame is None:
            frame = _Array(X, self)
        places = places_of(frame.names, self.column_names, self._others)
        require_width(len(places), len(self.columns))
        rows = FrameRows(
            frame,
            places,
            self.table,
            self.levels,
            self.fine,
            self.pipeline.missing_words,
            has_words=self.pipeline.has_words,
        )
        return len(rows), rows.read

    def _sparse(self, rows: RawRows) -> CsrMatrix:
        indices, values = self.encoder.pairs(rows)
        indptr = np.arange(len(rows) + 1, dtype=np.int64) * self.encoder.n_pairs
        return CsrMatrix(indptr, indices.ravel(), values.ravel(), self.encoder.n_features)

    def _remainders(self, rows: RawRows) -> Remainders | None:
        values = self.encoder.remainders(rows)
        if values is None:
            return None
        return Remainders(np.array(self.encoder.fine, np.int64), values)

    def _require_finite(self, features: Matrix, start: int) -> None:
        values = features.values if isinstance(features, CsrMatrix) else features
        if np.isinf(values).any():
            row, feature = place_of(features, np.isinf)
            raise ValueError(
                f"X has a value in row {start + row} that is infinite or too large for float32: "
                f"{self.title(feature)}"
            )


class _LevelCheck:
    """Looks for levels that training did not have."""

    def __init__(self, table: ModelTable) -> None:
        self._encoder = table.encoder
        self._columns = table.table.categories
        self._is_strict = table.table.unknown_levels == "fail"
        self._n_unknown = np.zeros(len(self._columns), np.intp)
        self._n_given = np.zeros(len(self._columns), np.intp)

    def add(self, rows: RawRows, start: int) -> None:
        """Count unknown levels of rows from row ``start`` on; raise `ValueError` if strict."""
        unknown = self._encoder.unknown(rows.levels)
        if self._is_strict and unknown.any():
            row, place = np.argwhere(unknown)[0].tolist()
            title = title_of(self._columns[place])
            raise ValueError(
                f"X has a level in row {start + row}, {title}, that training did not have, and "
                "data.unknown_levels is 'fail'"
            )
        self._n_unknown += np.count_nonzero(unknown, axis=0)
        self._n_given += np.count_nonzero(rows.levels != MISSING, axis=0)

    def warn(self) -> None:
        """Warn of columns of which no level is known: they may be written in another way."""
        for column, n_unknown, n_given in zip(
            self._columns, self._n_unknown, self._n_given, strict=True
        ):
            if n_unknown == n_given >= _ENOUGH_ROWS:
                warnings.warn(
                    f"X has no level that training had in {title_of(column)}, so the column counts "
                    "for nothing",
                    UserWarning,
                    stacklevel=2,
                )


class _Array(Frame):
    """An array or nested lists, with the columns of the model in their order."""

    def __init__(self, X: Any, table: ModelTable) -> None:
        if hasattr(X, "tocsr"):
            raise ValueError(f"{_expected(table)}, got a sparse matrix")
        X = np.array(X, object) if isinstance(X, (list, tuple)) else unmasked(X)
        if X.ndim != 2:
            raise ValueError(f"{_expected(table)}, got an array of shape {X.shape}")
        have_words = any(each.is_category and not each.are_numbers for each in table.columns)
        if X.dtype.kind not in "OUST" and have_words:
            raise ValueError(f"{_expected(table)}, got an array of {X.dtype}")
        require_width(X.shape[1], len(table.columns))
        self._X = X
        self.names = table.column_names or [*range(X.shape[1])]

    def __len__(self) -> int:
        return len(self._X)

    def array(self, place: int, rows: slice) -> Array:
        column: Array = self._X[rows, place]
        return column


def title_of(column: TableColumn) -> str:
    """Return the title of a column for messages: its place in other data may be another one."""
    return f"column {column.name!r}" if column.name else column.title


def _expected(table: ModelTable) -> str:
    names = [each.name or str(each.column) for each in table.columns]
    more = ", …" if len(names) > 8 else ""
    return f"expected a table with the columns {', '.join(names[:8])}{more}"
