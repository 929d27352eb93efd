"""The drawing of a machine's graph: where its boxes, lines and labels are, in pixels.

The pictures of the documentation and the console's graph are both made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from stepml.graphs.layout import Point, Size, place
from stepml.graphs.machines import Machine, State, Transition

HEIGHT = 34.0
CHARACTER = 7.4  # width of a letter
STACK = 5.0  # between the sheets of a Map, which stand for its iterations
HEADER = 26.0
ROUND = 14.0  # radius of the start and the end


@dataclass(frozen=True)
class Box:
    """A state in a rectangle; a Map has the drawing of its iterations inside.

    Attributes
    ----------
    state : State
    x, y : float
        Its top left corner, in the drawing to which it belongs.
    width, height : float
        Of the rectangle; for a Map, of one sheet.
    inner : Drawing or None
    """

    state: State
    x: float
    y: float
    width: float
    height: float
    inner: Drawing | None = None

    @property
    def inner_x(self) -> float:
        """The left edge of the inner drawing, in the box."""
        return (self.width - self.inner.width) / 2 if self.inner else 0.0

    @property
    def sheets(self) -> tuple[float, ...]:
        """The offsets of the rectangles to the right and down, the last one in front."""
        return (2 * STACK, STACK, 0.0) if self.inner else (0.0,)

    @property
    def radius(self) -> float:
        """The radius of the corners."""
        return self.height / 2 if self.state.kind in ("Choice", "Start", "End") else 6.0

    @property
    def name_at(self) -> Point:
        """The middle of the name's base line, in the box."""
        return self.width / 2, 17 if self.inner else self.height / 2 + 4.5


@dataclass(frozen=True)
class Line:
    """A transition, as a curve through points."""

    transition: Transition
    route: tuple[Point, ...]

    @property
    def path(self) -> str:
        """The curve, as data of a path of SVG."""
        parts = [f"M{self.route[0][0]:.1f} {self.route[0][1]:.1f}"]
        for (ax, ay), (bx, by) in pairwise(self.route):
            half = (ay + by) / 2
            parts.append(f"C{ax:.1f} {half:.1f} {bx:.1f} {half:.1f} {bx:.1f} {by:.1f}")
        return " ".join(parts)

    @property
    def label_at(self) -> Point:
        """The middle of the label's base line."""
        (ax, ay), (bx, by) = self.route[:2]
        return (ax + bx) / 2, (ay + by) / 2 + 4


@dataclass(frozen=True)
class Drawing:
    """The graph of a machine in a rectangle whose origin is its top left corner."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]

    @property
    def all_boxes(self) -> Iterator[Box]:
        """Its boxes, each before those inside of it."""
        for box in self.boxes:
            yield box
            if box.inner:
                yield from box.inner.all_boxes


def drawing(machine: Machine, footer: float = 0.0) -> Drawing:
    """Return the drawing of a machine, or of the iterations of a Map.

    ``footer`` is the height of a line of text below each Map's iterations.
    """
    inner = {each.name: drawing(each.inner, footer) for each in machine.states if each.inner}
    sizes = {each.name: size_of(each, inner.get(each.name), footer) for each in machine.states}
    edges = [(each.source, each.target) for each in machine.transitions]
    layout = place(sizes, edges, machine.states[0].name)
    boxes = tuple(
        _box(each, layout.centres[each.name], sizes[each.name], inner.get(each.name))
        for each in machine.states
    )
    pairs = zip(machine.transitions, layout.routes, strict=True)
    lines = tuple(Line(transition, tuple(route)) for transition, route in pairs)
    return Drawing(layout.width, layout.height, boxes, lines)


def size_of(state: State, inner: Drawing | None, footer: float = 0.0) -> Size:
    """Return the size of a state's box; that of a Map has the drawing of an iteration inside."""
    if state.kind in ("Start", "End"):
        return 2 * ROUND + CHARACTER * len(state.name), 2 * ROUND
    width = CHARACTER * len(state.name) + 26
    if inner is None:
        return width, HEIGHT
    return max(width, inner.width + 24) + 2 * STACK, _map_height(inner, footer)


def _map_height(inner: Drawing, footer: float) -> float:
    return HEADER + inner.height + 12 + footer + 2 * STACK


def _box(state: State, centre: Point, size: Size, inner: Drawing | None) -> Box:
    sheets = 2 * STACK if inner else 0.0
    x, y = centre[0] - size[0] / 2, centre[1] - size[1] / 2
    return Box(state, x, y, size[0] - sheets, size[1] - sheets, inner)
