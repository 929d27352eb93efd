"""The signs of statuses: what colour says, for those who do not see it."""

from __future__ import annotations

from collections.abc import Mapping

from stepml.console.widgets.tags import Tag
from stepml.graphs.marks import Status

# Lines in a circle around the origin, with a radius of 8.
SIGNS: Mapping[Status, str] = {
    "NOT_ENTERED": "M-3 0 H3",
    "RUNNING": "M0 -4.5 V0 L3.2 2",
    "SUCCEEDED": "M-3.6 0.2 L-1 2.9 L3.8 -2.8",
    "FAILED": "M-3 -3 L3 3 M3 -3 L-3 3",
    "CAUGHT": "M0 -4.4 V0.8 M0 3.4 V3.8",
    "TIMED_OUT": "M-3 -3.8 H3 L-3 3.8 H3 Z",
    "ABORTED": "M-2.4 -2.4 H2.4 V2.4 H-2.4 Z",
}


class Sign:
    """The sign of a status, inside a drawing, at a place."""

    def __init__(self, status: Status, x: float = 0, y: float = 0) -> None:
        with Tag(
            "g", classes=f"sign {status}", transform=f"translate({x:.1f} {y:.1f})"
        ) as self.tag:
            Tag("circle", r=8)
            self._lines = Tag("path", d=SIGNS[status])

    def show(self, status: Status) -> None:
        """Change the sign."""
        self.tag.classes(replace=f"sign {status}")
        self._lines.put(d=SIGNS[status])


class SignBeside:
    """The sign of a status in a line of text."""

    def __init__(self, status: Status) -> None:
        with Tag("svg", classes="sign-beside", viewBox="-9 -9 18 18", aria_hidden="true"):
            self._sign = Sign(status)

    def show(self, status: Status) -> None:
        """Change the sign."""
        self._sign.show(status)
