"""A state machine's graph as SVG, which follows the reader's light or dark mode."""

from __future__ import annotations

from html import escape

from stepml.graphs.drawing import HEADER, Box, Drawing, Line, drawing
from stepml.graphs.layout import Point
from stepml.graphs.machines import Machine

MARGIN = 12.0

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
            *_graph(drawn),
            "</g>",
            "</svg>\n",
        ]
    )


def _graph(drawn: Drawing) -> list[str]:
    lines = [_line(each) for each in drawn.lines]
    labels = [
        _text(each.transition.label, each.label_at, "note halo")
        for each in drawn.lines
        if each.transition.label
    ]
    return [*map(_box, drawn.boxes), *lines, *labels]


def _box(box: Box) -> str:
    about = f"<title>{escape(box.state.comment or box.state.name)}</title>"
    shapes = "".join(_sheet(box, offset) for offset in box.sheets)
    shapes += _text(box.state.name, box.name_at)
    if box.inner:
        inside = "".join(_graph(box.inner))
        shapes += f'<g transform="translate({box.inner_x:.1f} {HEADER:.0f})">{inside}</g>'
    return f'<g transform="translate({box.x:.1f} {box.y:.1f})">{about}{shapes}</g>'


def _sheet(box: Box, offset: float) -> str:
    kind = "child" if box.state.starts_execution else box.state.kind
    place = f'x="{offset:.0f}" y="{offset:.0f}" ' if box.inner else ""
    return (
        f'<rect class="box {kind}" {place}width="{box.width:.1f}" height="{box.height:.1f}" '
        f'rx="{box.radius:.0f}"/>'
    )


def _line(line: Line) -> str:
    kind = "edge catch" if line.transition.is_catch else "edge"
    return f'<path class="{kind}" marker-end="url(#tip)" d="{line.path}"/>'


def _text(text: str, at: Point, kind: str = "") -> str:
    given = f' class="{kind}"' if kind else ""
    return (
        f'<text{given} x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="middle">{escape(text)}</text>'
    )
