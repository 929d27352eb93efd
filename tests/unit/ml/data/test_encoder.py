"""Encoders give the features of pandas and scikit-learn, dense and sparse alike."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import OrdinalEncoder

from stepml.job.columns import DatePart
from stepml.ml.data.encoding import Encoder, RawRows
from stepml.ml.data.levels import level_hashes
from stepml.ml.data.table import MISSING_LEVEL, Table, TableColumn

PARTS = get_args(DatePart)
OF_PANDAS = {"weekday": "day_of_week", "dayofyear": "day_of_year"}
TEXT = st.text(min_size=1, max_size=3)
CELLS = st.lists(st.none() | TEXT, min_size=1, max_size=20)


def raw(levels: pd.DataFrame, numbers: Any = None) -> RawRows:
    """Return raw rows of categories, whose missing levels are None, and of numbers."""
    hashes = [level_hashes(levels[name].fillna(MISSING_LEVEL)) for name in levels]
    X = np.zeros((len(levels), 0)) if numbers is None else numbers
    return RawRows(np.asarray(X, np.float32), np.stack(hashes, axis=1))


def levels_of(column: pd.Series[Any], missing: str) -> list[str]:
    found = sorted(set(column.dropna()))
    return [MISSING_LEVEL, *found] if missing == "level" and column.isna().any() else found


def category(name: str, place: int = 0, **fields: Any) -> TableColumn:
    return TableColumn(
        name, place, "category", **{"encode": "one_hot", "missing": "level"} | fields
    )


def dense_of_pairs(encoder: Encoder, rows: RawRows) -> Any:
    """Return the features that the pairs of sparse rows stand for."""
    indices, values = encoder.pairs(rows)
    assert (np.diff(indices, axis=1) > 0).all()
    found = np.zeros((len(rows), encoder.n_features), np.float32)
    np.put_along_axis(found, indices, values, axis=1)
    return found


@given(cells=CELLS)
def test_one_hot_is_get_dummies(cells: list[str | None]) -> None:
    frame = pd.DataFrame({"a": pd.Series(cells, dtype=object)})
    filled = frame.fillna("")
    encoder = Encoder(Table((category("a"),)), [levels_of(frame["a"], "level")])
    expected = pd.get_dummies(filled["a"], dtype=np.float32)
    expected = expected[sorted(expected.columns)]
    np.testing.assert_array_equal(encoder.dense(raw(frame)), expected)
    names = [each.name for each in encoder.features()]
    assert names == [f"a={each or '(missing)'}" for each in expected.columns]
    np.testing.assert_array_equal(dense_of_pairs(encoder, raw(frame)), expected)


@given(cells=CELLS)
def test_a_missing_category_that_is_filled_later_is_nan_everywhere(
    cells: list[str | None],
) -> None:
    frame = pd.DataFrame({"a": pd.Series(cells, dtype=object)})
    levels = levels_of(frame["a"], "most_frequent")
    encoder = Encoder(Table((category("a", missing="most_frequent"),)), [levels])
    dummies = pd.get_dummies(frame["a"], dtype=np.float32).reindex(columns=levels)
    expected = dummies.where(frame["a"].notna(), np.nan)
    np.testing.assert_array_equal(encoder.dense(raw(frame)), expected.to_numpy(np.float32))


@given(cells=CELLS, others=CELLS)
def test_ordinal_is_that_of_scikit_learn_with_minus_one_for_unknown_levels(
    cells: list[str | None], others: list[str | None]
) -> None:
    known = pd.DataFrame({"a": [each or "-" for each in cells]})
    new = pd.DataFrame({"a": [each or "-" for each in others]})
    levels = sorted(set(known["a"]))
    encoder = Encoder(Table((category("a", encode="ordinal"),)), [levels])
    reference = OrdinalEncoder(
        categories=[levels], handle_unknown="use_encoded_value", unknown_value=-1
    ).fit(known)
    for frame in (known, new):
        np.testing.assert_array_equal(encoder.dense(raw(frame)), reference.transform(frame))


@given(cells=CELLS, others=CELLS)
def test_unknown_levels_set_no_feature_and_are_told(
    cells: list[str | None], others: list[str | None]
) -> None:
    known, new = ({each or "-" for each in part} for part in (cells, others))
    frame = pd.DataFrame({"a": sorted(new)})
    encoder = Encoder(Table((category("a"),)), [sorted(known)])
    rows = raw(frame)
    are_unknown = np.array([each not in known for each in frame["a"]])
    np.testing.assert_array_equal(encoder.unknown(rows.levels)[:, 0], are_unknown)
    np.testing.assert_array_equal(encoder.dense(rows).sum(axis=1), ~are_unknown)
    np.testing.assert_array_equal(dense_of_pairs(encoder, rows), encoder.dense(rows))


@given(cells=CELLS, width=st.integers(2, 9))
def test_hashed_levels_are_one_feature_each_whatever_other_rows_hold(
    cells: list[str | None], width: int
) -> None:
    frame = pd.DataFrame({"a": pd.Series(cells, dtype=object)})
    encoder = Encoder(Table((category("a", encode="hash", width=width),)), [()])
    rows = raw(frame)
    together = encoder.dense(rows)
    alone = [encoder.dense(raw(frame.iloc[[each]]))[0] for each in range(len(frame))]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together.sum(axis=1), 1)
    np.testing.assert_array_equal(dense_of_pairs(encoder, rows), together)


@given(
    data=st.data(),
    kinds=st.lists(st.sampled_from(["number", "boolean", "category"]), min_size=1, max_size=5),
    n_rows=st.integers(1, 8),
)
def test_columns_stay_in_the_order_of_the_data_with_indicators_behind_each(
    data: st.DataObject, kinds: list[str], n_rows: int
) -> None:
    values = {
        "number": st.none() | st.integers(-9, 9),
        "boolean": st.none() | st.booleans(),
        "category": st.none() | TEXT,
    }
    rows = {
        f"c{place}": data.draw(st.lists(values[kind], min_size=n_rows, max_size=n_rows))
        for place, kind in enumerate(kinds)
    }
    columns, expected, names, levels = [], [], [], []
    for place, (name, kind) in enumerate(zip(rows, kinds, strict=True)):
        cells = pd.Series(rows[name], dtype=object)
        if kind == "category":
            known = levels_of(cells, "level")
            levels.append(known)
            columns.append(category(name, place, indicator=True))
            expected += [(cells.fillna("") == each).to_numpy(float) for each in known]
            names += [f"{name}={each or '(missing)'}" for each in known]
        else:
            columns.append(TableColumn(name, place, kind, missing="mean", indicator=True))
            expected.append(cells.astype(float).to_numpy())
            names.append(name)
        expected.append(cells.isna().to_numpy(float))
        names.append(f"{name}=(missing)")
    frame = pd.DataFrame(rows, dtype=object)
    are_levels = [kind == "category" for kind in kinds]
    numbers = frame.loc[:, [not each for each in are_levels]].astype(float)
    of_levels = [
        level_hashes(frame[name].fillna(MISSING_LEVEL)) for name in frame.columns[are_levels]
    ]
    stacked = np.stack(of_levels, axis=1) if of_levels else np.zeros((n_rows, 0), np.uint64)
    rows_of = RawRows(numbers.to_numpy(np.float32), stacked)
    encoder = Encoder(Table(tuple(columns)), levels)
    np.testing.assert_array_equal(encoder.dense(rows_of), np.stack(expected, axis=1))
    np.testing.assert_array_equal(dense_of_pairs(encoder, rows_of), np.stack(expected, axis=1))
    assert [each.name for each in encoder.features()] == names


@given(
    times=st.lists(
        st.datetimes(pd.Timestamp(1700, 1, 1), pd.Timestamp(2250, 1, 1)), min_size=1, max_size=9
    )
)
def test_parts_of_times_are_those_of_pandas(times: list[Any]) -> None:
    whole = pd.Series(times).dt.as_unit("s").dt.floor("s")
    seconds = whole.astype("int64").to_numpy(np.float64)
    X = seconds.astype(np.float32)[:, np.newaxis]
    rest = (seconds - X[:, 0]).astype(np.float32)[:, np.newaxis]
    rows = RawRows(X, np.zeros((len(X), 0), np.uint64), rest)
    column = TableColumn("t", 0, "time", parts=PARTS)
    encoder = Encoder(Table((column,)), [], [0])
    expected = [getattr(whole.dt, OF_PANDAS.get(part, part)) for part in PARTS]
    np.testing.assert_array_equal(encoder.dense(rows), np.stack(expected, axis=1))
    assert encoder.fine == ()


@pytest.mark.parametrize("encode", ["one_hot", "ordinal"])
def test_the_order_of_rows_and_of_other_rows_changes_no_feature(encode: str) -> None:
    cells = pd.DataFrame({"a": ["x", "y", None, "x", "é"]})
    encoder = Encoder(Table((category("a", encode=encode),)), [["", "x", "y", "é"]])
    whole = encoder.dense(raw(cells))
    order = [3, 0, 4, 2, 1]
    np.testing.assert_array_equal(encoder.dense(raw(cells.iloc[order])), whole[order])
