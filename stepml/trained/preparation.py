"""Rows as in the data → rows as the model learnt them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from stepml.ml.artifact import Artifact
from stepml.ml.data.dialect import Dialect
from stepml.ml.data.formats.text.spelling import Spelling
from stepml.ml.data.pipeline import Pipeline
from stepml.ml.data.scaling import Scale, scaled
from stepml.ml.matrices import CsrMatrix, Floats, Floats64, Matrix, dense
from stepml.ml.models import NeuralNetwork
from stepml.trained.model_table import ModelTable
from stepml.trained.rows import STANDARD, Block, place_of, rows_of


class Preparation:
    """Fills in missing values and standardises, as the job did.

    Attributes
    ----------
    n_features : int
        Of the model.
    table : ModelTable or None
        The columns of the data, if they are not all numbers.
    dropped : list of str
        Names of columns that the job left out.
    feature_names : list of str
        Of the model; empty if the data had no names.
    image_shape : tuple of int
        Of a row, (channels, height, width); empty if rows are no images.
    fills : bool
        Whether missing values are filled in; otherwise they are refused.
    scale : Scale or None
    fine : list of int
        Features that are centred in float64.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.n_features = artifact.model.n_features
        self.feature_names: list[str] = list(artifact.card.get("features", ()))
        self.image_shape = artifact.model.image_shape
        pipeline = _pipeline_of(artifact)
        is_plain = pipeline is None or pipeline.is_plain
        self.table = None if pipeline is None or is_plain else ModelTable(pipeline)
        words = () if pipeline is None else pipeline.missing_words
        self._spelling = Spelling(Dialect(missing_words=words))
        self.dropped = [] if pipeline is None else list(pipeline.dropped)
        self._others = [
            artifact.card.get("label", ""),
            *self.dropped,
        ]  # columns beside the features
        self.block_sizes = STANDARD
        self._needs_dense = isinstance(artifact.model, NeuralNetwork)
        self.scale = _scale_of(artifact)
        self.fills = self.scale is not None and not np.isnan(self.scale.fill).all()
        self.fine: list[int] = [] if self.scale is None else self.scale.fine.tolist()

    def blocks(self, X: Any) -> Iterator[Matrix]:
        """Yield the prepared rows of ``X``, some at a time; raise `ValueError` if it is invalid."""
        blocks, title = self._features(X)
        start = 0
        for block, remainders in blocks:
            known = block if self.scale is None else scaled(block, self.scale, remainders)
            self._require_values(known, start, title)
            yield known
            start += len(block)

    def features(self, X: Any) -> Floats | Floats64:
        """Return the features of ``X`` as they were before fills and scales, float64 if fine."""
        blocks, _ = self._features(X)
        dtype = np.float64 if self.fine else np.float32
        parts = []
        for block, remainders in blocks:
            part: Any = dense(block).astype(dtype)
            if remainders is not None:
                part[:, remainders.features] += remainders.values
            parts.append(part)
        found: Floats | Floats64 = np.concatenate(parts)
        return found

    def _features(self, X: Any) -> tuple[Iterator[Block], Callable[[int], str]]:
        """Return the features of rows in blocks, and the function that names one in messages."""
        if self.table is not None:
            blocks = self.table.blocks(X, self.block_sizes, sparse=self._is_sparse(self.table))
            return blocks, self.table.title
        rows = rows_of(X, self.n_features, self.feature_names, self.image_shape, self._others)
        spelling = self._spelling
        if spelling.has_numbers:
            take = rows.take
            rows = replace(
                rows, take=lambda some: spelling.without_missing(dense(take(some)).astype(float))
            )
        # Subtracting a mean makes zeros non-zero.
        stays_sparse = self.scale is None or not self.scale.mean.any()
        blocks = rows.blocks(sparse=stays_sparse, sizes=self.block_sizes, fine=self.fine)
        return blocks, rows.title

    def _is_sparse(self, table: ModelTable) -> bool:
        """Return whether sparse rows of features are filled in and scaled as dense ones."""
        if not table.is_wide or self.fine or self._needs_dense:
            return False
        # Of dense rows, each feature has its own fill; of sparse ones, the level moves.
        moves = any(each.missing == "most_frequent" for each in table.table.categories)
        return not moves or (self.scale is not None and len(self.scale.moved) > 0)

    @property
    def column_names(self) -> list[str]:
        """The names of the columns of the data that are features; empty if they had none."""
        return self.feature_names if self.table is None else self.table.column_names

    @property
    def n_columns(self) -> int:
        """The columns of the data that are features."""
        return self.n_features if self.table is None else len(self.table.columns)

    def as_of_data(self, coefficients: Floats, intercepts: Floats) -> tuple[Floats64, Floats64]:
        """Return a linear function of prepared rows as one of rows as in the data.

        Parameters
        ----------
        coefficients : array of shape (n_outputs, n_features)
        intercepts : array of shape (n_outputs,)
        """
        slopes, constants = coefficients.astype(np.float64), intercepts.astype(np.float64)
        if self.scale is None:
            return slopes, constants
        mean = self.scale.mean.astype(np.float64)
        mean[self.scale.fine] = self.scale.fine_mean
        slopes /= self.scale.scale
        return slopes, constants - slopes @ mean

    def _require_values(self, X: Matrix, start: int, title: Callable[[int], str]) -> None:
        """Raise `ValueError` if a value is missing that the job did not fill in."""
        values = X.values[X.pairs] if isinstance(X, CsrMatrix) else X
        if not np.isnan(values).any():
            return
        row, feature = place_of(X, np.isnan)
        raise ValueError(
            f"X has no value (NaN) in row {start + row}, {title(feature)}; the model was trained "
            "with data.missing 'fail': fill it in, or train without this setting"
        )


def _pipeline_of(artifact: Artifact) -> Pipeline | None:
    document = artifact.card.get("pipeline")
    return None if document is None else Pipeline.from_card(document)


def _scale_of(artifact: Artifact) -> Scale | None:
    """Return the scale of rows to predict.

    Before cards had a pipeline, a scale had not all of the fills, but those of ``data.missing``.
    """
    scale, n_features = artifact.scale, artifact.model.n_features
    if "pipeline" in artifact.card:
        return scale
    missing = artifact.card.get("job", {}).get("data", {}).get("missing", "fail")
    fill = {"fail": np.nan, "zero": 0.0}.get(missing) if isinstance(missing, str) else None
    if fill is None:
        return scale
    fills = np.full(n_features, fill, np.float32)
    if scale is None:
        ones = np.ones(n_features, np.float32)
        return None if missing == "fail" else Scale(fills, ones - 1, ones)
    return replace(scale, fill=fills, fine_fill=np.full(len(scale.fine), fill))
