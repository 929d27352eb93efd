"""Pipelines of scikit-learn that prepare a table as StepML does, with its own encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

_MISSING = "(missing)"


def prepared(frame: pd.DataFrame, times: Sequence[str] = ()) -> pd.DataFrame:
    """Return columns of numbers, of text, and of booleans as 0 and 1; times are seconds."""
    found = frame.copy()
    for name in times:
        times_of = pd.to_datetime(found[name].replace(" ", None), utc=True).dt.as_unit("s")
        found[name] = times_of.astype("int64").astype(float).where(times_of.notna())
    for name in found.columns:
        if has_booleans(found[name]):
            found[name] = found[name].astype("boolean").astype("Float64").astype(float)
        elif _is_text(found[name]):
            found[name] = found[name].astype(object).where(found[name].notna(), _MISSING)
        else:
            found[name] = found[name].astype(float)
    return found


def has_booleans(column: pd.Series[Any]) -> bool:
    """Return whether a column has booleans, and maybe missing values."""
    cells = column.dropna()
    return len(cells) > 0 and all(isinstance(each, bool) for each in cells)


def _is_text(column: pd.Series[Any]) -> bool:
    return not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column))


def fitted(
    X: pd.DataFrame, y: Any, l2: float, *, is_regression: bool, booleans: Sequence[str] = ()
) -> Pipeline:
    """Return the pipeline that is fitted to prepared rows.

    The objective is that of StepML: the mean loss and half of ``l2`` times the sum of squares.
    """
    text = [name for name in X.columns if _is_text(X[name])]
    numbers = [name for name in X.columns if name not in (*text, *booleans)]
    encoder = ColumnTransformer(
        [
            ("numbers", make_pipeline(StandardScaler(), SimpleImputer()), numbers),
            ("booleans", SimpleImputer(), list(booleans)),
            ("text", OneHotEncoder(handle_unknown="ignore"), text),
        ],
        sparse_threshold=0.0 if len(X) < 5000 else 0.3,
    )
    model: Any = LinearRegression()  # without a penalty, the smallest of all solutions
    if is_regression and l2:
        model = Ridge(l2 * len(X), tol=1e-10)
    elif not is_regression:
        model = LogisticRegression(C=1 / (l2 * len(X)), max_iter=20_000, tol=1e-8)
    return make_pipeline(encoder, model).fit(X, y)


def quality(predicted: Any, y: Any, *, is_regression: bool) -> float:
    """Return the root of the mean squared error, or the share of right classes."""
    if is_regression:
        return float(np.sqrt(np.mean((predicted - y) ** 2)))
    return float(np.mean(predicted == y))
