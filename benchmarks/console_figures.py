"""The figures of the benchmark of the console."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity."""

    what: str
    unit: str
    values: list[float]
    most: float | None = None  # the target for the median
    misses: list[str] = field(default_factory=list)

    def row(self) -> str:
        """Return the figure as a line of the table."""
        low, high = min(self.values), max(self.values)
        target = "" if self.most is None else f"≤ {self.most:g}"
        return (
            f"{self.what:48} {self.median:8.3g} {f'({low:.3g} – {high:.3g})':>18} "
            f"{self.unit:4} {target}"
        )

    @property
    def median(self) -> float:
        """The value that counts."""
        return statistics.median(self.values)


def figure(what: str, unit: str, values: Sequence[float], most: float | None = None) -> Figure:
    """Return a figure, print it, and note whether it misses its target."""
    made = Figure(what, unit, list(values) or [math.nan], most)
    if most is not None and not made.median <= most:
        made.misses.append(f"{what}: {made.median:.3g} {unit}, not at most {most:g}")
    print(made.row(), flush=True)
    return made
