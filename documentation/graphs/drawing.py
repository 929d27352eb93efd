"""A state machine's graph as SVG, which follows the reader's light or dark mode."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise

from documentation.graphs.layout import Layout, Point, Size, place
from documentation.graphs.machines import Machine, State

MARGIN = 12.0
HEIGHT = 34.0
CHARACTER = 7.4  # width of a letter
STACK = 5.0  # between the sheets of a Map, which stand for its iterations
HEADER = 26.0

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1b2430; }
  .note { font-size: 11px; fill: #5b6675; }
  .box { stroke-width: 1.4; }
  .Task { fill: #e7f0ff; stroke: #3b6fd4; }
  .child { fill: #e6f6ec; stroke: #2e8b57; }
  .Choice { fill: #fff4dc; stroke: #c58a17; }
  .Map { fill: #f4f5f8; stroke: #8a94a6; stroke-dasharray: 5 3; }
  .end { fill: #1b2430; }
  .edge { fill: none; stroke: #5b6675; stroke-width: 1.3; }
  .catch { stroke: #c0392b; stroke-dasharray: 4 3; }
  .tip { fill: #5b6675; }
  .halo { stroke: #fff; stroke-width: 4px; paint-order: stroke; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaf0; } .note { fill: #aab4c3; } .end { fill: #e6eaf0; }
    .Task { fill: #1f3357; stroke: #7ba4f4; } .child { fill: #1d4030; stroke: #6fcf97; }
    .Choice { fill: #4a3a14; stroke: #e3b450; } .Map { fill: #20262f; stroke: #7d8796; }
    .edge { stroke: #aab4c3; } .tip { fill: #aab4c3; } .catch { stroke: #ff8a7a; }
    .halo { stroke: #161b22; }
  }
"""


@dataclass(frozen=True)
class Drawing:
    """Elements of SVG in a rectangle whose origin is its top left corner."""

    width: float
    height: float
    elements: tuple[str, ...]


def picture(machine: Machine, title: str) -> str:
    """Return the picture of a machine, as the text of an SVG file."""
    drawn = drawing(machine)
    width, height = drawn.width + 2 * MARGIN, drawn.height + 2 * MARGIN
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    tip += 'orient="auto"><path class="tip" d="M0 0.8 L8 4 L0 7.2 Z"/></marker>'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f"<defs>{tip}</defs>",
            f'<g transform="translate({MARGIN:.0f} {MARGIN:.0f})">',
            *drawn.elements,
            "</g>",
            "</svg>\n",
        ]
    )


def drawing(machine: Machine) -> Drawing:
    """Return the drawing of a machine, or of the iterations of a Map."""
    inner = {each.name: drawing(each.inner) for each in machine.states if each.inner}
    sizes = {each.name: size_of(each, inner.get(each.name)) for each in machine.states}
    edges = [(each.source, each.target) for each in machine.transitions]
    layout = place(sizes, edges, machine.states[0].name)
    boxes = [
        _box(each, layout.centres[each.name], sizes[each.name], inner.get(each.name))
        for each in machine.states
    ]
    return Drawing(layout.width, layout.height, (*boxes, *_edges(machine, layout)))


def size_of(state: State, inner: Drawing | None) -> Size:
    """Return the size of a state's box; that of a Map has the drawing of an iteration inside."""
    width = CHARACTER * len(state.name) + 26
    if inner is None:
        return width, HEIGHT
    return max(width, inner.width + 24) + 2 * STACK, HEADER + inner.height + 12 + 2 * STACK


def _box(state: State, centre: Point, size: Size, inner: Drawing | None) -> str:
    x, y = centre[0] - size[0] / 2, centre[1] - size[1] / 2
    about = f"<title>{escape(state.comment or state.name)}</title>"
    shapes = _map(state, size, inner) if inner else _plain(state, size)
    return f'<g transform="translate({x:.1f} {y:.1f})">{about}{shapes}</g>'


def _plain(state: State, size: Size) -> str:
    width, height = size
    kind = "child" if state.starts_execution else state.kind
    radius = height / 2 if state.kind == "Choice" else 6
    return (
        f'<rect class="box {kind}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.0f}"/>'
        + _text(state.name, width / 2, height / 2 + 4.5)
    )


def _map(state: State, size: Size, inner: Drawing) -> str:
    """Return sheets, one behind the other, the first with the graph of an iteration."""
    width, height = size[0] - 2 * STACK, size[1] - 2 * STACK
    sheets = [
        f'<rect class="box Map" x="{each * STACK:.0f}" y="{each * STACK:.0f}" '
        f'width="{width:.1f}" height="{height:.1f}" rx="6"/>'
        for each in (2, 1, 0)
    ]
    left = (width - inner.width) / 2
    graph = f'<g transform="translate({left:.1f} {HEADER:.0f})">{"".join(inner.elements)}</g>'
    return "".join([*sheets, _text(state.name, width / 2, 17), graph])


def _edges(machine: Machine, layout: Layout) -> list[str]:
    lines, labels = [], []
    for transition, route in zip(machine.transitions, layout.routes, strict=True):
        kind = "edge catch" if transition.is_catch else "edge"
        lines.append(f'<path class="{kind}" marker-end="url(#tip)" d="{_curve(route)}"/>')
        if transition.label:
            x = (route[0][0] + route[1][0]) / 2
            y = (route[0][1] + route[1][1]) / 2 + 4
            labels.append(_text(transition.label, x, y, "note halo"))
    return lines + labels


def _curve(route: list[Point]) -> str:
    parts = [f"M{route[0][0]:.1f} {route[0][1]:.1f}"]
    for (ax, ay), (bx, by) in pairwise(route):
        half = (ay + by) / 2
        parts.append(f"C{ax:.1f} {half:.1f} {bx:.1f} {half:.1f} {bx:.1f} {by:.1f}")
    return " ".join(parts)


def _text(text: str, x: float, y: float, kind: str = "") -> str:
    given = f' class="{kind}"' if kind else ""
    return f'<text{given} x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text)}</text>'
