"""Rows, labels and weights are checked as scikit-learn does, and tables stay tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator

from stepml.estimators.checks import checked_labels, checked_rows, checked_weights

COLUMNS = {"age": [30, 40, None], "city": ["Bern", None, "Köln"]}
TABLES: list[Any] = [
    COLUMNS,
    pl.DataFrame(COLUMNS).to_dicts(),
    pl.DataFrame(COLUMNS),
    pa.table(COLUMNS),
    pd.DataFrame(COLUMNS),
]


@pytest.mark.parametrize("table", TABLES, ids=["columns", "rows", "polars", "pyarrow", "pandas"])
def test_tables_with_names_stay_tables(table: Any) -> None:
    estimator = BaseEstimator()
    found = checked_rows(estimator, table, reset=True)
    assert found.shape == (3, 2)
    assert estimator.feature_names_in_.tolist() == ["age", "city"]
    with pytest.raises(ValueError, match="feature names"):
        checked_rows(estimator, pd.DataFrame(COLUMNS)[["city", "age"]], reset=False)


@pytest.mark.parametrize("shape", [(3, 8), (3, 2, 4), (3, 2, 2, 2)])
def test_images_keep_their_shape_and_count_as_features(shape: tuple[int, ...]) -> None:
    estimator = BaseEstimator()
    assert checked_rows(estimator, np.zeros(shape, np.uint8), reset=True).shape == shape
    assert estimator.n_features_in_ == 8


def test_names_that_are_numbers_are_none() -> None:
    estimator = BaseEstimator()
    assert isinstance(checked_rows(estimator, pd.DataFrame(np.eye(3)), reset=True), np.ndarray)
    assert not hasattr(estimator, "feature_names_in_")


def test_missing_values_stay_and_infinite_ones_are_refused() -> None:
    rows = np.array([[np.nan, 1.0]])
    assert np.isnan(checked_rows(BaseEstimator(), rows, reset=True)[0, 0])
    with pytest.raises(ValueError, match="infinity"):
        checked_rows(BaseEstimator(), np.array([[np.inf, 1.0]]), reset=True)


def test_labels_are_one_for_each_row() -> None:
    rows = np.eye(3)
    assert checked_labels(BaseEstimator(), rows, ["a", "b", "a"], numbers=False).shape == (3,)
    assert checked_labels(BaseEstimator(), rows, ["1", "2", "3"], numbers=True).dtype == np.float64
    missing = "missing values: None, NaN or NA"
    wrong: list[tuple[Any, str]] = [
        ([1, 2], "inconsistent"),
        ([1, np.nan, 2], "NaN"),
        (None, "requires y"),
        (np.array(["a", None, "b"], object), missing),
        (pd.Series(["a", None, "b"], dtype="string"), missing),
    ]
    for y, message in wrong:
        with pytest.raises(ValueError, match=message):
            checked_labels(BaseEstimator(), rows, y, numbers=False)


def test_weights_are_finite_and_not_all_0() -> None:
    assert checked_weights(None, 2) is None
    found = checked_weights(pd.Series([0, 2]), 2)
    assert found is not None
    assert found.tolist() == [0.0, 2.0]
    wrong: list[tuple[list[float], str]] = [
        ([1], r"sample_weight of shape \(2,\), got \(1,\)"),
        ([1, -1], "sample_weight of 0 or more, got -1"),
        ([0, 0], "all weights are zero"),
        ([1, np.inf], "infinity"),
    ]
    for weights, message in wrong:
        with pytest.raises(ValueError, match=message):
            checked_weights(weights, 2)
