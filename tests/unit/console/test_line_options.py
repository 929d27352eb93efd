"""The options of charts of lines: nothing in them is run, and all of it can be drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from nicegui import json as sent

from stepml.console.widgets.charts import value_rows
from stepml.console.widgets.line_options import LEFT, RIGHT, Span, finite, line_options, summary
from stepml.reports.charts import MOST_POINTS, Series

FALLING = Series("validation", [(1, 0.9), (2, 0.5), (3, 0.4)])
STEEP = Series("loss", [(1, 1e6), (2, 2.0), (3, 1.5), (4, 1.0)])
HOSTILE = [
    Series(name, [(1, 1.0), (2, math.nan), (3, math.inf), (4, 2.0)])
    for name in (":alert(1)", "<img src=x onerror=alert(1)>", "__proto__", "{a}", "", "\ud800\x1b")
]


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inside in value.items():
            yield key
            yield from _keys(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _keys(inside)


@pytest.mark.parametrize("is_log", [True, False, None])
@pytest.mark.parametrize(
    "series", [[], [FALLING], [STEEP], HOSTILE, [Series("zero", [(1, 0.0), (2, -1.0)])]]
)
def test_options_are_json_without_functions(series: list[Series], is_log: bool | None) -> None:
    options = line_options(finite(series), "epoch", is_log=is_log)
    sent.dumps(options)  # refuses what cannot be sent
    json.dumps(options, allow_nan=False)
    assert not [key for key in _keys(options) if key.startswith(":")]
    assert not {each.name for each in series} & {*_keys(options)} - {""}


def test_a_hidden_line_keeps_its_place_and_its_colour() -> None:
    both = [FALLING, STEEP]
    shown, some = line_options(both, "epoch"), line_options(both, "epoch", hidden={"validation"})
    assert some["series"][0]["data"] == ()
    assert [each["color"] for each in some["series"]] == [each["color"] for each in shown["series"]]
    assert some["xAxis"] == shown["xAxis"]


def test_lines_with_the_same_points_are_all_seen() -> None:
    three = [Series(name, FALLING.points) for name in "ABC"]
    lines = line_options([*three, Series("D", STEEP.points)], "epoch")["series"]
    styles = [each["lineStyle"] for each in lines]
    assert [each["type"] for each in styles] == ["solid", (9, 18), (9, 18), "solid"]
    assert styles[1]["dashOffset"] != styles[2]["dashOffset"]
    assert lines[0]["symbolSize"] > lines[1]["symbolSize"] > lines[2]["symbolSize"]
    assert [each["endLabel"]["show"] for each in lines] == [True, False, False, True]
    assert [each["endLabel"]["formatter"] for each in lines[::3]] == ["A…", "{a}"]
    two = line_options(three[:2], "epoch")["series"]
    assert two[0]["endLabel"]["formatter"] == "A=B"


def test_an_axis_is_logarithmic_as_in_reports_or_as_chosen() -> None:
    assert line_options([STEEP], "epoch")["yAxis"]["type"] == "log"
    assert line_options([STEEP], "epoch", is_log=False)["yAxis"]["type"] == "value"
    assert line_options([FALLING], "epoch")["yAxis"]["type"] == "value"
    assert line_options([FALLING], "epoch", is_log=True)["yAxis"]["type"] == "log"


def test_a_long_line_is_thinned_but_its_table_is_whole() -> None:
    long = Series("loss", [(n, math.sin(n)) for n in range(5000)])
    (line,) = line_options([long], "epoch")["series"]
    assert len(line["data"]) <= MOST_POINTS
    assert len(value_rows([long])) == 5000


def test_a_place_in_the_chart_is_a_value() -> None:
    span, width = Span.of([FALLING]), 500.0
    assert span.value_at(LEFT, width) == 1
    assert span.value_at(width - RIGHT, width) == 3
    assert span.value_at(0, width) == 1
    assert span.value_at((LEFT + width - RIGHT) / 2, width) == 2


def test_rows_join_the_lines() -> None:
    training = Series("training", [(2, 0.1), (9, math.nan)])
    assert value_rows(finite([FALLING, training])) == [
        (1, {"validation": 0.9}),
        (2, {"validation": 0.5, "training": 0.1}),
        (3, {"validation": 0.4}),
    ]


def test_a_chart_is_said_in_a_sentence() -> None:
    assert summary("Loss", [FALLING], "epoch") == "Loss, epoch 1 to 3. validation: 0.9 to 0.4"
