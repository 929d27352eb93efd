"""Horizontal bars, each of parts beside each other, which change in their places."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from stepml.console.widgets.part import Part
from stepml.console.widgets.tags import Tag
from stepml.reports.charts import Column, coloured
from stepml.reports.scales import Scale, scale_of, tick_texts

MOST_TICKS = 5
LEAST_SHARE = 0.05  # per cent of the width: less is not drawn


class Bars:
    """A chart of bars, as reports have it; a screen reader reads each bar as its numbers.

    Parameters
    ----------
    title : str
        The heading above the chart.
    unit : str
        Of the values; "" without an axis.
    colours : mapping, optional
        The kinds of parts in their order, each with its class.
    """

    def __init__(
        self, title: str, unit: str = "", colours: Mapping[str, str] | None = None
    ) -> None:
        self._unit, self._colours = unit, colours
        self._kinds: dict[str, str] = {}
        self._rows: dict[str, _Bar] = {}
        self._scale: Scale | None = None
        with Part("figure", "bars") as self._figure:
            self._title = Tag("figcaption", title)
            self._legend = Tag("ul", classes="legend")
            with Tag("table"):
                Tag("caption", title, "unseen")
                self._body = Tag("tbody")
                with Tag("tfoot", aria_hidden="true"), Tag("tr"):
                    Tag("td")
                    with Tag("td"):
                        self._axis = Tag("div", classes="bar-axis")

    def show(
        self, rows: Sequence[Column], title: str | None = None, marked: Collection[str] = ()
    ) -> None:
        """Show these bars, of which each has another name; without any, there is no chart.

        The bars with the names ``marked`` stand out; their notes say why.
        """
        kinds = coloured(rows, self._colours)
        self._figure.set_visibility(bool(kinds))
        if title is not None:
            self._title.say(title)
        if kinds != self._kinds or [each.name for each in rows] != list(self._rows):
            self._build(rows, kinds)
        scale = scale_of((sum(each.parts.values()) for each in rows), 0, 100, from_zero=True)
        for row in rows:
            self._rows[row.name].show(row, scale, self._unit)
            self._rows[row.name].mark(row.name in marked)
        self._draw_axis(scale)

    def _build(self, rows: Sequence[Column], kinds: dict[str, str]) -> None:
        self._kinds = kinds
        self._legend.clear()
        self._legend.set_visibility(len(kinds) > 1)
        with self._legend:
            for kind, colour in kinds.items():
                with Tag("li"):
                    Tag("i", classes=colour)
                    Tag("span", kind)
        self._body.clear()
        with self._body:
            self._rows = {row.name: _Bar(row.name, kinds) for row in rows}

    def _draw_axis(self, scale: Scale) -> None:
        if not self._unit or scale == self._scale:
            return
        self._scale = scale
        self._axis.clear()
        ticks = scale.ticks(MOST_TICKS)
        with self._axis:
            for tick, text in zip(ticks, tick_texts(ticks), strict=True):
                Tag("span", f"{text} {self._unit}").style(f"left:{scale(tick):.2f}%")


class _Bar:
    def __init__(self, name: str, kinds: Mapping[str, str]) -> None:
        with Tag("tr") as self._row:
            Tag("th", name, scope="row")
            with Tag("td", classes="bar-track"), Tag("div", role="img") as self._track:
                self._parts = {kind: Tag("i", classes=colour) for kind, colour in kinds.items()}
            self._note = Tag("td", classes="bar-note")

    def mark(self, is_marked: bool) -> None:
        self._row.classes(replace="is-marked" if is_marked else "")

    def show(self, row: Column, scale: Scale, unit: str) -> None:
        before, said = 0.0, []
        for kind, part in self._parts.items():
            value = row.parts.get(kind, 0.0)
            left, right = scale(before), scale(before + value)
            before += value
            part.set_visibility(right - left >= LEAST_SHARE)
            if right - left >= LEAST_SHARE:
                text = f"{kind} {value:.4g} {unit}".strip()
                said.append(text)
                part.put(title=text)
                part.style(replace=f"left:{left:.2f}%;width:{right - left:.2f}%")
        self._track.put(aria_label=", ".join(said))
        self._note.say(row.note)
