"""Matrices for tests."""

from __future__ import annotations

import numpy as np

from stepml.ml.matrices import CsrMatrix, Floats


def sparse_of(X: Floats) -> CsrMatrix:
    """Return the same rows, sparse."""
    rows, columns = np.nonzero(X)
    counts = np.bincount(rows, minlength=len(X))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return CsrMatrix(indptr, columns.astype(np.int32), X[rows, columns], X.shape[1])
