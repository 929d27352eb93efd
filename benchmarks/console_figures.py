"""The figures of the benchmark of the console."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

QUOTAS = {"DescribeExecution": 15, "GetExecutionHistory": 20}  # requests a second, of AWS


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


def updates(
    lines: Sequence[dict[str, Any]], rows: Sequence[tuple[int, float]]
) -> list[tuple[float, float]]:
    """Return the seconds of the reading that found each epoch, and from its end to the row."""
    found: dict[int, tuple[float, float]] = {}  # the begin and the end of the reading
    for line in lines:
        if "finished" in line:
            found.setdefault(line["finished"], (line["at"], line["at"] + line["seconds"]))
    seen = [(*found[epoch], at) for epoch, at in rows if epoch in found]
    return [(end - begin, at - end) for begin, end, at in seen if at >= end]


def requests(calls: Sequence[dict[str, Any]], seconds: float) -> list[Figure]:
    """Return the requests a second, by operation."""
    counted = Counter(each["call"] for each in calls)
    return [
        figure(f"five tabs: {call}", "/s", [n / seconds], most=QUOTAS.get(call))
        for call, n in counted.most_common()
    ]


def bursts(calls: Sequence[dict[str, Any]]) -> list[Figure]:
    """Return the most requests within a second, as when the tabs were opened."""
    made = []
    for call in QUOTAS:
        times = sorted(each["at"] for each in calls if each["call"] == call)
        most = max((sum(at <= other < at + 1 for other in times) for at in times), default=0)
        made.append(figure(f"five tabs: most {call} in a second", "", [most]))
    return made
