"""Matrices of rows: dense float32 arrays, or compressed sparse rows (CSR), under the same names.

NumPy only: SciPy would double the functions' package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Offsets = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class CsrMatrix:
    """Rows of index and value pairs; a slice of rows is a view.

    ``indptr`` holds, for each row, where its pairs start in ``indices`` and ``values``, and behind
    the last row where its pairs end. It need not start at 0.
    """

    indptr: Offsets  # (n_rows + 1,)
    indices: Indices  # (≥ indptr[-1],) ascending within a row
    values: Floats  # (≥ indptr[-1],)
    n_features: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.indptr) - 1, self.n_features

    @property
    def nbytes(self) -> int:
        """Bytes of the three arrays."""
        return self.indptr.nbytes + self.indices.nbytes + self.values.nbytes

    @property
    def pairs(self) -> slice:
        """Where the pairs of these rows lie in ``indices`` and ``values``."""
        return slice(int(self.indptr[0]), int(self.indptr[-1]))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, rows: slice) -> CsrMatrix:
        start, stop, _ = rows.indices(len(self))
        return CsrMatrix(
            self.indptr[start : max(start, stop) + 1], self.indices, self.values, self.n_features
        )


Matrix = Floats | CsrMatrix


def product(X: Matrix, W: npt.NDArray[Any]) -> Floats:
    """Return ``X @ W``.

    Parameters
    ----------
    X : matrix of shape (n_samples, n_features)
    W : array of shape (n_features,) or (n_features, n_outputs)

    Returns
    -------
    array of shape (n_samples,) or (n_samples, n_outputs)
    """
    if isinstance(X, CsrMatrix):
        return _sparse_product(X, W)
    return X @ W


def transposed_product(X: Matrix, R: Floats, out: Floats) -> None:
    """Write ``X.T @ R`` to ``out``.

    Parameters
    ----------
    X : matrix of shape (n_samples, n_features)
    R : array of shape (n_samples,) or (n_samples, n_outputs)
    out : array of shape (n_features,) or (n_features, n_outputs)
    """
    if isinstance(X, CsrMatrix):
        _sparse_transposed_product(X, R, out)
    else:
        np.matmul(X.T, R, out=out)


def _sparse_product(X: CsrMatrix, W: npt.NDArray[Any]) -> Floats:
    pairs = X.pairs
    values = X.values[pairs]
    gathered = W.take(X.indices[pairs], axis=0)
    gathered *= values if W.ndim == 1 else values[:, None]
    result = np.zeros((len(X), *W.shape[1:]), np.float32)
    counts = np.diff(X.indptr)
    filled = np.flatnonzero(counts)  # reduceat takes an empty range for the pair at its start
    starts = X.indptr[filled] - pairs.start
    if len(filled):
        result[filled] = np.add.reduceat(gathered, starts, axis=0)
    return result


def _sparse_transposed_product(X: CsrMatrix, R: Floats, out: Floats) -> None:
    pairs = X.pairs
    indices, values = X.indices[pairs], X.values[pairs]
    counts = np.diff(X.indptr)
    columns = [(R, out)] if R.ndim == 1 else zip(R.T, out.T, strict=True)
    for r, column in columns:
        column[:] = np.bincount(indices, values * np.repeat(r, counts), X.n_features)
