"""Matrices of rows: dense float32 arrays or compressed sparse rows (CSR), with one interface.

NumPy only: SciPy would double the functions' package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int32]

# Pairs of a block: about 5 MB of intermediate arrays. A batch has fewer.
_BLOCK_PAIRS = 2**18
# Rows of a dense matrix that are summed in float32; sums of blocks are float64.
_BLOCK_ROWS = 2**14
# Elements of the matrix of zeros and ones that assigns rows to groups.


@dataclass(frozen=True, eq=False)
class CsrMatrix:
    """Rows of index and value pairs; a slice of rows is a view.

    The pairs of row ``i`` are ``indptr[i]`` to ``indptr[i + 1]`` of ``indices`` and ``values``.
    ``indptr`` need not start at 0.
    """

    indptr: Offsets  # (n_rows + 1,)
    indices: Indices  # (≥ indptr[-1],) ascending within a row
    values: Floats  # (≥ indptr[-1],)
    n_features: int
    block_pairs: int = _BLOCK_PAIRS  # worked on at a time

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.indptr) - 1, self.n_features

    @property
    def nbytes(self) -> int:
        """Bytes of the three arrays."""
        return self.indptr.nbytes + self.indices.nbytes + self.values.nbytes

    @property
    def nnz(self) -> int:
        """Pairs of these rows."""
        return int(self.indptr[-1] - self.indptr[0])

    @property
    def pairs(self) -> slice:
        """The place of the pairs of these rows in ``indices`` and ``values``."""
        return slice(int(self.indptr[0]), int(self.indptr[-1]))

    @cached_property
    def counts(self) -> Offsets:
        """Pairs of each row."""
        return np.diff(self.indptr)

    @cached_property
    def columns(self) -> npt.NDArray[np.intp]:
        """The pairs' indices in NumPy's own width, which needs twice the memory: for blocks only.

        They are cached, because a batch is multiplied twice.
        """
        return self.indices[self.pairs].astype(np.intp)

    def blocks(self) -> Iterator[tuple[slice, CsrMatrix]]:
        """Yield blocks of rows, each with its place; they are small enough for `columns`."""
        if self.nnz <= self.block_pairs:
            yield slice(0, len(self)), self
            return
        start = 0
        while start < len(self):
            most = self.indptr[start] + self.block_pairs
            stop = int(np.searchsorted(self.indptr, most, side="right")) - 1
            rows = slice(start, max(stop, start + 1))
            yield rows, self[rows]
            start = rows.stop

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, rows: slice) -> CsrMatrix:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"rows are sliced in steps of 1, not {step}")
        indptr = self.indptr[start : max(start, stop) + 1]
        return CsrMatrix(indptr, self.indices, self.values, self.n_features, self.block_pairs)


Matrix = Floats | CsrMatrix


def dense(X: Matrix) -> npt.NDArray[Any]:
    """Return a matrix as an array; one that is dense already stays as it is."""
    if not isinstance(X, CsrMatrix):
        return X
    rows = np.zeros(X.shape, np.float32)
    rows[np.repeat(np.arange(len(X)), X.counts), X.columns] = X.values[X.pairs]
    return rows


def chosen_rows(X: Matrix, rows: npt.NDArray[np.intp]) -> Matrix:
    """Return a copy of some rows, in their order."""
    if not isinstance(X, CsrMatrix):
        return X[rows]
    counts = X.counts[rows]
    ends = np.cumsum(counts)
    places = np.repeat(X.indptr[:-1][rows] - (ends - counts), counts) + np.arange(counts.sum())
    indptr = np.concatenate([[0], ends])
    return CsrMatrix(indptr, X.indices[places], X.values[places], X.n_features, X.block_pairs)


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
    # `dot` is faster with one output than `@`.
    result: Floats = _sparse_product(X, W) if isinstance(X, CsrMatrix) else X.dot(W)
    return result


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
    elif R.ndim == 1:
        R.dot(X, out=out)  # reads X as it lies, and is twice as fast
    else:
        np.matmul(X.T, R, out=out)


def wide_rows(X: Matrix, out: Floats64) -> None:
    """Write the rows of ``X``, with zeros where a sparse row stores nothing, to ``out``."""
    if isinstance(X, CsrMatrix):
        out[...] = 0
        out[np.repeat(np.arange(len(X)), X.counts), X.columns] = X.values[X.pairs]
    else:
        out[...] = X


def row_norms_squared(X: Matrix) -> Floats:
    """Return each row's squared Euclidean norm, of shape (n_samples,)."""
    if not isinstance(X, CsrMatrix):
        norms: Floats = np.einsum("ij,ij->i", X, X)
        return norms
    norms = np.empty(len(X), np.float32)
    for rows, block in X.blocks():
        norms[rows] = _row_sums(block, np.square(block.values[block.pairs]))
    return norms


