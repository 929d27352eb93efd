"""Checks of rows, labels and weights, as scikit-learn words them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, check_consistent_length
from sklearn.utils.validation import column_or_1d, validate_data

from stepml.client.packed_rows import arrow_table
from stepml.trained.frames import frame_of

Array = npt.NDArray[Any]

_ROWS: Mapping[str, Any] = {
    "accept_sparse": "csr",
    "ensure_all_finite": "allow-nan",  # a job fills in missing values
    "dtype": "numeric",
}


def checked_rows(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    """Return rows, or raise `ValueError`.

    Tables with names of columns stay tables, which may have words and times; other rows become
    arrays or CSR matrices of numbers, or stay images.

    Parameters
    ----------
    estimator : BaseEstimator
    X : array-like, sparse matrix or table
    reset : bool
        Whether the estimator learns the names and the number of the features, or compares them.
    """
    frame = frame_of(X)
    if frame is not None and all(isinstance(name, str) for name in frame.names):
        # Only tables of libraries have a shape that scikit-learn reads.
        table = arrow_table(X, frame) if isinstance(X, Mapping | list | tuple | np.ndarray) else X
        validate_data(estimator, table, reset=reset, skip_check_array=True)
        return table
    if getattr(X, "ndim", 2) in (3, 4) and hasattr(X, "reshape"):
        rows = validate_data(estimator, X.reshape(len(X), -1), reset=reset, **_ROWS)
        return rows.reshape(X.shape)
    return validate_data(estimator, X, reset=reset, **_ROWS)


def checked_labels(estimator: BaseEstimator, X: Any, y: Any, *, numbers: bool) -> Array:
    """Return labels of shape (n_samples,), finite if they are ``numbers``; or `ValueError`."""
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"{name} requires y to be passed, but the target y is None")
    labels: Array = column_or_1d(y, warn=True)
    if labels.dtype.kind == "O" and any(map(_is_missing, labels.tolist())):
        raise ValueError("Input y contains missing values: None, NaN or NA")
    assert_all_finite(labels, input_name="y")
    check_consistent_length(X, labels)
    return labels.astype(np.float64) if numbers and labels.dtype.kind in "OSU" else labels


def _is_missing(label: Any) -> bool:
    return label is None or type(label).__name__ in ("NAType", "NaTType")  # of pandas


def checked_weights(sample_weight: Any, n_rows: int) -> Array | None:
    """Return weights of rows, of shape (n_samples,), or None; or raise `ValueError`."""
    if sample_weight is None:
        return None
    weights: Array = np.asarray(sample_weight, np.float64)
    if weights.shape != (n_rows,):
        raise ValueError(f"expected sample_weight of shape ({n_rows},), got {weights.shape}")
    assert_all_finite(weights, input_name="sample_weight")
    if (weights < 0).any():
        raise ValueError(f"expected sample_weight of 0 or more, got {weights.min():g}")
    if not weights.any():
        raise ValueError("sample_weight: all weights are zero, so no row is left")
    return weights
