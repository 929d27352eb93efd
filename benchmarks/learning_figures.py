"""The figures of learning, each beside another one, and their targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Target:
    """A bound of a figure, or of its ratio to another one."""

    bound: float
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        """Return whether ``value`` meets the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:.3g}"


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of several rounds."""

    median: float
    best: float

    @classmethod
    def of(cls, values: Sequence[float], best: Callable[[Sequence[float]], float] = min) -> Self:
        """Return the spread of the values of several rounds; the smallest is the best."""
        return cls(statistics.median(values), best(values))

    def __sub__(self, other: Self) -> Self:
        return replace(self, median=self.median - other.median, best=self.best - other.best)

    def __mul__(self, factor: float) -> Self:
        return replace(self, median=self.median * factor, best=self.best * factor)

    def __str__(self) -> str:
        alone = self.median == self.best
        return f"{self.median:.4g}" if alone else f"{self.median:.4g} ({self.best:.4g})"


@dataclass(frozen=True, slots=True)
class Figures:
    """One line of the table: our figure, and the one to compare it with."""

    name: str
    unit: str
    ours: Spread
    other_name: str = ""
    other: Spread | None = None
    target: Target | None = None

    @property
    def ratio(self) -> Spread | None:
        """Our figure divided by the other."""
        if self.other is None:
            return None
        return Spread(self.ours.median / self.other.median, self.ours.best / self.other.best)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        judged = self.ratio or self.ours
        return None if self.target is None else self.target.is_met(judged.median)

    def row(self) -> str:
        """Return the line."""
        target = "" if self.target is None else f"{self.target}{'' if self.is_met else ' !'}"
        ours, other, ratio = (
            "" if each is None else str(each) for each in (self.ours, self.other, self.ratio)
        )
        return f"{self.name:25} {ours:>13} {other:>13} {ratio:>15}  {target}".rstrip()
