"""Whether features are standardised, and labels of a regression scaled."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from stepml.job.choices import filled
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled
from stepml.ml.matrices import CsrMatrix, Matrix, row_norms_squared

_SMALL, _LARGE = 1e-15, 1e15  # labels whose squares, and sums of them, are far within float32
_UNIT = 1e-3  # largest distance of a squared norm from 1
_SPREAD = 10.0  # of the sizes of features, at most, where rows stay as they are


def with_scaling(
    spec: JobSpec,
    sample: Callable[[], Matrix],
    largest_label: float = 1.0,
    *,
    scales_table: bool | None = None,
) -> JobSpec:
    """Return the job with values of ``data.standardise`` and ``model.scale_labels``.

    A ``data.scale`` for all features decides the first one.

    Parameters
    ----------
    spec : JobSpec
        With an algorithm.
    sample : callable
        Returns training rows as in the data; missing values are NaN. Called only if needed.
    largest_label : float
        The size of the largest one; only a regression uses it.
    scales_table : bool, optional
        Whether scaling applies to a feature of the table; None: the data are no table. The rows of
        a table with categories have so many zeros that they may look like rows of text.
    """
    algorithm = settled(spec.algorithm)
    has_squares = _SMALL < largest_label < _LARGE or not largest_label
    scale_labels = not (algorithm.is_exact and has_squares) and not algorithm.knows_labels
    model = filled(spec.model, {"scale_labels": scale_labels})
    spec = msgspec.structs.replace(spec, model=model)
    if spec.data.standardise is not None:
        return spec
    if isinstance(spec.data.scale, str):
        chosen = {"standardise": spec.data.scale == "standardise"}
        return msgspec.structs.replace(spec, data=filled(spec.data, chosen))
    learns_by_steps = "gradient" in spec.model.traits and not spec.model.takes_images
    if scales_table is None:
        standardise = learns_by_steps and not _are_scaled(sample())
    else:
        standardise = learns_by_steps and scales_table
    return msgspec.structs.replace(spec, data=filled(spec.data, {"standardise": standardise}))


def _are_scaled(X: Matrix) -> bool:
    """Return whether rows stay as they are: rows of text, or sparse ones with like features."""
    return _is_text(X) or (isinstance(X, CsrMatrix) and _features_are_alike(X))


def _is_text(X: Matrix) -> bool:
    """Return whether rows are like TF-IDF: no value below 0, and norms of 1 (or 0)."""
    values = X.values[X.pairs] if isinstance(X, CsrMatrix) else X
    if not values.size or not (values >= 0).all():  # or NaN
        return False
    norms = row_norms_squared(X)
    norms = norms[norms > 0]
    return X.shape[1] > 1 and len(norms) > 0 and bool((np.abs(norms - 1) < _UNIT).all())


def _features_are_alike(X: CsrMatrix) -> bool:
    """Return whether the stored values of most features are of like size."""
    indices, values = X.indices[X.pairs], X.values[X.pairs].astype(np.float64)
    known = np.isfinite(values)
    counts = np.bincount(indices[known], minlength=X.n_features)
    squares = np.bincount(indices[known], values[known] ** 2, minlength=X.n_features)
    sizes = np.sqrt(squares[squares > 0] / counts[squares > 0])
    if not len(sizes):
        return True
    low, high = np.quantile(sizes, (0.05, 0.95))
    return bool(high <= _SPREAD * low)
