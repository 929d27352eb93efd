"""Sums of the rows of groups, such as clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stepml.ml.matrices import CsrMatrix, Floats, Floats64, Matrix

_BLOCK_ROWS = 2**14
_BLOCK_GROUPS = 2**20


def row_sums_by_group(
    X: Matrix,
    groups: npt.NDArray[np.integer[Any]],
    n_groups: int,
    *,
    block_rows: int = _BLOCK_ROWS,
) -> Floats64:
    """Return the sum of the rows of each group.

    Parameters
    ----------
    X : matrix of shape (n_samples, n_features), of finite values
    groups : array of integers of shape (n_samples,)
        Each row's group, from 0 to ``n_groups - 1``.
    n_groups : int
    block_rows : int
        Rows of a dense matrix that are summed in float32 before the sums are widened.

    Returns
    -------
    array of shape (n_groups, n_features)
    """
    if isinstance(X, CsrMatrix):
        return _sparse_sums_by_group(X, groups, n_groups)
    return _dense_sums_by_group(X, groups, n_groups, block_rows)


def _sparse_sums_by_group(
    X: CsrMatrix, groups: npt.NDArray[np.integer[Any]], n_groups: int
) -> Floats64:
    sums = np.zeros((n_groups, X.n_features))
    for rows, block in X.blocks():
        firsts = groups[rows].astype(np.intp) * X.n_features
        places = np.repeat(firsts, block.counts)
        places += block.columns
        np.add.at(sums.reshape(-1), places, block.values[block.pairs].astype(np.float64))
    return sums


def _dense_sums_by_group(
    X: Floats, groups: npt.NDArray[np.integer[Any]], n_groups: int, block_rows: int
) -> Floats64:
    # A product with a matrix of zeros and ones; bincount takes ten times as long.
    dtype = np.uint8 if n_groups <= 256 else np.int32
    names = np.arange(n_groups, dtype=dtype)[:, None]
    sums = np.zeros((X.shape[1], n_groups))
    step = max(1, min(block_rows, _BLOCK_GROUPS // n_groups))
    for first in range(0, len(X), step):
        rows = slice(first, first + step)
        belongs = (names == groups[rows].astype(dtype)).astype(np.float32)
        sums += X[rows].T @ belongs.T
    return np.ascontiguousarray(sums.T)
