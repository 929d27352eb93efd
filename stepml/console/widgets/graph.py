"""The visual graph of an execution: its states as boxes, with what became of each.

It is made of elements of SVG, so that each state is a link, and a change is one of classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from stepml.console.widgets.part import Part
from stepml.console.widgets.signs import Sign
from stepml.console.widgets.state_list import StateList, legend
from stepml.console.widgets.tags import Tag, button, choice_link
from stepml.graphs.drawing import HEADER, Box, Drawing, Line, drawing
from stepml.graphs.layout import Point
from stepml.graphs.machines import Machine, with_ends
from stepml.graphs.marks import NOTHING, Mark, Status
from stepml.records.visits import Iterations

MARGIN = 16.0
FOOTER = 12.0  # below the iterations of a Map: their numbers
ZOOMS = (50, 75, 100, 125, 150, 200)  # % of the natural size
CIRCLES = ("Start", "End")


class Graph:
    """The graph of a state machine's execution.

    Parameters
    ----------
    machine : Machine
    title : str
        For people who do not see it: ``The states of train``.
    address_of : callable
        Returns the address of the present view with a chosen state.
    on_choose : callable
        Called with the name of the state that a person has chosen.
    """

    def __init__(
        self,
        machine: Machine,
        title: str,
        address_of: Callable[[str], str],
        on_choose: Callable[[str], object],
    ) -> None:
        self._address_of, self._on_choose = address_of, on_choose
        self._nodes: dict[str, _Node] = {}
        drawn = drawing(with_ends(machine), FOOTER)
        self._natural = drawn.width + 2 * MARGIN
        self._zoom: int | None = None
        with Part("div", "graph"):
            self._zoom_buttons()
            with Tag("div", classes="graph-view", tabindex=0, role="region", aria_label=title):
                self._svg = self._picture(drawn, title)
            legend()
            self._list = StateList(machine, address_of, on_choose)

    def show(self, marks: Mapping[str, Mark], chosen: str | None = None) -> None:
        """Show what became of each state, and which is chosen."""
        for name, node in self._nodes.items():
            node.show(marks.get(name, Mark()), name == chosen)
        self._list.show(marks)

    def _zoom_buttons(self) -> None:
        with Tag("div", classes="graph-zoom", role="group", aria_label="Size of the graph"):
            button("−", partial(self._step, -1), aria_label="Smaller")
            button("Fit", self._fit)
            button("+", partial(self._step, 1), aria_label="Larger")

    def _fit(self) -> None:
        self._zoom = None
        self._svg.style(replace=f"width: {self._natural:.0f}px; max-width: 100%")

    def _step(self, by: int) -> None:
        place = ZOOMS.index(self._zoom or 100) + by
        self._zoom = ZOOMS[min(max(place, 0), len(ZOOMS) - 1)]
        self._svg.style(replace=f"width: {self._natural * self._zoom / 100:.0f}px; max-width: none")

    def _picture(self, drawn: Drawing, title: str) -> Tag:
        width, height = drawn.width + 2 * MARGIN, drawn.height + 2 * MARGIN
        box = f"0 0 {width:.0f} {height:.0f}"
        with Tag("svg", viewBox=box, role="group", aria_label=title) as svg:
            with Tag("defs"), _tip(svg.id):
                Tag("path", classes="tip", d="M0 0.8 L8 4 L0 7.2 Z")
            with Tag("g", transform=f"translate({MARGIN:.0f} {MARGIN:.0f})"):
                self._graph(drawn, svg.id)
        return svg.style(f"width: {width:.0f}px; max-width: 100%")

    def _graph(self, drawn: Drawing, svg: int, *, is_inside: bool = False) -> None:
        for line in drawn.lines:
            _line(line, svg)
        for box in drawn.boxes:
            if box.state.kind in CIRCLES:
                _circle(box)
            else:
                self._state(box, svg, is_inside)
        for line in drawn.lines:
            if line.transition.label:
                _text(line.transition.label, line.label_at, "label")

    def _state(self, box: Box, svg: int, is_inside: bool) -> None:
        name = box.state.name
        link = choice_link("", self._address_of(name), partial(self._on_choose, name))
        link.put(transform=f"translate({box.x:.1f} {box.y:.1f})")
        self._nodes[name] = _Node(box, link, is_inside)
        if box.inner:
            inner = f"translate({box.x + box.inner_x:.1f} {box.y + HEADER:.1f})"
            with Tag("g", transform=inner):
                self._graph(box.inner, svg, is_inside=True)


class _Node:
    """A state, in a link; signs are made when there is something to say."""

    def __init__(self, box: Box, link: Tag, is_inside: bool) -> None:
        self._box, self._link, self._is_inside = box, link, is_inside
        self._shown: tuple[Mark, bool] | None = None
        self._sign: Sign | None = None
        self._times: Tag | None = None
        self._count: Tag | None = None
        with link:
            Tag("title", box.state.comment or box.state.name)
            for offset in box.sheets:
                _sheet(box, offset)
            if box.state.starts_execution:
                _sheet(box, 3, 3)
            _text(box.state.name, box.name_at, "name")

    def show(self, mark: Mark, is_chosen: bool) -> None:
        if self._shown == (mark, is_chosen):
            return
        self._shown = mark, is_chosen
        self._link.classes(replace=f"state {mark.status}")
        self._link.put(
            aria_label=f"{self._box.state.name}: {mark.words}",
            aria_current="true" if is_chosen else None,
        )
        with self._link:
            self._show_sign(mark.status)
            self._show_times(mark.visits)
            self._show_count(mark.iterations)

    def _show_sign(self, status: Status) -> None:
        if self._sign is not None:
            self._sign.show(status)
        elif status != "NOT_ENTERED":
            self._sign = Sign(status, self._box.width)

    def _show_times(self, visits: int) -> None:
        """Show the number of visits; a Map says how often the states inside were visited."""
        if self._times is None and visits > 1 and not self._is_inside:
            self._times = _text("", (2, -4), "times", "start")
        if self._times is not None:
            self._times.say(f"× {visits:,}" if visits > 1 else "")

    def _show_count(self, iterations: Iterations | None) -> None:
        if iterations is None:
            return
        if self._count is None:
            self._count = _text("", (self._box.width / 2, self._box.height - 7), "count")
        done = f"{iterations.succeeded:,} of {iterations.total:,}"
        self._count.say(done if iterations.total else NOTHING)


def _sheet(box: Box, offset: float, inset: float = 0) -> None:
    shape = "box Map" if box.inner else "box inset" if inset else "box"
    Tag(
        "rect",
        classes=shape,
        x=f"{offset:.1f}",
        y=f"{offset:.1f}",
        width=f"{box.width - 2 * inset:.1f}",
        height=f"{box.height - 2 * inset:.1f}",
        rx=f"{max(box.radius - inset, 0):.0f}",
    )


def _circle(box: Box) -> None:
    Tag(
        "rect",
        classes="circle",
        x=f"{box.x:.1f}",
        y=f"{box.y:.1f}",
        width=f"{box.width:.1f}",
        height=f"{box.height:.1f}",
        rx=f"{box.radius:.1f}",
    )
    x, y = box.name_at
    _text(box.state.name, (box.x + x, box.y + y), "name")


def _line(line: Line, svg: int) -> None:
    classes = "edge catch" if line.transition.is_catch else "edge"
    Tag("path", classes=classes, d=line.path, marker_end=f"url(#tip{svg})")


def _tip(svg: int) -> Tag:
    return Tag(
        "marker",
        id=f"tip{svg}",
        viewBox="0 0 8 8",
        refX=7,
        refY=4,
        markerWidth=7,
        markerHeight=7,
        orient="auto",
    )


def _text(text: str, at: Point, classes: str, anchor: str = "middle") -> Tag:
    return Tag("text", text, classes, x=f"{at[0]:.1f}", y=f"{at[1]:.1f}", text_anchor=anchor)
