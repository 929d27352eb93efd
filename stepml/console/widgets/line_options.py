"""The options with which ECharts draws lines.

Names and numbers of jobs go in as values, never as names of options or as functions: a name that
begins with a colon would be run as JavaScript.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from stepml.console.widgets.tags import visible
from stepml.reports.charts import COLOURS, MOST_DOTS, Series, finite_points, thinned
from stepml.reports.scales import scale_of

LEFT, RIGHT, TOP, BOTTOM = 72, 36, 12, 44  # pixels around the lines
SYMBOLS = ("circle", "rect", "triangle", "diamond")
DASH = 9  # pixels of each of several lines with the same points
LONGEST_LABEL = 3  # characters of a name that has room behind its line
DIGITS = 6
MANY = 100.0  # largest by smallest value from which a logarithmic axis has powers of ten
FEW = 8.0  # … and below which the ends of its axis have labels, as it has few powers of two
FEW_DOTS = 30  # of more, the dots of a line are small
# Of a line; of more, the extremes of each neighbourhood. The browser reads all of them again at
# each new epoch, and a chart is hardly wider than five times this in pixels.
MOST_LIVE_POINTS = 120
_TEXT = {"color": "var(--soft)", "fontSize": 12}
_GRID = {"lineStyle": {"color": "var(--edge)"}}


@dataclass(frozen=True, slots=True)
class Span:
    """The values of the x axis, and where a click on the chart is among them."""

    low: float
    high: float

    @classmethod
    def of(cls, series: Sequence[Series]) -> Span:
        """Return the span of all points; efforts such as seconds begin at zero."""
        xs = [x for each in series for x, _ in each.points] or [0.0]
        low, high = min(xs), max(xs)
        if not cls(low, high).is_whole:
            low = min(low, 0.0)
        return cls(low, high) if high > low else cls(low - 1, high + 1)

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers, such as epochs."""
        return float(self.low).is_integer() and float(self.high).is_integer()

    def value_at(self, pixel: float, width: float) -> float:
        """Return the value at a distance from the left edge of a chart of this width."""
        share = (pixel - LEFT) / max(1.0, width - LEFT - RIGHT)
        return self.low + min(max(share, 0.0), 1.0) * (self.high - self.low)


def finite(series: Iterable[Series]) -> list[Series]:
    """Return lines without points that are infinite or no number; their names can be sent."""
    return [
        Series(visible(each.name), finite_points(each.points), each.is_dashed) for each in series
    ]


def line_options(
    series: Sequence[Series],
    x_title: str,
    y_title: str = "",
    *,
    hidden: Collection[str] = (),
    is_log: bool | None = None,
) -> dict[str, Any]:
    """Return the options of a chart of lines.

    Parameters
    ----------
    series : sequence of Series
        As from `finite`; long lines are thinned.
    x_title, y_title : str
    hidden : collection of str
        The names of lines that are not drawn.
    is_log : bool, optional
        Whether the y axis is logarithmic; by default if few values are much larger than most.
    """
    drawn = [
        Series(each.name, () if each.name in hidden else each.points, each.is_dashed)
        for each in series
    ]
    ys = [y for each in drawn for _, y in each.points]
    is_log, span = _is_logarithmic(ys, is_log), Span.of(series)
    with_twins = enumerate(zip(drawn, _Twins.of_each(drawn), strict=True))
    return {
        "animation": False,
        "aria": {"enabled": False},  # the element says more
        "textStyle": {"fontFamily": "system-ui, sans-serif"},
        "grid": {
            "left": LEFT,
            "right": RIGHT,
            "top": TOP,
            "bottom": BOTTOM,
            "outerBoundsMode": "none",  # so that a click's place is known
        },
        "tooltip": _tooltip(x_title, span),
        "xAxis": _x_axis(span, x_title),
        "yAxis": _y_axis([y for y in ys if y > 0], y_title) if is_log else _linear(y_title),
        "series": [_line(each, index, is_log, twins) for index, (each, twins) in with_twins],
    }


def is_logarithmic(options: Mapping[str, Any]) -> bool:
    """Return whether the y axis of options is logarithmic."""
    return bool(options["yAxis"]["type"] == "log")


def _is_logarithmic(ys: Sequence[float], chosen: bool | None) -> bool:
    """Return whether the y axis is logarithmic; it cannot be without positive values."""
    if not any(y > 0 for y in ys):
        return False
    return scale_of(ys, 0.0, 1.0).is_logarithmic if chosen is None else chosen


def summary(title: str, series: Sequence[Series], x_title: str) -> str:
    """Return a chart in a sentence, for people who do not see it."""
    lines = [
        f"{each.name}: {each.points[0][1]:.4g} to {each.points[-1][1]:.4g}"
        for each in series
        if each.points
    ]
    span = Span.of(series)
    return f"{title}, {x_title} {span.low:.4g} to {span.high:.4g}. {'; '.join(lines)}"


