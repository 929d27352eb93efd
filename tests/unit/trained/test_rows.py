"""The input of trained models: every way to hold rows and labels, names, masks, and refusals."""

from __future__ import annotations

import warnings
from decimal import Decimal
from typing import Any

import narwhals
import numpy as np
import pandas
import polars
import pyarrow
import pytest
import scipy.sparse

from stepml.trained_model import TrainedModel
from tests.support.artifacts import MODELS, N_FEATURES, NAMES, Example, example


def trained(it: Example) -> TrainedModel:
    return TrainedModel(it.artifact)


def frame(X: Any, names: Any = NAMES) -> pandas.DataFrame:
    return pandas.DataFrame(np.asarray(X), columns=list(names))


TABLES: dict[str, Any] = {
    "pandas": frame,
    "pandas, nullable": lambda X, names: frame(X, names).convert_dtypes(),
    "pandas, objects": lambda X, names: frame(X, names).astype(object),
    "pandas, one column of objects": lambda X, names: frame(X, names).astype({names[1]: object}),
    "pandas, categories": lambda X, names: frame(X, names).astype({names[0]: "category"}),
    "pandas, arrow": lambda X, names: frame(X, names).convert_dtypes(dtype_backend="pyarrow"),
    "pandas, sparse": lambda X, names: frame(X, names).astype(pandas.SparseDtype("float64", 0)),
    "polars": lambda X, names: polars.DataFrame(dict(zip(names, X.T, strict=True))),
    "pyarrow table": lambda X, names: pyarrow.table(dict(zip(names, X.T, strict=True))),
    "pyarrow batch": lambda X, names: pyarrow.record_batch([*X.T], [*names]),
    "mapping": lambda X, names: dict(zip(names, X.T, strict=True)),
    "mapping of lists": lambda X, names: dict(zip(names, X.T.tolist(), strict=True)),
    "rows": lambda X, names: [dict(zip(names, row, strict=True)) for row in X.tolist()],
    "structured array": lambda X, names: np.rec.fromarrays([*X.T], names=",".join(names)),
    "narwhals": lambda X, names: narwhals.from_native(TABLES["polars"](X, names)),
}


@pytest.mark.parametrize("prepared", ["", "dense", "sparse"])
@pytest.mark.parametrize("kind", MODELS)
def test_every_way_to_hold_rows_gives_the_same(kind: str, prepared: str) -> None:
    it = example(kind, prepared=prepared, features=True)
    model = trained(it)
    expected = model.predict(it.X)
    duplicated = scipy.sparse.coo_matrix(
        (
            np.tile(it.X.ravel() / 2, 2),
            (np.tile(np.repeat(np.arange(100), 4), 2), np.tile(np.arange(4), 200)),
        ),
        shape=it.X.shape,
    )
    held = [
        it.X.astype(np.float64),
        np.asfortranarray(it.X),
        it.X.tolist(),
        it.X.astype(object),
        np.ma.masked_array(it.X),
        it.sparse,
        scipy.sparse.csr_matrix(it.X),
        scipy.sparse.csc_array(it.X.astype(np.float64)),
        duplicated,
        frame(it.X),
    ]

    for X in held:
        assert np.allclose(model.predict(X), expected, rtol=1e-5, atol=1e-5), type(X)


@pytest.mark.parametrize("names", ["abcd", "cadb"])
@pytest.mark.parametrize("table", TABLES)
def test_the_columns_of_a_table_are_found_by_name(table: str, names: str) -> None:
    it = example(features=True)
    model = trained(it)
    X = TABLES[table](it.X[:, ["abcd".index(name) for name in names]], names)

    assert np.allclose(model.decision_function(X), model.decision_function(it.X), rtol=1e-5)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_other_columns_is_refused(table: str) -> None:
    it = example(features=True)

    with pytest.raises(ValueError, match="by name; missing: d; not among them: x"):
        trained(it).predict(TABLES[table](it.X, "abcx"))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("missing", ["fail", "mean"])
def test_a_missing_value_of_a_table_is_found(table: str, missing: str) -> None:
    it = example("linear", features=True, prepared="dense", missing=missing)
    it.X[7, 2] = np.nan
    rows = TABLES[table](it.X, "abcd")

    if missing == "fail":
        with pytest.raises(ValueError, match=r"no value \(NaN\) in row 7, feature 2 \('c'\)"):
            trained(it).predict(rows)
    else:
        assert np.allclose(trained(it).predict(rows), trained(it).predict(it.X), rtol=1e-5)


@pytest.mark.parametrize(
    "rows",
    [
        pyarrow.table({name: [1, None, 3] for name in "abcd"}),
        polars.DataFrame({name: [True, None, False] for name in "abcd"}),
        pandas.DataFrame({name: [Decimal(1), None, Decimal(3)] for name in "abcd"}),
        pandas.DataFrame({name: [1, pandas.NA, 3] for name in "abcd"}),
        [[1] * 4, [None] * 4, [3] * 4],
    ],
    ids=["pyarrow", "polars", "decimals", "objects", "lists"],
)
def test_nothing_is_a_missing_value(rows: Any) -> None:
    with pytest.raises(ValueError, match=r"no value \(NaN\) in row 1, feature 0"):
        trained(example(features=True)).predict(rows)


