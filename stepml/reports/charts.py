"""Charts as SVG for pages without scripts: lines, columns and bars.

Colours are classes ``c0`` to ``c9`` of ``templates/style.css``, which has a light and a dark form
of each. A legend, a dash or a text says the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stepml.reports.axes import (
    BOTTOM,
    CHARACTER,
    HEIGHT,
    LEFT,
    MIDDLE,
    RIGHT,
    TOP,
    WIDTH,
    bar_axis,
    column_names,
    x_axis,
    y_axis,
)
from stepml.reports.scales import Scale, scale_of
from stepml.reports.svg import EMPTY, element, joined

COLOURS = 10
MOST_POINTS = 400  # of a line; of more, the smallest and the largest of each neighbourhood
MOST_DOTS = 60  # points of a line that have a dot with their value
LEAST = 0.1  # pixels of a part that is drawn
WIDEST_COLUMN = 80.0
MOST_COLUMNS = 100  # of more, neighbours are averaged
ROW, NARROW_ROW = 22.0, 15.0  # heights of bars with their distance …
MOST_WIDE_ROWS = 20  # … and the number up to which they are the first
BARS = 640.0  # width of a chart of bars …
NAMES = 150.0  # … and of the names beside them


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart."""

    name: str
    points: Sequence[tuple[float, float]]  # x and y
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a stacked chart, or one bar."""

    name: str
    parts: Mapping[str, float]  # by kind, not negative
    note: str = ""  # beside a bar


def line_chart(
    title: str,
    series: Sequence[Series],
    x_title: str,
    y_title: str = "",
    *,
    from_zero: bool = False,
) -> Markup:
    """Return a chart of lines over a common axis; points that are not finite are left out.

    A few values that are much larger than the others make the y axis logarithmic.
    """
    lines = [Series(each.name, finite_points(each.points), each.is_dashed) for each in series]
    xs = [x for each in lines for x, _ in each.points]
    ys = [y for each in lines for _, y in each.points]
    if not xs:
        return EMPTY
    y_scale = scale_of(ys, HEIGHT - BOTTOM, TOP, from_zero=from_zero)
    if y_scale.is_logarithmic:
        y_title = f"{y_title} (logarithmic)".strip()
    x_scale = Scale(min(xs), max(xs), LEFT + 8, WIDTH - RIGHT - 8)
    drawn = [_line(each, index, x_scale, y_scale) for index, each in enumerate(lines)]
    axes = joined(y_axis(y_scale, y_title), x_axis(x_scale, x_title))
    names = {each.name: _line_class(each, index) for index, each in enumerate(lines)}
    legend_ = legend(names) if len(lines) > 1 else EMPTY
    return _figure(title, legend_, _svg(title, HEIGHT, axes, *drawn))


def stacked_columns(
    title: str,
    columns: Sequence[Column],
    x_title: str,
    y_title: str = "",
    colours: Mapping[str, str] | None = None,
) -> Markup:
    """Return a chart of columns, each of parts on top of each other.

    ``colours`` has kinds of parts in their order, each with its class.
    """
    merged, per_column = _merged(columns)
    shown = coloured(merged, colours)
    if not shown:
        return EMPTY
    y_scale = scale_of(
        (sum(each.parts.values()) for each in merged), HEIGHT - BOTTOM, TOP, from_zero=True
    )
    width = (WIDTH - LEFT - RIGHT) / len(merged)
    drawn = [
        _stack(each, LEFT + index * width, width, shown, y_scale)
        for index, each in enumerate(merged)
    ]
    names = column_names([each.name for each in merged], width)
    if per_column > 1:
        x_title = f"{x_title}; each column is the mean of {per_column}"
    axis = element("text", x_title, x=MIDDLE, y=HEIGHT - 4, class_="axis", text_anchor="middle")
    svg = _svg(title, HEIGHT, y_axis(y_scale, y_title), *drawn, names, axis)
    return _figure(title, legend(shown), svg)


def bars(
    title: str,
    rows: Sequence[Column],
    unit: str = "",
    colours: Mapping[str, str] | None = None,
) -> Markup:
    """Return a chart of horizontal bars, each of parts beside each other, with a note behind.

    ``colours`` as for `stacked_columns`.
    """
    shown = coloured(rows, colours)
    if not shown:
        return EMPTY
    row = ROW if len(rows) <= MOST_WIDE_ROWS else NARROW_ROW
    end = BARS - 14 - CHARACTER * max(len(each.note) for each in rows)
    scale = scale_of((sum(each.parts.values()) for each in rows), NAMES, end, from_zero=True)
    drawn = [_bar(each, index * row + 2, row - 4, shown, scale) for index, each in enumerate(rows)]
    axis = bar_axis(scale, row * len(rows) + 2, unit)
    legend_ = legend(shown) if len(shown) > 1 else EMPTY
    svg = _svg(title, row * len(rows) + 24, axis, *drawn, width=BARS)
    return _figure(title, legend_, svg, class_="chart wide")


def legend(colours: Mapping[str, str]) -> Markup:
    """Return a list of names with their colours, given as classes."""
    items = (element("li", element("i", class_=colour), name) for name, colour in colours.items())
    return element("ul", *items, class_="legend")


def kinds_of(columns: Iterable[Column]) -> list[str]:
    """Return the kinds of parts that any column has, in the order of their first appearance."""
    kinds = dict.fromkeys(kind for each in columns for kind in each.parts)
    return [kind for kind in kinds if any(each.parts.get(kind, 0.0) > 0 for each in columns)]


def finite_points(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that have a place: others are infinite or no number."""
    return [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def thinned(
    points: Sequence[tuple[float, float]], most: int = MOST_POINTS
) -> list[tuple[float, float]]:
    """Return points of which the smallest and the largest of each neighbourhood remain."""
    if len(points) <= most:
        return list(points)
    wide = -(-len(points) * 2 // most)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), wide):
        near = points[start : start + wide]
        ends = {min(near, key=lambda point: point[1]), max(near, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def coloured(columns: Iterable[Column], colours: Mapping[str, str] | None) -> dict[str, str]:
    """Return the kinds of parts that are drawn, each with its class."""
    present = kinds_of(columns)
    if colours is None:
        return {kind: _colour(index) for index, kind in enumerate(present)}
    return {kind: colour for kind, colour in colours.items() if kind in present}


def _colour(index: int) -> str:
    return f"c{index % COLOURS}"


def _line_class(series: Series, index: int) -> str:
    return f"{_colour(index)} dash" if series.is_dashed else _colour(index)


def _figure(title: str, *inside: Markup, class_: str = "chart") -> Markup:
    return element("figure", element("figcaption", title), *inside, class_=class_)


def _svg(title: str, height: float, *inside: Markup, width: float = WIDTH) -> Markup:
    return element(
        "svg",
        *inside,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
        aria_label=title,
    )


def _line(series: Series, index: int, x_scale: Scale, y_scale: Scale) -> Markup:
    points = [(x_scale(x), y_scale(y), x, y) for x, y in thinned(series.points)]
    path = " ".join(f"{left:.1f},{top:.1f}" for left, top, _, _ in points)
    line = element("polyline", points=path, class_=f"line {_line_class(series, index)}")
    if len(points) > MOST_DOTS:
        return line
    dots = (
        element(
            "circle",
            element("title", f"{series.name} {y:.6g} at {x:g}"),
            cx=left,
            cy=top,
            r=3,
            class_=f"dot {_colour(index)}",
        )
        for left, top, x, y in points
    )
    return joined(line, *dots)


def _merged(columns: Sequence[Column]) -> tuple[list[Column], int]:
    """Return at most `MOST_COLUMNS` columns, and the number of those that each is the mean of."""
    per_column = -(-len(columns) // MOST_COLUMNS) if columns else 1
    if per_column == 1:
        return list(columns), 1
    merged = []
    for start in range(0, len(columns), per_column):
        near = columns[start : start + per_column]
        means = {
            kind: sum(each.parts.get(kind, 0.0) for each in near) / len(near)
            for kind in kinds_of(near)
        }
        merged.append(Column(f"{near[0].name} to {near[-1].name}", means))
    return merged, per_column


def _stack(
    column: Column, left: float, width: float, colours: Mapping[str, str], scale: Scale
) -> Markup:
    drawn, below = [], 0.0
    for kind, colour in colours.items():
        value = column.parts.get(kind, 0.0)
        top, bottom = scale(below + value), scale(below)
        below += value
        if bottom - top >= LEAST:
            what = element("title", f"{column.name}: {kind} {value:.4g}")
            wide = min(width * 0.8, WIDEST_COLUMN)
            at = {"x": left + (width - wide) / 2, "width": wide}
            drawn.append(element("rect", what, y=top, height=bottom - top, class_=colour, **at))
    return joined(*drawn)


def _bar(
    row: Column, top: float, height: float, colours: Mapping[str, str], scale: Scale
) -> Markup:
    drawn, before = [], 0.0
    for kind, colour in colours.items():
        value = row.parts.get(kind, 0.0)
        left, right = scale(before), scale(before + value)
        before += value
        if right - left >= LEAST:
            what = element("title", f"{row.name}: {kind} {value:.4g}")
            at = {"y": top, "height": height}
            drawn.append(element("rect", what, x=left, width=right - left, class_=colour, **at))
    baseline = top + height / 2 + 4
    name = element("text", row.name, x=NAMES - 8, y=baseline, class_="name", text_anchor="end")
    note = element("text", row.note, x=scale(before) + 6, y=baseline, class_="tick")
    return joined(name, *drawn, note)
