"""Notes on features that say nothing, or nothing new."""

from __future__ import annotations

import numpy as np
import pytest

from stepml.ml.data import Layout
from stepml.ml.data.moments import feature_moments
from stepml.ml.doubts import notes_on_features
from stepml.ml.matrices import CsrMatrix, Matrix

RNG = np.random.default_rng(3)
A, B, C = RNG.normal(size=(3, 500)).astype(np.float32)
ONE, TENTH = np.ones_like(A), np.full_like(A, 0.1)
FLAGS = RNG.permutation([1.0] * 50 + [0.0] * 450)


def layout(names: str) -> Layout:
    columns = (*names, "y")
    return Layout("csv", ",", len(columns), len(names), True, columns, len(names))


def notes(*columns: object) -> list[str]:
    X = np.stack([np.asarray(each, np.float32) for each in columns], axis=1)
    names = "abcdefghij"[: len(columns)]
    return notes_on_features(layout(names), feature_moments(X), lambda: X)


def never() -> Matrix:
    raise AssertionError("no sample is needed")


def test_ordinary_features_need_no_note_and_no_sample() -> None:
    X = np.stack([A, B, C], axis=1)
    assert notes_on_features(layout("abc"), feature_moments(X), never) == []


@pytest.mark.parametrize("value", [0, 1, 0.1, 3.3, 1e-7, -1e30])
def test_a_constant_feature_is_noted(value: float) -> None:
    assert notes(A, np.full_like(A, value)) == ["column 2 ('b') is constant"]


def test_a_feature_without_values_is_noted() -> None:
    nothing = np.full_like(A, np.nan)
    assert notes(A, nothing, ONE) == [
        "column 2 ('b') has no value",
        "column 3 ('c') is constant",
    ]
    assert notes(nothing, A, nothing) == [
        "2 features have no value: column 1 ('a'), column 3 ('c')"
    ]


def test_many_constant_features_are_counted_and_the_first_ones_named() -> None:
    assert notes(A, ONE, TENTH) == ["2 features are constant: column 2 ('b'), column 3 ('c')"]
    assert notes(A, *[ONE] * 5) == [
        "5 features are constant: column 2 ('b'), column 3 ('c'), column 4 ('d'), …"
    ]


def test_a_feature_that_repeats_another_is_noted() -> None:
    assert notes(A, B, A) == ["column 3 ('c') repeats column 1 ('a')"]
    assert notes(FLAGS, A, FLAGS, A) == [
        "2 features repeat others: column 3 ('c') repeats column 1 ('a'), column 4 ('d') repeats "
        "column 2 ('b')"
    ]
    missing = np.where(FLAGS, np.nan, A)
    assert notes(missing, B, missing) == ["column 3 ('c') repeats column 1 ('a')"]


def test_features_that_differ_in_their_rows_are_no_repetition() -> None:
    assert notes(FLAGS, RNG.permutation(FLAGS), 2 * A, A + 1, -A) == []


def test_a_value_that_the_sample_lacks_makes_no_repetition() -> None:
    X = np.zeros((500, 2), np.float32)
    X[400, 0] = X[401, 1] = 1
    assert notes_on_features(layout("ab"), feature_moments(X), lambda: X[:300]) == []


def test_sparse_features_are_only_compared_with_constants() -> None:
    indptr, indices = np.arange(0, 22, 2), np.tile([0, 1], 10).astype(np.int32)
    values = np.repeat(np.arange(1, 11, dtype=np.float32), 2)
    X = CsrMatrix(indptr, indices, values, 3)
    assert notes_on_features(layout("abc"), feature_moments(X), lambda: X) == [
        "column 3 ('c') is constant"
    ]
