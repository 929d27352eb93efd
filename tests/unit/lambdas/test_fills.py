"""Missing values and scales of whole jobs are those of scikit-learn, learnt on training rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, RobustScaler, StandardScaler

from tests.support.prepared_rows import partitioned, prepared_frame
from tests.support.real_tables import as_csv, as_parquet

FILLS: dict[Any, dict[str, Any]] = {
    None: {"strategy": "mean"},
    "mean": {"strategy": "mean"},
    "median": {"strategy": "median"},
    "most_frequent": {"strategy": "most_frequent"},
    "zero": {"strategy": "constant", "fill_value": 0.0},
    -7.5: {"strategy": "constant", "fill_value": -7.5},
}
SCALES = {
    "none": FunctionTransformer(),
    "standardise": StandardScaler(),
    "min_max": MinMaxScaler(),
    "robust": RobustScaler(),
}
COLUMNS = ["n", "normal", "few", "skewed"]


def rows(n_rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "n": np.arange(n_rows, dtype=float),
            "normal": rng.normal(size=n_rows).round(2),
            "few": rng.integers(0, 5, n_rows).astype(float),
            "skewed": rng.lognormal(3, 2, n_rows).round(1),
        }
    )
    for name in COLUMNS[1:]:
        frame.loc[rng.random(n_rows) < 0.2, name] = np.nan
    return frame.assign(y=rng.normal(size=n_rows).round(2))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("fill", FILLS)
def test_a_fill_and_a_scale_are_those_of_scikit_learn(fill: Any, scale: str) -> None:
    frame = rows()
    X = frame[COLUMNS].to_numpy()
    # The scale is that of the values that are there.
    right = SCALES[scale].fit(X).transform(SimpleImputer(**FILLS[fill]).fit_transform(X))
    fields = {"label": "y", "scale": scale, "missing": fill}
    for content, key in ((as_csv(frame), "rows.csv"), (as_parquet(frame), "rows.parquet")):
        found = prepared_frame(partitioned(content, key, **fields))[COLUMNS].to_numpy()
        np.testing.assert_allclose(found, right, rtol=2e-6, atol=1e-6)


def test_fills_and_scales_do_not_see_validation_rows() -> None:
    frame = rows().assign(held=np.arange(200) >= 150)
    frame.loc[frame["held"], "normal"] = 1e6
    frame["held"] = frame["held"].astype(int)
    fields = {"label": "y", "scale": "standardise", "validation": {"column": "held"}}
    found = prepared_frame(partitioned(as_csv(frame), **fields))
    known = frame.loc[frame["held"] == 0, "normal"].to_numpy()[:, np.newaxis]
    right = SimpleImputer().fit_transform(StandardScaler().fit_transform(known))
    np.testing.assert_allclose(found["normal"], right[:, 0], rtol=2e-6, atol=1e-6)


def test_each_column_has_its_own_fill_and_scale() -> None:
    frame = rows()
    fields = {
        "label": "y",
        "missing": {"few": "most_frequent", "ske*": "median", "*": 3},
        "scale": {"normal": "min_max", "s*": "robust", "n": "none", "few": "none"},
    }
    found = prepared_frame(partitioned(as_csv(frame), **fields))
    parts = {
        "normal": (SimpleImputer(strategy="constant", fill_value=3.0), MinMaxScaler()),
        "few": (SimpleImputer(strategy="most_frequent"), FunctionTransformer()),
        "skewed": (SimpleImputer(strategy="median"), RobustScaler()),
    }
    for name, (imputer, scaler) in parts.items():
        column = frame[[name]].to_numpy()
        right = scaler.fit(column).transform(imputer.fit_transform(column))
        np.testing.assert_allclose(found[name], right[:, 0], rtol=2e-6, atol=1e-6, err_msg=name)
