"""Sparse matrices agree with dense ones and with SciPy's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepml.ml.group_sums import row_sums_by_group
from stepml.ml.matrices import (
    CsrMatrix,
    Floats,
    Matrix,
    product,
    row_norms_squared,
    transposed_product,
)
from tests.support.matrices import sparse_of

Dense = npt.NDArray[Any]
blocks = pytest.mark.parametrize("block_pairs", [1, 7, 100, 2**18])


def random_pair(
    seed: int, n_rows: int, n_features: int, density: float = 0.2
) -> tuple[CsrMatrix, Floats]:
    """Return a random matrix, sparse and dense; its values are so few that many rows are empty."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    X[rng.random(X.shape) >= density] = 0
    return sparse_of(X), X


def outputs_of(seed: int, length: int, n_outputs: int | None) -> Floats:
    shape = (length,) if n_outputs is None else (length, n_outputs)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def transposed(X: Matrix, R: Floats, order: Any = "C") -> Floats:
    out = np.full((X.shape[1], *R.shape[1:]), np.nan, np.float32, order)
    transposed_product(X, R, out)
    return out


sizes = st.tuples(st.integers(0, 30), st.integers(1, 9))


@given(st.integers(0, 9), sizes, st.floats(0, 1), st.sampled_from([None, 1, 3]))
def test_products_are_those_of_the_dense_matrix(
    seed: int, size: tuple[int, int], density: float, n_outputs: int | None
) -> None:
    sparse, dense = random_pair(seed, *size, density)
    W, R = (outputs_of(seed, length, n_outputs) for length in reversed(size))
    np.testing.assert_allclose(product(sparse, W), product(dense, W), atol=1e-5)
    np.testing.assert_allclose(transposed(sparse, R), transposed(dense, R), atol=1e-5)
    np.testing.assert_allclose(transposed(sparse, R, "F"), transposed(dense, R), atol=1e-5)
    np.testing.assert_allclose(row_norms_squared(sparse), row_norms_squared(dense), rtol=1e-5)


@blocks
@pytest.mark.parametrize("n_outputs", [None, 1, 5, 50])
def test_products_are_those_of_scipy_whatever_the_blocks(
    block_pairs: int, n_outputs: int | None
) -> None:
    scipy_sparse = pytest.importorskip("scipy.sparse")
    X = replace(random_pair(1, 200, 40)[0], block_pairs=block_pairs)
    oracle = scipy_sparse.csr_matrix((X.values, X.indices, X.indptr), X.shape)
    W, R = outputs_of(2, 40, n_outputs), outputs_of(3, 200, n_outputs)
    assert product(X, W).dtype == np.float32
    np.testing.assert_allclose(product(X, W), oracle @ W, atol=1e-5)
    np.testing.assert_allclose(transposed(X, R), oracle.T @ R, atol=1e-4)


@blocks
@pytest.mark.parametrize("n_groups", [1, 3, 300])
def test_sums_by_group_are_those_of_each_groups_rows(block_pairs: int, n_groups: int) -> None:
    sparse, dense = random_pair(4, 150, 11)
    sparse = replace(sparse, block_pairs=block_pairs)
    groups = np.random.default_rng(5).integers(0, n_groups, 150)
    expected = [dense[groups == g].sum(axis=0, dtype=np.float64) for g in range(n_groups)]
    for X in (sparse, dense):
        sums = row_sums_by_group(X, groups, n_groups, block_rows=block_pairs)
        assert sums.dtype == np.float64
        np.testing.assert_allclose(sums, expected, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.49, 0.5, 1.0])
def test_rows_without_a_derivative_take_no_part(share: float) -> None:
    sparse, dense = random_pair(6, 100, 20)
    R = outputs_of(7, 100, 3)
    R[np.random.default_rng(8).random(R.shape) >= share] = 0
    np.testing.assert_allclose(transposed(sparse, R), dense.T @ R, atol=1e-5)
    np.testing.assert_allclose(transposed(sparse, R[:, 0]), dense.T @ R[:, 0], atol=1e-5)


def test_a_column_that_all_rows_have_keeps_its_digits_in_a_large_shard() -> None:
    n = 2**20
    X = CsrMatrix(np.arange(n + 1), np.zeros(n, np.int32), np.full(n, 0.1, np.float32), 2)
    np.testing.assert_allclose(transposed(X, np.ones(n, np.float32)), [np.float32(0.1) * n, 0])


@pytest.mark.parametrize("rows", [slice(0, 0), slice(3, 4), slice(5, 20), slice(90, 200), slice(7)])
def test_a_slice_of_rows_is_a_view_that_computes_as_its_rows(rows: slice) -> None:
    sparse, dense = random_pair(9, 100, 20)
    part, expected = sparse[rows], dense[rows]
    assert np.shares_memory(part.values, sparse.values)
    assert (len(part), part.shape, part.nnz) == (
        len(expected),
        expected.shape,
        np.count_nonzero(expected),
    )
    W, R = outputs_of(10, 20, None), outputs_of(11, len(expected), None)
    np.testing.assert_allclose(product(part, W), expected @ W, atol=1e-5)
    np.testing.assert_allclose(transposed(part, R), expected.T @ R, atol=1e-5)
    np.testing.assert_allclose(row_norms_squared(part), row_norms_squared(expected), rtol=1e-5)
    np.testing.assert_allclose(product(part[1:3], W), expected[1:3] @ W, atol=1e-5)


@blocks
def test_blocks_are_all_rows_once_and_small(block_pairs: int) -> None:
    X = replace(random_pair(12, 100, 20)[0], block_pairs=block_pairs)
    found = [*X[10:].blocks()]
    assert [row for rows, _ in found for row in range(rows.start, rows.stop)] == [*range(90)]
    assert all(block.nnz <= block_pairs or len(block) == 1 for _, block in found)


def test_equal_inputs_give_equal_bits() -> None:
    X, _ = random_pair(13, 500, 40)
    again = CsrMatrix(X.indptr.copy(), X.indices.copy(), X.values.copy(), 40)
    W, R = outputs_of(14, 40, 4), outputs_of(15, 500, 4)
    assert product(X, W).tobytes() == product(again, W).tobytes()
    assert transposed(X, R).tobytes() == transposed(again, R).tobytes()


def test_a_vector_of_another_length_is_refused() -> None:
    X, _ = random_pair(16, 10, 5)
    for length in (4, 6):
        with pytest.raises(ValueError, match=f"length {length} where 5 is needed"):
            product(X, np.zeros(length, np.float32))
    with pytest.raises(ValueError, match="length 9 where 10 is needed"):
        transposed(X, np.zeros(9, np.float32))


def test_rows_are_sliced_in_steps_of_one() -> None:
    X, _ = random_pair(17, 10, 5)
    with pytest.raises(ValueError, match="steps of 1, not 2"):
        X[::2]


def test_the_bytes_of_a_matrix_are_those_of_its_arrays() -> None:
    X = CsrMatrix(np.array([0, 1, 3]), np.array([0, 0, 1], np.int32), np.ones(3, np.float32), 2)
    assert X.nbytes == 3 * 8 + 3 * 4 + 3 * 4
