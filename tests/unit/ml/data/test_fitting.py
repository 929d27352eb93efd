"""Fitted features: against NumPy and scikit-learn, dense and sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from stepml.job.data import Data
from stepml.ml.data import (
    Scale,
    Shard,
    Treatments,
    feature_moments,
    merge_moments,
    scale_of,
    scaled,
)
from stepml.ml.data.encoding import Encoder, RawRows
from stepml.ml.data.feature_names import TableFeatures
from stepml.ml.data.levels import level_hashes
from stepml.ml.data.ranks import Ranked
from stepml.ml.data.remainders import Remainders
from stepml.ml.data.table import Table, TableColumn
from stepml.ml.data.treatments import treatments_of
from stepml.ml.doubts import notes_on_features
from stepml.ml.matrices import CsrMatrix, dense
from tests.unit.ml.data.test_sniff import sniffed

RNG = np.random.default_rng(11)
SMALL = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0, np.nan])


def csr(X: np.ndarray) -> CsrMatrix:
    stored = (X != 0) | np.isnan(X)
    counts = stored.sum(axis=1)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    rows, columns = np.nonzero(stored)
    return CsrMatrix(indptr, columns.astype(np.int32), X[rows, columns], X.shape[1])


def shard(X: Any, remainders: Remainders | None = None) -> Shard:
    return Shard(X, np.zeros(len(X), np.float32), remainders=remainders)


def learnt(X: Any, treatments: Treatments, **options: Any) -> Scale:
    return scale_of(feature_moments(X), treatments, sample=lambda: shard(X), **options)


@given(
    st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=40), st.sampled_from([0, 0.25, 0.5, 1])
)
def test_quantiles_are_those_of_numpy(rows: list[tuple[float, float]], share: float) -> None:
    X = np.array(rows, np.float32)
    known = [each[~np.isnan(each)].astype(np.float64) for each in X.T]
    expected = [np.quantile(each, share) if len(each) else 0 for each in known]
    for each in (X, csr(X)):
        assert Ranked.of(shard(each)).quantile(share) == pytest.approx(expected)


@given(st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=40))
def test_the_most_frequent_value_is_that_of_scikit_learn(rows: list[tuple[float, float]]) -> None:
    X = np.array(rows, np.float32)
    X = X[:, ~np.isnan(X).all(axis=0)]
    if X.shape[1]:
        expected = SimpleImputer(strategy="most_frequent").fit(X).statistics_
        for each in (X, csr(X)):
            assert Ranked.of(shard(each)).most_frequent().tolist() == expected.tolist()


X = RNG.normal([0, 5, -300, 1], [1, 0.1, 40, 0], (500, 4)).astype(np.float32)
SCALERS = {"standardise": StandardScaler, "min_max": MinMaxScaler, "robust": RobustScaler}


@pytest.mark.parametrize("method", SCALERS)
def test_features_are_scaled_as_by_scikit_learn(method: str) -> None:
    found = scaled(X, learnt(X, Treatments(rescalings=method)))
    np.testing.assert_allclose(found, SCALERS[method]().fit_transform(X.astype(float)), atol=2e-4)


def test_each_feature_has_its_own_scale_and_fill() -> None:
    gaps = np.where(RNG.random(X.shape) < 0.2, np.nan, X).astype(np.float32)
    treatments = Treatments(
        fills=["mean", "median", -1.5, "fail"],
        rescalings=["robust", "none", "min_max", "standardise"],
    )
    scale = learnt(gaps, treatments)
    known = [each[~np.isnan(each)] for each in gaps.T]
    expected = [known[0].mean(), np.median(known[1]), -1.5, np.nan]
    np.testing.assert_allclose(scale.fill, expected, rtol=1e-5)
    low, high = known[2].min(), known[2].max()
    np.testing.assert_allclose(scale.mean, [np.median(known[0]), 0, low, 1], rtol=1e-5)
    quartiles = np.quantile(known[0], [0.25, 0.75])
    np.testing.assert_allclose(scale.scale, [np.diff(quartiles)[0], 1, high - low, 1], rtol=1e-5)


def test_equal_quartiles_are_replaced_by_the_deviation() -> None:
    rare = np.zeros((100, 1), np.float32)
    rare[:5] = 1e6
    for each in (rare, csr(rare)):
        scale = learnt(each, Treatments(rescalings="robust"), sparse=isinstance(each, CsrMatrix))
        assert scale.scale[0] == np.float32(rare.astype(float).std())


@pytest.mark.parametrize(
    ("method", "scaler"),
    [
        ("standardise", StandardScaler(with_mean=False)),
        ("min_max", MaxAbsScaler()),
        ("robust", RobustScaler(with_centering=False)),
    ],
)
def test_sparse_rows_are_scaled_but_not_moved(method: str, scaler: Any) -> None:
    rows = np.where(RNG.random((300, 6)) < 0.6, RNG.normal(size=(300, 6)), 0).astype(np.float32)
    found = scaled(csr(rows), learnt(csr(rows), Treatments(rescalings=method), sparse=True))
    expected = scaler.fit_transform(scipy.sparse.csr_array(rows.astype(float)))
    np.testing.assert_allclose(dense(found), expected.toarray(), rtol=1e-5)


def test_the_ends_do_not_depend_on_the_shards() -> None:
    gaps = np.where(RNG.random(X.shape) < 0.2, np.nan, X).astype(np.float32)
    for cuts in ([100], [1, 2, 499], [250, 251]):
        for rows in (np.split(gaps, cuts), [csr(each) for each in np.split(gaps, cuts)]):
            merged = merge_moments(map(feature_moments, rows))
            assert merged.low.tolist() == np.nanmin(gaps, axis=0).tolist()
            assert merged.high.tolist() == np.nanmax(gaps, axis=0).tolist()


def test_a_fine_feature_keeps_its_digits_whatever_fills_it_in() -> None:
    seconds = 1.7e9 + np.arange(600.0)[:, None]
    seconds[::7] = np.nan
    X = seconds.astype(np.float32)
    rest = (seconds - X).astype(np.float32)
    rest[np.isnan(rest)] = 0
    remainders = Remainders(np.zeros(1, np.int64), rest)
    moments = feature_moments(X, remainders)
    known = seconds[~np.isnan(seconds)]
    for fill, value in (("median", np.median(known)), ("mean", known.mean()), (1.7e9, 1.7e9)):
        for method in SCALERS:
            scale = scale_of(moments, Treatments(fill, method), sample=lambda: shard(X, remainders))
            again = Scale.unpack(scale.pack())
            found = scaled(X, again, remainders)
            filled = np.where(np.isnan(seconds), value, seconds)
            scaler = SCALERS[method]().fit(known[:, None])
            np.testing.assert_allclose(found, scaler.transform(filled), atol=1e-4)


COLUMNS = (
    TableColumn("age", 0, "number", missing="median"),
    TableColumn("colour", 1, "category", "one_hot", missing="most_frequent", indicator=True),
    TableColumn("size", 2, "category", "ordinal", missing="most_frequent"),
    TableColumn("is_new", 3, "boolean", missing="most_frequent"),
    TableColumn("shop", 4, "category", "one_hot", missing="level"),
    TableColumn("town", 5, "category", "one_hot", missing="zero"),
)
LEVELS = (("blue", "green", "red"), ("l", "m", "s"), ("", "x", "z"), ("p", "q"))


def raw_rows(n_rows: int = 200) -> RawRows:
    numbers = np.stack([RNG.normal(40, 9, n_rows), RNG.random(n_rows) < 0.3], axis=1)
    numbers[RNG.random(numbers.shape) < 0.2] = np.nan
    hashes = [level_hashes(["", *filter(None, each)]) for each in LEVELS]
    picks = [RNG.choice(each, n_rows, p=share) for each, share in zip(hashes, SHARES, strict=True)]
    return RawRows(numbers.astype(np.float32), np.stack(picks, axis=1))


SHARES = ([0.2, 0.1, 0.5, 0.2], [0.2, 0.1, 0.1, 0.6], [0.3, 0.4, 0.3], [0.3, 0.4, 0.3])


def both() -> tuple[Encoder, np.ndarray, CsrMatrix]:
    encoder, rows = Encoder(Table(COLUMNS), LEVELS), raw_rows()
    indices, values = encoder.pairs(rows)
    indptr = np.arange(len(rows) + 1) * encoder.n_pairs
    sparse = CsrMatrix(indptr, indices.ravel(), values.ravel(), encoder.n_features)
    return encoder, encoder.dense(rows), sparse


@pytest.mark.parametrize("method", ["none", *SCALERS])
def test_dense_and_sparse_rows_of_a_table_are_prepared_alike(method: str) -> None:
    encoder, X, pairs = both()
    data = Data(uri="s3://b/x.csv", format="csv", scale={"*": method})
    treatments = treatments_of(data, sniffed(b"1,2\n"), encoder)
    of_rows, of_pairs = learnt(X, treatments), learnt(pairs, treatments, sparse=True)
    rows, sparse = scaled(X, of_rows), scaled(pairs, of_pairs)
    np.testing.assert_allclose(dense(sparse), rows, atol=1e-5)
    assert not np.isnan(rows).any()
    assert (np.diff(np.asarray(sparse.indices).reshape(len(X), -1)) > 0).all()  # type: ignore[union-attr]


def test_a_table_is_filled_in_by_column() -> None:
    encoder, X, _ = both()
    data = Data(uri="s3://b/x.csv", format="csv", scale="standardise")
    found = scaled(X, learnt(X, treatments_of(data, sniffed(b"1,2\n"), encoder)))
    names = [each.name for each in encoder.features()]
    of = {name: place for place, name in enumerate(names)}
    lacks = np.isnan(X)
    colour = lacks[:, of["colour=red"]]
    assert (found[colour][:, of["colour=green"]] == 1).all()
    assert (found[colour][:, of["colour=red"]] == 0).all()
    assert set(np.unique(found[:, of["colour=(missing)"]])) == {0, 1}
    known = X[~lacks[:, of["size"]], of["size"]]
    size = found[lacks[:, of["size"]], of["size"]]
    np.testing.assert_allclose(size, (2 - known.mean()) / known.std(), rtol=1e-4)
    assert set(np.unique(found[:, of["is_new"]])) == {0, 1}  # what is 0 or 1 is not scaled
    assert (found[lacks[:, of["town=p"]]][:, [of["town=p"], of["town=q"]]] == 0).all()


@pytest.mark.parametrize("method", ["none", *SCALERS])
def test_the_mean_of_prepared_rows_follows_from_the_moments(method: str) -> None:
    encoder, X, pairs = both()
    data = Data(uri="s3://b/x.csv", format="csv", scale=method)
    treatments = treatments_of(data, sniffed(b"1,2\n"), encoder)
    for rows, sparse in ((X, False), (pairs, True)):
        scale = learnt(rows, treatments, sparse=sparse)
        expected = dense(scaled(rows, scale)).mean(axis=0, dtype=float)
        found = scale.mean_of(feature_moments(rows), len(X))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_columns_of_a_table_are_noted_as_a_whole() -> None:
    columns = (
        TableColumn("one", 0, "category", "one_hot", missing="level"),
        TableColumn("two", 1, "category", "one_hot", missing="level"),
        TableColumn("n", 2, "number", missing="mean"),
    )
    encoder = Encoder(Table(columns), (("a",), ("x", "y", "z")))
    codes = [level_hashes(["a"] * 60), level_hashes([*"xy"] * 30)]  # z is in validation rows
    X = encoder.dense(RawRows(np.arange(60, dtype=np.float32)[:, None], np.stack(codes, axis=1)))
    notes = notes_on_features(TableFeatures(encoder), feature_moments(X), lambda: X)
    assert notes == ["column 1 ('one') is constant"]
