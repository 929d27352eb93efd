"""Moments and scales agree with whole-data NumPy and with scikit-learn, dense and sparse."""

from __future__ import annotations

import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepml.ml.data import (
    Moments,
    Scale,
    Treatments,
    feature_moments,
    merge_moments,
    scale_in_place,
    scale_of,
    scaled,
)
from stepml.ml.matrices import CsrMatrix, Floats
from tests.support.matrices import sparse_of

RNG = np.random.default_rng(0)


def rescaled(*, standardise: bool) -> Treatments:
    return Treatments(rescalings="standardise" if standardise else "none")


def with_missing(X: Floats, share: float = 0.3) -> Floats:
    holes = X.copy()
    holes[RNG.random(X.shape) < share] = np.nan
    return holes


def sparse_rows(n_rows: int) -> Floats:
    X = RNG.normal(3, 2, (n_rows, 5)).astype(np.float32)
    X[RNG.random(X.shape) < [0.5, 0.9, 0.0, 1.0, 0.7]] = 0  # in some, every or no value is 0
    return X


@given(
    st.lists(st.integers(1, 6000), min_size=1, max_size=5),
    st.floats(-1e4, 1e4),
    st.floats(1e-2, 1e3),
)
def test_merged_moments_are_those_of_all_rows(sizes: list[int], mean: float, scale: float) -> None:
    shards = [RNG.normal(mean, scale, (size, 2)).astype(np.float32) for size in sizes]
    merged = merge_moments(map(feature_moments, shards))
    rows = np.concatenate(shards).astype(np.float64)
    assert merged.n.tolist() == [len(rows)] * 2
    np.testing.assert_allclose(merged.mean, rows.mean(axis=0), rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(merged.m2 / merged.n, rows.var(axis=0), rtol=1e-9, atol=1e-18)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=5), st.floats(0, 1))