def mean_squares(X: Matrix, weights: Floats | None = None) -> Floats64:
    """Return the mean square of each feature, of shape (n_features,); ``weights`` multiply rows."""
    sums = np.zeros(X.shape[1])
    if isinstance(X, CsrMatrix):
        for rows, block in X.blocks():
            squares = np.square(block.values[block.pairs], dtype=np.float64)
            if weights is not None:
                squares *= np.repeat(weights[rows], block.counts)
            np.add.at(sums, block.columns, squares)
    else:
        for first in range(0, len(X), _BLOCK_ROWS):
            block_rows = X[first : first + _BLOCK_ROWS]
            others = block_rows
            if weights is not None:
                others = block_rows * weights[first : first + _BLOCK_ROWS, None]
            sums += np.einsum("ij,ij->j", block_rows, others, dtype=np.float64)
    return sums / len(X)


def _sparse_product(X: CsrMatrix, W: npt.NDArray[Any]) -> Floats:
    _require_length(W, X.n_features)
    result = np.empty((len(X), *W.shape[1:]), np.float32)
    # One output at a time: the gathered values of all outputs would not fit into the cache.
    outputs = [(W, result)] if W.ndim == 1 else [*zip(W.T, result.T, strict=True)]
    for rows, block in X.blocks():
        for w, z in outputs:
            gathered = w.take(block.columns, mode="clip")  # the other modes are slower
            gathered *= block.values[block.pairs]
            z[rows] = _row_sums(block, gathered)
    return result


def _sparse_transposed_product(X: CsrMatrix, R: Floats, out: Floats) -> None:
    _require_length(R, len(X))
    outputs = [(R, out)] if R.ndim == 1 else [*zip(R.T, out.T, strict=True)]
    for r, z in outputs:
        # As for dense rows, float32 is exact enough for the sums of a batch, not of a shard.
        sums = z if X.nnz <= X.block_pairs else np.empty(X.n_features)
        sums.fill(0)
        for rows, block in X.blocks():
            columns, terms = _terms(block, r[rows])
            # As fast as bincount, and in place, unless it has to cast.
            np.add.at(sums, columns, terms.astype(sums.dtype, copy=False))
        z[:] = sums


def _terms(X: CsrMatrix, r: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """Return column, and value times the row's ``r``, of each pair whose ``r`` is not 0."""
    columns, values, counts = X.columns, X.values[X.pairs], X.counts
    active = r != 0
    # A hinge loss has many rows with r = 0. Selecting more than half costs more than it saves.
    if 2 * np.count_nonzero(active) < len(r):
        picked = np.repeat(active, counts)
        columns, values, counts, r = columns[picked], values[picked], counts[active], r[active]
    return columns, values * np.repeat(r, counts)


def _row_sums(X: CsrMatrix, pairs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the sum of each row, with ``pairs`` as the values of X."""
    starts = X.indptr[:-1] - X.indptr[0]
    if X.counts.all():
        sums: npt.NDArray[Any] = np.add.reduceat(pairs, starts)
        return sums
    sums = np.zeros(len(X), pairs.dtype)
    filled = X.counts > 0  # for an empty range, reduceat would return the pair at its start
    if filled.any():
        sums[filled] = np.add.reduceat(pairs, starts[filled])
    return sums


def _require_length(array: npt.NDArray[Any], length: int) -> None:
    if len(array) != length:
        raise ValueError(f"an array of length {len(array)} where {length} is needed")
