"""Columns that say nothing: empty, constant, or with another value in each row.

They are found once all rows are known. To leave them out, a text loses its levels, and a number is
divided by infinity (`stepml.ml.data.fitting`): it is 0 in all rows, those to predict included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.moments import Moments
from stepml.ml.matrices import CsrMatrix, Matrix

_Flags = NDArray[np.bool_]
_LEAST_ROWS = 50  # of fewer, other values in each row may be chance
_SHARE = 0.9  # of the rows that have levels of their own; others may be repeated, or missing


def is_identifier(levels: Sequence[str], n_rows: int) -> bool:
    """Return whether a category has about as many levels as rows, like names and numbers."""
    return len(levels) >= max(_LEAST_ROWS, _SHARE * n_rows)


def say_nothing(
    moments: Moments, n_rows: int, may_count: _Flags | None, sample: Callable[[], Matrix]
) -> _Flags:
    """Return the features that are empty or constant, or that count the rows.

    Parameters
    ----------
    moments : Moments
        Of the training rows.
    n_rows : int
        Of all rows.
    may_count : array of bool, optional
        The features that are numbers; None: all are.
    sample : callable
        Returns training rows as in the data. Called only if a feature may count the rows.
    """
    found = moments.are_constant.copy()
    n_values = moments.high - moments.low + 1
    may = (n_values >= max(_LEAST_ROWS, _SHARE * n_rows)) & (n_values <= n_rows)
    if may_count is not None:
        may &= may_count
    for feature in np.flatnonzero(may).tolist():
        found[feature] = _are_different_integers(_column(sample(), feature))
    return found


def _column(X: Matrix, feature: int) -> NDArray[np.float32]:
    if isinstance(X, CsrMatrix):
        found: NDArray[np.float32] = X.values[X.pairs][X.indices[X.pairs] == feature]
        return found
    return X[:, feature]


def _are_different_integers(values: NDArray[np.float32]) -> bool:
    # NaN is no integer.
    return bool((values == np.rint(values)).all()) and len(np.unique(values)) == len(values)
