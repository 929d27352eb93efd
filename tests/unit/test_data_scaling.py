"""Moments and scales agree with whole-data NumPy and with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepml.ml.data import Moments, Scale, feature_moments, merge_moments, standardise
from stepml.ml.data.scaling import scale_of

RNG = np.random.default_rng(0)


@given(
    st.lists(st.integers(1, 6000), min_size=1, max_size=5),
    st.floats(-1e4, 1e4),
    st.floats(1e-2, 1e3),
)
def test_merged_moments_are_those_of_all_rows(sizes: list[int], mean: float, scale: float) -> None:
    shards = [RNG.normal(mean, scale, (size, 2)).astype(np.float32) for size in sizes]
    merged = merge_moments(map(feature_moments, shards))
    rows = np.concatenate(shards).astype(np.float64)
    assert merged.n == len(rows)
    np.testing.assert_allclose(merged.mean, rows.mean(axis=0), rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(merged.m2 / merged.n, rows.var(axis=0), rtol=1e-9, atol=1e-18)


def test_standardised_features_are_those_of_scikit_learn() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    X = RNG.normal([1000, 0, -3], [200, 1, 1e-3], (10_000, 3)).astype(np.float32)
    X = np.column_stack([X, np.full(len(X), 0.1, np.float32)])
    scaled = standardise(X, scale_of(feature_moments(X)))
    expected = preprocessing.StandardScaler().fit_transform(X.astype(np.float64))
    np.testing.assert_allclose(scaled, expected, atol=2e-3)
    np.testing.assert_allclose(scaled[:, :2], expected[:, :2], atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e-40, 16777217])
@pytest.mark.parametrize("n_rows", [1, 3, 10_000])
def test_a_constant_feature_becomes_zero(value: float, n_rows: int) -> None:
    X = np.full((n_rows, 1), value, np.float32)
    scale = scale_of(merge_moments([feature_moments(X), feature_moments(X)]))
    assert scale.scale.tolist() == [1]
    assert standardise(X, scale).tolist() == [[0]] * n_rows


def test_standardising_leaves_its_input_alone() -> None:
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    X.flags.writeable = False
    scaled = standardise(X, scale_of(feature_moments(X)))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-6)


def test_moments_and_scales_survive_packing() -> None:
    moments = feature_moments(RNG.normal(size=(10, 3)).astype(np.float32))
    unpacked = Moments.unpack(moments.pack())
    assert unpacked.n == 10
    assert (unpacked.mean == moments.mean).all()
    assert (unpacked.m2 == moments.m2).all()
    scale = scale_of(moments)
    again = Scale.unpack(scale.pack())
    assert (again.mean == scale.mean).all()
    assert (again.scale == scale.scale).all()