def test_missing_values_take_no_part_in_moments(sizes: list[int], share: float) -> None:
    shards = [with_missing(RNG.normal(5, 2, (n, 3)).astype(np.float32), share) for n in sizes]
    merged = merge_moments(map(feature_moments, shards))
    rows = np.concatenate(shards).astype(np.float64)
    assert merged.n.tolist() == (~np.isnan(rows)).sum(axis=0).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of features without values
        mean, variance = np.nanmean(rows, axis=0), np.nanvar(rows, axis=0)
    n = np.maximum(merged.n, 1)
    np.testing.assert_allclose(merged.mean, np.nan_to_num(mean), rtol=1e-12)
    np.testing.assert_allclose(merged.m2 / n, np.nan_to_num(variance), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("block_pairs", [1, 50, 2**18])
@pytest.mark.parametrize("sizes", [[1], [1, 3], [700, 20]])
def test_sparse_moments_are_those_of_all_rows_with_their_zeros(
    sizes: list[int], block_pairs: int
) -> None:
    rows = [sparse_rows(size) for size in sizes]
    blocks = [replace(sparse_of(X), block_pairs=block_pairs) for X in rows]
    sparse = merge_moments(map(feature_moments, blocks))
    dense = merge_moments(map(feature_moments, rows))
    assert sparse.n.tolist() == dense.n.tolist()
    np.testing.assert_allclose(sparse.mean, dense.mean, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(sparse.m2, dense.m2, rtol=1e-9, atol=1e-9)


def test_blocks_of_pairs_do_not_change_a_bit_of_sparse_moments() -> None:
    X = sparse_of(sparse_rows(300))
    found = set()
    for block_pairs in (1, 50, 2**18):
        found.add(bytes(feature_moments(replace(X, block_pairs=block_pairs)).pack()))
    assert len(found) == 1


def sparse_with_missing(n_rows: int) -> tuple[CsrMatrix, Floats]:
    """Return rows with some missing stored values, and the same rows dense."""
    X = sparse_rows(n_rows)
    sparse = sparse_of(X)
    missing = RNG.random(len(sparse.values)) < 0.3
    missing |= sparse.indices == 4  # all stored values of one feature
    sparse.values[missing] = np.nan
    X[np.nonzero(X)] = sparse.values
    return sparse, X


@pytest.mark.parametrize("block_pairs", [1, 50, 2**18])
@pytest.mark.parametrize("sizes", [[1], [1, 3], [700, 20]])
def test_missing_values_take_no_part_in_sparse_moments(sizes: list[int], block_pairs: int) -> None:
    rows = [sparse_with_missing(size) for size in sizes]
    blocks = [replace(X, block_pairs=block_pairs) for X, _ in rows]
    sparse = merge_moments(map(feature_moments, blocks))
    dense = merge_moments(feature_moments(X) for _, X in rows)
    assert sparse.n.tolist() == dense.n.tolist()
    np.testing.assert_allclose(sparse.mean, dense.mean, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(sparse.m2, dense.m2, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("standardise", [False, True])
def test_missing_values_of_sparse_rows_become_the_mean(standardise: bool) -> None:
    sparse, X = sparse_with_missing(1000)
    missing = np.isnan(sparse.values)
    scale = scale_of(feature_moments(sparse), rescaled(standardise=standardise), sparse=True)
    found = scaled(sparse, scale)
    assert isinstance(found, CsrMatrix)
    filled = np.where(missing, np.nanmean(X, axis=0)[sparse.indices], sparse.values)
    deviations = np.nanstd(X, axis=0) if standardise else np.ones(X.shape[1])
    deviations[deviations == 0] = 1
    np.testing.assert_allclose(found.values, filled / deviations[sparse.indices], rtol=1e-4)
    scale_in_place(sparse, scale)
    assert sparse.values.tobytes() == found.values.tobytes()


def test_a_sparse_feature_that_is_always_missing_becomes_zero() -> None:
    values = np.full(3, np.nan, np.float32)
    X = CsrMatrix(np.arange(4), np.zeros(3, np.int32), values, 2)
    moments = feature_moments(X)
    assert moments.n.tolist() == [0, 3]
    found = scaled(X, scale_of(moments, sparse=True))
    assert isinstance(found, CsrMatrix)
    assert found.values.tolist() == [0, 0, 0]


def test_moments_of_a_slice_are_those_of_its_rows() -> None:
    X = sparse_rows(100)
    part, rows = feature_moments(sparse_of(X)[10:40]), feature_moments(sparse_of(X[10:40]))
    assert bytes(part.pack()) == bytes(rows.pack())


def test_standardised_features_are_those_of_scikit_learn() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    X = RNG.normal([1000, 0, -3], [200, 1, 1e-3], (10_000, 3)).astype(np.float32)
    X = np.column_stack([X, np.full(len(X), 0.1, np.float32)])
    found = scaled(X, scale_of(feature_moments(X)))
    expected = preprocessing.StandardScaler().fit_transform(X.astype(np.float64))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_allclose(found[:, :2], expected[:, :2], atol=1e-5)


def test_scaled_sparse_features_are_those_of_scikit_learn() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    X = sparse_rows(1000)
    found = scaled(sparse_of(X), scale_of(feature_moments(sparse_of(X)), sparse=True))
    scaler = preprocessing.StandardScaler(with_mean=False)
    expected = scaler.fit_transform(X.astype(np.float64))
    assert isinstance(found, CsrMatrix)
    np.testing.assert_allclose(found.values, expected[np.nonzero(X)], rtol=1e-5)


def test_missing_values_become_the_mean_as_in_scikit_learn() -> None:
    impute = pytest.importorskip("sklearn.impute")
    X = with_missing(RNG.normal([10, -3], 2, (1000, 2)).astype(np.float32))
    expected = impute.SimpleImputer().fit_transform(X.astype(np.float64))
    found = scaled(X, scale_of(feature_moments(X), rescaled(standardise=False)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (found[~np.isnan(X)] == X[~np.isnan(X)]).all()
    standardised = scaled(X, scale_of(feature_moments(X)))
    assert (standardised[np.isnan(X)] == 0).all()
    np.testing.assert_allclose(np.nanmean(standardised[:, 0]), 0, atol=1e-6)


@pytest.mark.parametrize("standardise", [False, True])
def test_a_feature_that_is_always_missing_becomes_zero(standardise: bool) -> None:
    X = np.full((10, 2), np.nan, np.float32)
    X[:, 1] = range(10)
    moments = merge_moments([feature_moments(X), feature_moments(X)])
    assert moments.n.tolist() == [0, 20]
    scale = scale_of(moments, rescaled(standardise=standardise))
    assert (scale.fill[0], scale.mean[0], scale.scale[0]) == (0, 0, 1)
    assert scaled(X, scale)[:, 0].tolist() == [0] * 10


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e-40, 16777217])
@pytest.mark.parametrize("n_rows", [1, 3, 10_000])
def test_a_constant_feature_becomes_zero(value: float, n_rows: int) -> None:
    X = np.full((n_rows, 1), value, np.float32)
    scale = scale_of(merge_moments([feature_moments(X), feature_moments(X)]))
    assert scale.scale.tolist() == [1]
    assert scaled(X, scale).tolist() == [[0]] * n_rows


def test_a_constant_sparse_feature_stays_what_it_is() -> None:
    X = np.full((1000, 1), 0.1, np.float32)
    found = scaled(sparse_of(X), scale_of(feature_moments(sparse_of(X)), sparse=True))
    assert isinstance(found, CsrMatrix)
    assert (found.values == np.float32(0.1)).all()


def test_scaling_leaves_its_input_alone() -> None:
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    X.flags.writeable = False
    found = scaled(X, scale_of(feature_moments(X)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.std(axis=0), 1, rtol=1e-6)
    sparse = sparse_of(X)
    sparse.values.flags.writeable = False
    scaled(sparse, scale_of(feature_moments(sparse), sparse=True))


def test_a_slice_is_scaled_as_the_whole() -> None:
    X = sparse_of(sparse_rows(100))
    scale = scale_of(feature_moments(X), sparse=True)
    whole, part = scaled(X, scale), scaled(X[20:30], scale)
    assert isinstance(whole, CsrMatrix)
    assert isinstance(part, CsrMatrix)
    assert part.values.tobytes() == whole.values[whole[20:30].pairs].tobytes()


def test_in_place_is_the_same_to_the_bit_without_a_second_copy() -> None:
    dense = with_missing(RNG.normal(3, 2, (200_000, 20)).astype(np.float32))
    sparse = sparse_of(sparse_rows(1_000_000))
    for X in (dense, sparse):
        scale = scale_of(feature_moments(X), sparse=X is sparse)
        expected = scaled(X, scale)
        tracemalloc.start()
        scale_in_place(X, scale)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 * 2**20 < X.nbytes
        for ours, theirs in ((X, expected),) if X is dense else ((X.values, expected.values),):
            assert ours.tobytes() == theirs.tobytes()


def test_no_mean_is_subtracted_from_a_sparse_matrix() -> None:
    X = sparse_of(sparse_rows(10))
    with pytest.raises(ValueError, match="not stay sparse"):
        scaled(X, scale_of(feature_moments(X)))


def test_moments_and_scales_survive_packing() -> None:
    moments = feature_moments(with_missing(RNG.normal(size=(10, 3)).astype(np.float32)))
    unpacked = Moments.unpack(moments.pack())
    assert (unpacked.n == moments.n).all()
    assert (unpacked.mean == moments.mean).all()
    assert (unpacked.m2 == moments.m2).all()
    scale = scale_of(moments)
    again = Scale.unpack(scale.pack())
    assert (again.fill == scale.fill).all()
    assert (again.mean == scale.mean).all()
    assert (again.scale == scale.scale).all()
