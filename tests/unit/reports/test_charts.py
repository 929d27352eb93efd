"""Charts have every value at its place, with round numbers at their axes."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stepml.reports.charts import (
    MOST_COLUMNS,
    MOST_POINTS,
    Column,
    Series,
    bars,
    line_chart,
    stacked_columns,
)
from stepml.reports.scales import MOST_TICKS, Scale, round_values, scale_of, tick_texts

numbers = st.floats(-1e12, 1e12, allow_nan=False)


def drawing(chart: str) -> ElementTree.Element:
    found = re.search(r"<svg.*</svg>", chart, flags=re.DOTALL)
    assert found is not None
    return ElementTree.fromstring(found[0])


def places(chart: str) -> list[tuple[float, float]]:
    line = drawing(chart).find("polyline")
    assert line is not None
    pairs = (pair.split(",") for pair in line.attrib["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def test_larger_values_are_higher_and_later_ones_further_right() -> None:
    (x1, y1), (x2, y2), (x3, y3) = places(
        line_chart("t", [Series("a", [(1, 0.5), (2, 0.25), (3, 0.75)])], "epoch")
    )
    assert x1 < x2 < x3
    assert y3 < y1 < y2
    assert y1 - y3 == pytest.approx(y2 - y1, abs=0.2)


def test_of_a_long_line_the_extremes_stay() -> None:
    points = [(float(x), 1.0) for x in range(10_000)]
    points[3_333], points[6_666] = (3_333.0, 3.0), (6_666.0, -1.0)
    drawn = places(line_chart("t", [Series("a", points)], "epoch"))
    assert len(drawn) <= MOST_POINTS
    assert len({y for _, y in drawn}) == 3


def test_values_that_are_not_finite_are_left_out_and_without_any_there_is_no_chart() -> None:
    chart = line_chart("t", [Series("a", [(1, math.nan), (2, 0.5), (3, math.inf)])], "epoch")
    assert len(places(chart)) == 1
    assert line_chart("t", [Series("a", [(1, math.nan)])], "epoch") == ""
    assert stacked_columns("t", [Column("1", {})], "epoch") == ""
    assert bars("t", []) == ""


def test_columns_are_as_high_as_the_sum_of_their_parts() -> None:
    columns = [Column("1", {"a": 1.0, "b": 1.0}), Column("2", {"b": 3.0})]
    first, second, third = drawing(stacked_columns("t", columns, "epoch")).findall("rect")
    heights = [float(each.attrib["height"]) for each in (first, second, third)]
    assert heights[2] == pytest.approx(3 * heights[0], abs=0.3)
    assert heights[0] == pytest.approx(heights[1], abs=0.2)
    assert second.attrib["class"] == third.attrib["class"] != first.attrib["class"]


def test_of_many_columns_neighbours_are_averaged() -> None:
    columns = [Column(str(number), {"a": float(number % 2)}) for number in range(10 * MOST_COLUMNS)]
    chart = stacked_columns("t", columns, "epoch")
    rects = drawing(chart).findall("rect")
    assert len(rects) == MOST_COLUMNS
    assert len({each.attrib["height"] for each in rects}) == 1
    assert "each column is the mean of 10" in chart


def test_text_is_escaped() -> None:
    chart = bars("<i>", [Column("<b>", {"<u>": 1.0, "a": 2.0}, "</svg>")], "<s>")
    assert not {"i", "b", "u", "s"} & {each.tag for each in drawing(chart).iter()} - {"svg"}
    assert "&lt;b&gt;" in chart


@given(st.lists(numbers, min_size=1, max_size=20))
def test_every_value_is_within_its_scale(values: list[float]) -> None:
    scale = scale_of(values, 0.0, 100.0)
    for value in values:
        assert -1e-6 <= scale(value) <= 100 + 1e-6


@example(161749999987.0, 160559012469.0)  # far from zero, beside their distance
@given(numbers, numbers)
def test_ticks_are_few_within_the_scale_and_have_different_texts(a: float, b: float) -> None:
    low, high = sorted((a, b))
    ticks = round_values(low, high)
    assert 1 <= len(ticks) <= MOST_TICKS + 1 or high - low < 1e-9 * max(1.0, abs(low))
    assert len(tick_texts(ticks)) == len(ticks)
    if high - low > 1e-6 * max(1.0, abs(low), abs(high)):
        assert all(
            low - 1e-6 * (high - low) <= tick <= high + 1e-6 * (high - low) for tick in ticks
        )
        assert len(set(tick_texts(ticks))) == len(ticks)


def test_a_scale_over_powers_of_ten_is_logarithmic() -> None:
    scale = scale_of([1e6, 10.0, 1.0, 0.5, 0.4], 0.0, 100.0)
    assert scale.is_logarithmic
    assert set(scale.ticks()) <= {10.0**power for power in range(-1, 8)}
    assert not scale_of([3.0, 2.0, 1.0], 0.0, 1.0).is_logarithmic
    assert Scale(1.0, 1.0, 0.0, 10.0)(1.0) == 5.0