@dataclass(frozen=True, slots=True)
class _Twins:
    """The lines with the same points: each has its dashes, so that none covers the others."""

    names: tuple[str, ...]
    place: int  # of this line among them

    @classmethod
    def of_each(cls, drawn: Sequence[Series]) -> list[Self]:
        """Return those of each line, which is one of them."""
        groups: dict[Hashable, list[str]] = {}
        made = []
        for index, each in enumerate(drawn):
            # A line without points is drawn alone.
            group = groups.setdefault(_shown_points(each) or index, [])
            made.append((group, len(group)))
            group.append(each.name)
        return [cls(tuple(names), place) for names, place in made]

    @property
    def n_above(self) -> int:
        """The number of those that are drawn above this line."""
        return len(self.names) - 1 - self.place

    @property
    def dashes(self) -> dict[str, Any]:
        """The style of a line that is drawn above others."""
        if self.place == 0:
            return {}
        gap = DASH * (len(self.names) - 1)
        return {"type": (DASH, gap), "dashOffset": -DASH * self.place, "cap": "butt"}

    @property
    def label(self) -> str:
        """The label behind the lines, which the first of them has."""
        label = "=".join(self.names)
        return label if len(label) <= LONGEST_LABEL else f"{self.names[0]}…"


def _shown_points(series: Series) -> tuple[tuple[float, float], ...]:
    return tuple((_rounded(x), _rounded(y)) for x, y in series.points)


def _line(series: Series, index: int, is_log: bool, twins: _Twins) -> dict[str, Any]:
    colour = f"var(--c{index % COLOURS})"
    shown = [point for point in series.points if point[1] > 0 or not is_log]
    points = thinned(shown, MOST_LIVE_POINTS)
    if shown and points[-1] != shown[-1]:
        points.append(shown[-1])
    return {
        "type": "line",
        "name": series.name,
        # Tuples: NiceGUI would watch each list of them for changes.
        "data": tuple((_rounded(x), _rounded(y)) for x, y in points),
        "color": colour,
        "lineStyle": {
            "width": 2,
            "color": colour,
            "type": "dashed" if series.is_dashed else "solid",
            **twins.dashes,
        },
        "symbol": SYMBOLS[index % len(SYMBOLS)],
        "symbolSize": (6 if len(points) <= FEW_DOTS else 4) + 3 * twins.n_above,
        "showSymbol": len(points) <= MOST_DOTS,
        "showAllSymbol": True,
        "emphasis": {"disabled": True},
        "endLabel": {
            "show": bool(points) and len(series.name) <= LONGEST_LABEL and not twins.place,
            "formatter": twins.label if twins.n_above else "{a}",
            "color": colour,
        },
        "labelLayout": {"hideOverlap": True},
    }


def _tooltip(x_title: str, span: Span) -> dict[str, Any]:
    return {
        "trigger": "axis",
        "confine": True,
        "transitionDuration": 0,
        "className": "chart-tip",
        "axisPointer": {
            "lineStyle": {"color": "var(--soft)"},
            "label": {
                "formatter": f"{x_title} {{value}}",
                "precision": 0 if span.is_whole else "auto",
            },
        },
    }


def _x_axis(span: Span, title: str) -> dict[str, Any]:
    return {
        "type": "value",
        "name": title,
        "nameLocation": "middle",
        "nameGap": 26,
        "nameTextStyle": _TEXT,
        "min": span.low,
        "max": span.high,
        "minInterval": 1 if span.is_whole else 0,
        "axisLabel": {**_TEXT, "hideOverlap": True, "showMaxLabel": span.is_whole},
        "axisLine": _GRID,
        "axisTick": _GRID,
        "splitLine": {"show": False},
    }


def _linear(title: str) -> dict[str, Any]:
    return {
        "type": "value",
        "scale": True,
        "name": title,
        "nameTextStyle": _TEXT,
        "min": None,  # as the axis may have been logarithmic before
        "max": None,
        "axisLabel": {**_TEXT, "showMinLabel": None, "showMaxLabel": None},
        "axisLine": {"show": False},
        "axisTick": {"show": False},
        "splitLine": _GRID,
    }


def _y_axis(values: Sequence[float], title: str) -> dict[str, Any]:
    low, high = min(values), max(values)
    has_ends = high / low < FEW
    return {
        **_linear(title),
        "type": "log",
        "logBase": 10 if high / low >= MANY else 2,
        "min": float(f"{low * 0.9:.2g}"),
        "max": float(f"{high * 1.1:.2g}"),
        "axisLabel": {**_TEXT, "showMinLabel": has_ends, "showMaxLabel": has_ends},
    }


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