@pytest.mark.parametrize("held", [lambda rows: rows, narwhals.from_native], ids=["own", "narwhals"])
def test_a_lazy_table_is_refused(held: Any) -> None:
    rows = held(polars.LazyFrame({name: [1.0] for name in "abcd"}))

    with pytest.raises(ValueError, match=r"LazyFrame, which is lazy: pass .* its collect\(\)"):
        trained(example(features=True)).predict(rows)


@pytest.mark.parametrize("names", [range(4), [1, 0, 3, 2], [("a", 1), ("b", 1), ("c", 1), "d"]])
def test_columns_that_are_not_named_are_taken_in_their_order_with_a_warning(names: Any) -> None:
    it = example(features=True)
    rows = pandas.DataFrame(it.X)
    rows.columns = pandas.Index(names, tupleize_cols=False)

    if "d" in list(names):
        with pytest.raises(ValueError, match="names of columns that are all strings"):
            trained(it).predict(rows)
    else:
        with pytest.warns(UserWarning, match="the columns of X are .*, .*: they are taken in"):
            found = trained(it).predict(rows)
        assert np.array_equal(found, trained(it).predict(it.X))


def test_names_that_the_model_has_not_are_told() -> None:
    it = example()

    with pytest.warns(UserWarning, match="the data of the model had no names of features"):
        found = trained(it).predict(frame(it.X, "xyzw"))
    assert np.array_equal(found, trained(it).predict(it.X))
    with warnings.catch_warnings(action="error"):
        trained(it).predict(frame(it.X, range(4)))


MASKED: dict[str, Any] = {
    "array": np.ma.masked_array,
    "list": lambda X, mask: list(np.ma.masked_array(X, mask)),
    "whole numbers": lambda X, mask: np.ma.masked_array(X.astype(int), mask),
    "objects": lambda X, mask: np.ma.masked_array(X.astype(object), mask),
}


