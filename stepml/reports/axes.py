"""Axes of charts, with round values as ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from stepml.reports.scales import Scale, tick_texts
from stepml.reports.svg import EMPTY, element, joined

WIDTH, HEIGHT = 520.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 12.0, 10.0, 40.0
MIDDLE = (LEFT + WIDTH - RIGHT) / 2
CHARACTER = 7.0  # width


def y_axis(scale: Scale, title: str) -> Markup:
    """Return lines across a chart at round values, with their texts and the title at the left."""
    ticks = scale.ticks()
    drawn = [
        joined(
            element(
                "line", x1=LEFT, x2=WIDTH - RIGHT, y1=scale(tick), y2=scale(tick), class_="grid"
            ),
            element("text", text, x=LEFT - 6, y=scale(tick) + 4, class_="tick", text_anchor="end"),
        )
        for tick, text in zip(ticks, tick_texts(ticks), strict=True)
    ]
    middle = (scale.start + scale.end) / 2
    turned = f"rotate(-90 12 {middle:.0f})"
    name = element(
        "text", title, x=12, y=middle, transform=turned, class_="axis", text_anchor="middle"
    )
    return joined(*drawn, name if title else EMPTY)


def x_axis(scale: Scale, title: str) -> Markup:
    """Return the texts of round values below a chart, and the title."""
    ticks = scale.ticks(7)
    if scale.low.is_integer() and scale.high.is_integer():  # epochs have no fractions
        ticks = [tick for tick in ticks if tick.is_integer()]
    drawn = [
        element(
            "text", text, x=scale(tick), y=HEIGHT - BOTTOM + 16, class_="tick", text_anchor="middle"
        )
        for tick, text in zip(ticks, tick_texts(ticks), strict=True)
    ]
    name = element("text", title, x=MIDDLE, y=HEIGHT - 4, class_="axis", text_anchor="middle")
    return joined(*drawn, name)


def column_names(names: Sequence[str], width: float) -> Markup:
    """Return the names below those columns that have room for one."""
    longest = max(len(name) for name in names)
    every = max(1, math.ceil((longest * CHARACTER + 8) / width))
    return joined(
        *(
            element(
                "text",
                name,
                x=LEFT + (index + 0.5) * width,
                y=HEIGHT - BOTTOM + 16,
                class_="tick",
                text_anchor="middle",
            )
            for index, name in enumerate(names)
            if index % every == 0
        )
    )


def bar_axis(scale: Scale, top: float, unit: str) -> Markup:
    """Return lines down to ``top`` at round values, with their texts below."""
    ticks = scale.ticks(5)
    return joined(
        *(
            joined(
                element("line", x1=scale(tick), x2=scale(tick), y1=0, y2=top, class_="grid"),
                element(
                    "text",
                    f"{text} {unit}".strip(),
                    x=scale(tick),
                    y=top + 14,
                    class_="tick",
                    text_anchor="middle",
                ),
            )
            for tick, text in zip(ticks, tick_texts(ticks), strict=True)
        )
    )
