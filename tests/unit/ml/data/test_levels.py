"""Levels: one text for equal values, one list whatever the ranges, and a bound on their number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepml.job.errors import InvalidDataError
from stepml.ml.data import levels
from stepml.ml.data.levels import (
    MISSING,
    LevelCollector,
    level_hash,
    level_hashes,
    level_of_number,
    level_of_text,
    merge_levels,
)
from stepml.ml.data.table import MISSING_LEVEL, TableColumn

CITY = TableColumn("city", 2, "category", encode="one_hot")
TEXTS = st.lists(st.text(max_size=3), max_size=12)


@given(value=st.integers(-(2**53), 2**53))
def test_a_whole_number_is_one_level_however_it_is_written(value: int) -> None:
    written: list[Any] = [value, float(value), np.int64(value), np.float64(value)]
    assert {level_of_number(each) for each in written} == {str(value)}
    assert level_of_text(f"{value}.0", True) == level_of_text(f"{value}", True) == str(value)
    assert level_of_text(f"{value}.0", False) == f"{value}.0"


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_level_of_its_text(value: float) -> None:
    assert level_of_number(value) == level_of_text(repr(value), True)


@pytest.mark.parametrize("value", [2**53 + 1, 2**62 + 1, -(2**62) - 1])
def test_integers_that_are_one_float64_are_two_levels(value: int) -> None:
    assert level_of_number(value) != level_of_number(value + 1)
    assert level_of_number(np.int64(value)) == level_of_text(str(value), True)


@pytest.mark.parametrize("missing", [float("nan"), np.float32("nan")])
def test_nan_is_missing(missing: Any) -> None:
    assert level_hash(level_of_number(missing)) == MISSING == level_hash(MISSING_LEVEL)


@given(parts=st.lists(TEXTS, min_size=1, max_size=5))
def test_levels_do_not_depend_on_the_ranges(parts: list[list[str]]) -> None:
    whole, lists = LevelCollector([CITY]), []
    for part in parts:
        own = LevelCollector([CITY])
        np.testing.assert_array_equal(own.hashes(0, part), whole.hashes(0, part))
        lists.append(own.lists())
    (merged,) = merge_levels([CITY], lists)
    assert merged == tuple(whole.lists()[0]) == tuple(sorted(set().union(*parts)))
    assert merge_levels([CITY], lists[::-1]) == (merged,)


def test_too_many_levels_are_refused_by_name_and_hash_is_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(levels, "MAX_LEVELS", 10)
    collector = LevelCollector([CITY])
    collector.hashes(0, [f"c{each}" for each in range(10)])
    with pytest.raises(InvalidDataError, match=r"column 3 \('city'\) .* 10 .*\"city\": \"hash\""):
        collector.hashes(0, ["one more"])
    halves = [[[f"{half}{each}" for each in range(6)]] for half in "ab"]
    with pytest.raises(InvalidDataError, match="city"):
        merge_levels([CITY], halves)
    hashed = TableColumn("city", 2, "category", encode="hash", width=4)
    many = [f"c{each}" for each in range(50)]
    np.testing.assert_array_equal(LevelCollector([hashed]).hashes(0, many), level_hashes(many))
    assert LevelCollector([hashed]).lists() == [[]]


def test_integers_beyond_all_floats_are_levels() -> None:
    large = "9" * 400
    assert level_of_text(large, are_numbers=True) == level_of_number(int(large)) == large


def test_the_text_of_levels_is_bounded_and_the_column_with_most_of_it_is_named() -> None:
    words = TableColumn("words", 5, "category", encode="one_hot")
    collector = LevelCollector([CITY, words], max_bytes=1000)
    collector.hashes(1, ["x" * 900])
    with pytest.raises(InvalidDataError, match=r"column 6 .'words'. has levels of .* MB of text"):
        collector.hashes(0, [f"city {number}" for number in range(20)])
    with pytest.raises(InvalidDataError, match=r'words.*set data.encode to {"words": "hash"}'):
        merge_levels([words], [[["y" * 2**20 * 8]], [["z"]]])


def test_rows_to_predict_may_have_any_number_of_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "MAX_LEVELS", 10)
    collector = LevelCollector([CITY], is_bounded=False, max_bytes=10)
    assert len(collector.hashes(0, [f"city {number}" for number in range(99)])) == 99