def test_columns_that_are_no_features_are_left_out() -> None:
    it = example(features=True)
    model = trained(it)
    expected = model.predict(it.X)
    table = {"id": range(100), **dict(zip(NAMES, it.X.T, strict=True))}

    with pytest.warns(UserWarning, match="no features of the model are left out: id$"):
        assert np.array_equal(model.predict(table | {"y": ["text"] * 100}), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del table["id"]  # the label alone is no surprise
        assert np.array_equal(model.predict(table | {"y": ["text"] * 100}), expected)


@pytest.mark.parametrize("held", MASKED)
def test_a_masked_value_is_missing(held: str) -> None:
    X = np.round(example().X)
    X[7, 2] = 1e20 if held != "whole numbers" else 1e9
    mask = np.zeros(X.shape, bool)
    mask[7, 2] = True
    rows = MASKED[held](X, mask)
    filled = np.where(mask, 0, X)

    with pytest.raises(ValueError, match=r"no value \(NaN\) in row 7, feature 2"):
        trained(example()).predict(rows)
    model = trained(example(prepared="dense", missing="zero"))
    assert np.array_equal(model.decision_function(rows), model.decision_function(filled))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([1, 2, 3, 4], r"got \(4,\); one row is X.reshape\(1, -1\)"),
        (np.zeros((2, 2, 4)), r"\(n_samples, n_features\), got \(2, 2, 4\)"),
        (np.float32(1), r"\(n_samples, n_features\), got \(\)"),
        (np.zeros((2, 3)), "the model has 4 features, X has 3"),
        (scipy.sparse.csr_matrix((2, 5)), "the model has 4 features, X has 5"),
        ([[1, 2, 3, 4], [1, 2]], "inhomogeneous"),
        ([["1", "2", "3", "4"]], "expected numbers, got values of type <U1"),
        (np.array([["1", 2, 3, 4]], object), "got values of type object with '1'"),
        (np.array([[1, 2, 3, 1j]], object), "got values of type object: .*complex"),
        (np.array([[1, 2, 3, 10**400]], object), "got values of type object: .*too large"),
        ([{"a": 1, "b": 2}], "by name; missing: c, d"),
        ([{"a": 1}, [1, 2, 3, 4]], "expected values of one length"),
        (dict.fromkeys("abcd", 1.0), "got 1.0 for 'a'; one row is a list of one mapping"),
        ({"a": [1], "b": [1], "c": [1, 2], "d": [1]}, "of one length: 'a' has 1, 'b' has 1, 'c'"),
        ({name: ["1"] for name in "abcd"}, "got column 'a' of type object with '1'"),
        ({name: np.zeros((2, 2)) for name in "abcd"}, "of one dimension, got one of shape"),
        (np.zeros(2, [("a", "f4"), ("b", "f4")]), "by name; missing: c, d"),
        (np.zeros((1, 4), complex), "got values of type complex128"),
        (np.zeros((1, 4), "M8[s]"), "got values of type datetime64"),
        (scipy.sparse.csr_matrix((2, 4), dtype=complex), "got a sparse matrix of complex128"),
        (frame([["x", "2", "3", "4"]]), "got column 'a' of type object with 'x'"),
        (frame([[1, 2, 3, 4]]).astype({"b": "M8[s]"}), "got column 'b' of type datetime64"),
        (frame([[1, 2, 3, 4]]).astype({"b": complex}), "got column 'b' of type object: .*complex"),
        (pyarrow.table({name: ["1"] for name in "abcd"}), "column 'a' of type object with '1'"),
        (polars.DataFrame({name: ["1"] for name in "abcd"}), "got column 'a' of type"),
        (pyarrow.table({name: [[1.0]] for name in "abcd"}), "got column 'a' of type object"),
        ([[0, np.inf, 0, 0]], r"row 0 that is infinite .*: feature 1 \('b'\)"),
        ([[0, 0, 0, 0], [0, 0, 0, -1e300]], r"row 1 .* too large for float32: feature 3 \('d'\)"),
        (scipy.sparse.csr_matrix([[0, 0, 0, 0], [0, 0, 1e39, 0]]), r"row 1 .*: feature 2 \('c'\)"),
        (frame(np.zeros((1, 5)), "abcda"), "expected one column of each name; several .* a"),
        (None, "got values of type object"),
    ],
)
def test_what_is_no_matrix_of_these_features_is_refused(X: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trained(example(features=True)).predict(X)


def test_a_table_without_names_has_as_many_columns() -> None:
    with pytest.raises(ValueError, match="the model has 4 features, X has 5"):
        trained(example()).predict(frame(np.zeros((2, 5)), range(5)))


@pytest.mark.parametrize("kind", ["logistic", "linear"])
@pytest.mark.parametrize(
    "held",
    [
        np.asarray,
        list,
        lambda y: y.reshape(-1, 1),
        lambda y: y.astype(object),
        pandas.Series,
        lambda y: pandas.DataFrame({"y": y}),
        lambda y: pandas.Series(y).convert_dtypes(),
        polars.Series,
        pyarrow.array,
        np.ma.masked_array,
    ],
    ids=[
        "array",
        "list",
        "column",
        "objects",
        "series",
        "frame",
        "nullable",
        "polars",
        "pyarrow",
        "masks",
    ],
)
def test_every_way_to_hold_labels_gives_the_same_score(kind: str, held: Any) -> None:
    it = example(kind)
    y = trained(it).predict(it.X)

    assert trained(it).score(it.X, held(y)) == 1


@pytest.mark.parametrize("kind", ["logistic", "logistic, one against rest", "softmax", "linear"])
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "needs y, the labels"),
        ([1.0], r"expected y of shape \(100,\), got \(1,\)"),
        (["a"] * 100, "expected numbers, got y of type <U1"),
        (np.ones((100, 2)), r"expected y of shape \(100,\), got \(100, 2\)"),
        ([1.0] * 99 + [np.nan], r"y has no value \(NaN\) in row 99"),
        ([1.0] * 99 + [None], r"y has no value \(NaN\) in row 99"),
        ([1.0] * 99 + [np.inf], "y has the value inf in row 99"),
        (np.ma.masked_array(np.ones(100), np.arange(100) == 3), r"y has no value \(NaN\) in row 3"),
        (pandas.Series([1] * 99 + [None], dtype="Int64"), r"y has no value \(NaN\) in row 99"),
    ],
    ids=["none", "short", "text", "columns", "nan", "nothing", "infinite", "masked", "NA"],
)
def test_labels_that_do_not_fit_are_refused(kind: str, y: Any, message: str) -> None:
    it = example(kind)

    with pytest.raises(ValueError, match=message):
        trained(it).score(it.X, y)
    if y is not None and len(y) == 100 and np.ndim(y) == 1:
        with pytest.raises(ValueError, match=message):
            trained(it).expected(y)


@pytest.mark.parametrize("kind", ["logistic", "linear", "kmeans"])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], r"expected sample_weight of shape \(100,\), got \(1,\)"),
        ([0.0] * 100, "sample_weight with a sum above 0, got 0"),
        ([np.nan] * 100, r"sample_weight has no value \(NaN\) in row 0"),
    ],
    ids=["short", "zero", "nan"],
)
def test_weights_that_do_not_fit_are_refused(kind: str, weights: Any, message: str) -> None:
    it = example(kind)

    with pytest.raises(ValueError, match=message):
        trained(it).score(it.X, np.ones(100), sample_weight=weights)


def test_a_wide_table_is_converted_as_a_whole() -> None:
    rows = frame(np.zeros((3, N_FEATURES)))

    assert trained(example(features=True)).predict(rows.iloc[:, ::-1]).shape == (3,)
