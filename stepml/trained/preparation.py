"""Rows as in the data → rows as the model learnt them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from stepml.ml.artifact import Artifact
from stepml.ml.data.scaling import scaled
from stepml.ml.matrices import CsrMatrix, Floats, Floats64, Matrix
from stepml.trained.rows import STANDARD, place_of, rows_of


class Preparation:
    """Fills in missing values and standardises, as the job did.

    Attributes
    ----------
    n_features : int
    feature_names : list of str
        Empty if the data had no names.
    image_shape : tuple of int
        Of a row, (channels, height, width); empty if rows are no images.
    missing : {"fail", "zero", "mean"}
        The effect of a missing value.
    scale : Scale or None
    fine : list of int
        Features that are centred in float64.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.n_features = artifact.model.n_features
        self.feature_names: list[str] = list(artifact.card.get("features", ()))
        self.image_shape = artifact.model.image_shape
        self.missing: str = artifact.card.get("job", {}).get("data", {}).get("missing", "fail")
        self.block_sizes = STANDARD
        self.scale = artifact.scale
        self._fills = self.missing == "mean" and artifact.scale is not None
        self.fine: list[int] = [] if artifact.scale is None else artifact.scale.fine.tolist()

    def blocks(self, X: Any) -> Iterator[Matrix]:
        """Yield the prepared rows of ``X``, some at a time; raise `ValueError` if it is invalid."""
        rows = rows_of(X, self.n_features, self.feature_names, self.image_shape)
        # Subtracting a mean makes zeros non-zero.
        stays_sparse = self.scale is None or not self.scale.mean.any()
        start = 0
        blocks = rows.blocks(sparse=stays_sparse, sizes=self.block_sizes, fine=self.fine)
        for block, remainders in blocks:
            known = self._filled(block, start, rows.title)
            yield known if self.scale is None else scaled(known, self.scale, remainders)
            start += len(block)

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

    def _filled(self, X: Matrix, start: int, title: Callable[[int], str]) -> Matrix:
        """Return rows without missing values, or raise `ValueError` if the job allowed none."""
        values = X.values[X.pairs] if isinstance(X, CsrMatrix) else X
        missing = np.isnan(values)
        if not missing.any() or self._fills:
            return X
        if self.missing == "fail":
            row, feature = place_of(X, np.isnan)
            raise ValueError(
                f"X has no value (NaN) in row {start + row}, {title(feature)}; the model was "
                "trained with data.missing 'fail': fill it in, or train with 'zero' or 'mean'"
            )
        known = np.where(missing, np.float32(0), values)
        if not isinstance(X, CsrMatrix):
            return known
        return replace(X, indptr=X.indptr - X.indptr[0], indices=X.indices[X.pairs], values=known)
