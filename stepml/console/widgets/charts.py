"""Charts of lines that change while a job runs, each with its numbers as a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial

from nicegui import ui
from nicegui.events import GenericEventArguments

from stepml.console.widgets.folded import Folded
from stepml.console.widgets.line_options import (
    Span,
    finite,
    is_logarithmic,
    line_options,
    summary,
)
from stepml.console.widgets.part import Part
from stepml.console.widgets.table import Cell, Column, Table
from stepml.console.widgets.tags import Tag, button
from stepml.reports.charts import COLOURS, Series

Values = tuple[float, dict[str, float]]  # of the x axis, and of each line there
_PLACE = (
    "(event) => { const box = event.currentTarget.getBoundingClientRect();"
    " emit(event.clientX - box.left, box.width); }"
)
_CHECKED = "(event) => emit(event.target.checked)"


class LineChart:
    """A chart of lines over one axis.

    Parameters
    ----------
    title : str
    x_title : str
        The name of the x axis: ``epoch``.
    address_of : callable, optional
        The address of a value of the x axis: a click on the chart leads to that of the nearest
        point, and the table links to all.
    has_legend : bool
        Whether lines can be hidden here, if there are several.
    is_log : bool, optional
        Whether the y axis is logarithmic; by default if few values are much larger than most.
    on_log : callable, optional
        Called with the person's choice of it.
    hidden : collection of str
        The names of lines that are hidden at first.
    on_hide : callable, optional
        Called with the names of the hidden lines when a person has hidden or shown one.
    """

    def __init__(
        self,
        title: str,
        x_title: str,
        *,
        address_of: Callable[[float], str] | None = None,
        has_legend: bool = True,
        is_log: bool | None = None,
        on_log: Callable[[bool], object] | None = None,
        hidden: Collection[str] = (),
        on_hide: Callable[[frozenset[str]], object] | None = None,
    ) -> None:
        self.title, self.x_title = title, x_title
        self._address_of, self._on_log = address_of, on_log
        self._is_log = is_log
        self._given: list[Series] = []
        self._series: list[Series] = []  # the finite points of these
        with Part("figure", "plot") as self.figure:
            with Tag("figcaption", classes="plot-head"):
                Tag("span", title, "plot-title")
                self._log = self._log_choice()
            self._legend = Legend(hidden, self._hide, has_legend)
            self._on_hide = on_hide
            self._chart = ui.echart({}, renderer="svg").classes("plot-area")
            self._chart.props["role"] = "img"
            self._empty = Tag("p", "No values yet.", "soft")
            self._table = _ValueTable(title, x_title, address_of)
        self._draw()
        if address_of is not None:
            self._chart.classes("leads")
            self._chart.on("click", self._go, js_handler=_PLACE)

    def show(self, series: Sequence[Series]) -> None:
        """Draw these lines; nothing happens if they are drawn already."""
        if list(series) == self._given:
            return
        self._given, self._series = list(series), finite(series)
        self._legend.show(self._series)
        self._table.show(self._series)
        self._draw()

    def hide(self, names: Collection[str]) -> None:
        """Hide these lines and show the others."""
        self._legend.choose(names)
        self._draw()

    def _draw(self) -> None:
        has_points = any(each.points for each in self._series)
        self._empty.set_visibility(not has_points)
        for part in (self._chart, self._table.element, self._log_label):
            part.set_visibility(has_points)
        options = line_options(
            self._series, self.x_title, hidden=self._legend.hidden, is_log=self._is_log
        )
        self._log.put(checked=is_logarithmic(options))
        if options != self._chart.options:
            self._chart.props["options"] = options
            self._chart.props["aria-label"] = summary(self.title, self._series, self.x_title)

    def _log_choice(self) -> Tag:
        with Tag("label", classes="choice") as self._log_label:
            box = Tag("input", type="checkbox")
            Tag("span", "Logarithmic")
        box.on("change", self._choose_log, js_handler=_CHECKED)
        return box

    def _choose_log(self, event: GenericEventArguments) -> None:
        self._is_log = bool(event.args)
        self._draw()
        if self._on_log is not None:
            self._on_log(self._is_log)

    def _hide(self, hidden: frozenset[str]) -> None:
        self._draw()
        if self._on_hide is not None:
            self._on_hide(hidden)

    def _go(self, event: GenericEventArguments) -> None:
        pixel, width = event.args
        xs = [x for each in self._series for x, _ in each.points]
        if xs and self._address_of is not None:
            at = Span.of(self._series).value_at(pixel, width)
            ui.navigate.to(self._address_of(min(xs, key=lambda x: abs(x - at))))


class Legend:
    """The names of lines with their colours; a line is hidden and shown by its button.

    Parameters
    ----------
    hidden : collection of str
        The names that are hidden at first.
    on_hide : callable
        Called with all hidden names when a person has changed one.
    is_shown : bool
        Whether there is a legend if there are several lines.
    """

    def __init__(
        self,
        hidden: Collection[str],
        on_hide: Callable[[frozenset[str]], object],
        is_shown: bool = True,
    ) -> None:
        self.hidden = frozenset(hidden)
        self._on_hide, self._is_shown = on_hide, is_shown
        self._names: list[str] = []
        self._buttons: dict[str, Tag] = {}
        self._list = Tag("ul", classes="legend", aria_label="Lines")

    def show(self, series: Sequence[Series]) -> None:
        """List the names of these lines in the order of their colours."""
        names = [each.name for each in series]
        self._list.set_visibility(self._is_shown and len(names) > 1)
        if names == self._names:
            return
        self._names = names
        self._list.clear()
        with self._list:
            self._buttons = {
                each.name: self._item(each.name, index, each.is_dashed)
                for index, each in enumerate(series)
            }

    def choose(self, hidden: Collection[str]) -> None:
        """Hide these names and show the others."""
        self.hidden = frozenset(hidden)
        for name, made in self._buttons.items():
            made.put(aria_pressed=_pressed(name not in self.hidden))

    def _item(self, name: str, index: int, is_dashed: bool) -> Tag:
        with Tag("li"):
            pressed = _pressed(name not in self.hidden)
            made = button("", partial(self._toggle, name), "line-choice", aria_pressed=pressed)
            with made:
                Tag("i", classes=f"c{index % COLOURS}{' dash' if is_dashed else ''}")
                Tag("span", name)
        return made

    def _toggle(self, name: str) -> None:
        self.choose(self.hidden ^ {name})
        self._on_hide(self.hidden)


class _ValueTable:
    """The numbers of a chart; its rows are made when a person opens it."""

    def __init__(self, title: str, x_title: str, address_of: Callable[[float], str] | None) -> None:
        self._title, self._x_title, self._address_of = title, x_title, address_of
        self._names: list[str] = []
        self._series: Sequence[Series] = ()
        self._table: Table[Values] | None = None
        self._folded = Folded("Values", self._draw, classes="plot-values")
        self._folded.summary.put(aria_label=f"Values of: {title}")
        self.element = self._folded.element

    def show(self, series: Sequence[Series]) -> None:
        self._series = series
        self._folded.update()

    def _draw(self) -> None:
        names = [each.name for each in self._series]
        if self._table is None or names != self._names:
            self._names = names
            self._folded.body.clear()
            self._table = Table(self._columns(), lambda row: row[0], f"{self._title}, values")
        self._table.show(value_rows(self._series))

    def _columns(self) -> list[Column[Values]]:
        first: Column[Values] = Column(
            "x", self._x_title, self._place, lambda row: row[0], is_number=True
        )
        return [first, *(_line_column(name, n) for n, name in enumerate(self._names))]

    def _place(self, row: Values) -> Cell:
        address = None if self._address_of is None else self._address_of(row[0])
        return Cell(f"{row[0]:.6g}", address)


def value_rows(series: Sequence[Series]) -> list[Values]:
    """Return a row for each value of the x axis, in their order, with the lines' values there."""
    rows: dict[float, dict[str, float]] = {}
    for each in series:
        for x, y in each.points:
            rows.setdefault(x, {})[each.name] = y
    return sorted(rows.items())


def _line_column(name: str, number: int) -> Column[Values]:
    return Column(
        str(number),
        name,
        lambda row: Cell(f"{row[1][name]:.6g}" if name in row[1] else ""),
        lambda row: row[1].get(name),
        True,
    )


def _pressed(is_pressed: bool) -> str:
    return "true" if is_pressed else "false"
