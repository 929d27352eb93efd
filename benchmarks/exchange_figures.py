"""The figures of exchanges, joined from the workers' reports, and their targets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.exchange_workers import COMPUTE_S, Case, Report, Spell

CACHES = ("redis", "memcached")
TARGET_WORLD_SIZE = 4


@dataclass(frozen=True, slots=True)
class Target:
    """Upper limits of a step."""

    ms: float | None = None
    ratio: float | None = None  # to the floor

    @classmethod
    def of(cls, channel: str, pattern: str, size: str) -> Target:
        """Return the target for steps of 4 workers."""
        if channel not in CACHES:
            return cls(60 if size == "1KB" else None)
        if size == "12MB":
            most_ms = {"reduce": 110, "reduce_scatter": 80}[pattern]
            return cls(most_ms if channel == "redis" else None, 1.5)
        return cls(10, 2) if size == "1MB" else cls(1.5)


@dataclass(frozen=True, slots=True)
class Steps:
    """The figures of steps in flight."""

    channel: str
    pattern: str
    size: str
    world_size: int
    ms: list[float]
    floor_ms: float | None
    requests: float  # mean of the workers
    merger_requests: float  # of rank 0
    mb: float
    merger_mb: float
    target: Target

    @classmethod
    def of(cls, case: Case, size: str, reports: Sequence[Report]) -> Steps:
        """Join the workers' reports."""
        floors = [durations_ms([r.floors[each] for r in reports]) for each in reports[0].floors]
        requests, sizes = [r.requests for r in reports], [r.value_bytes / 2**20 for r in reports]
        return cls(
            case.channel,
            case.pattern,
            size,
            case.world_size,
            durations_ms([each.spells for each in reports]),
            min(map(statistics.median, floors), default=None),
            *(statistics.mean(requests), requests[0]),
            *(statistics.mean(sizes), sizes[0]),
            Target.of(case.channel, case.pattern, size)
            if case.world_size == TARGET_WORLD_SIZE
            else Target(),
        )

    @property
    def ratio(self) -> float | None:
        return None if self.floor_ms is None else statistics.median(self.ms) / self.floor_ms

    @property
    def misses(self) -> list[str]:
        """Return a message for each missed target."""
        return [
            f"{self.channel} {self.pattern} {self.size}: {value:.3g} {unit}, target ≤ {most:g}"
            for value, unit, most in (
                (statistics.median(self.ms), "ms", self.target.ms),
                (self.ratio, "× floor", self.target.ratio),
            )
            if value is not None and most is not None and value > most
        ]

    @staticmethod
    def heading(*, with_target: bool) -> str:
        """Return the names of the columns."""
        return (
            f"{'':4} {'W':>2} {'ms':>6} {'(min)':>7} {'floor':>6} {'ratio':>5} "
            f"{'requests':>8} {'merger':>6} {'MB':>7} {'merger':>7}"
        ) + ("  target" if with_target else "")

    def row(self, *, with_target: bool) -> str:
        """Return the figures as a line of the table."""
        ratio = "–" if self.ratio is None else f"{self.ratio:.2f}"
        row = (
            f"{self.size:4} {self.world_size:2} {short(statistics.median(self.ms)):>6} "
            f"{f'({short(min(self.ms))})':>7} {short(self.floor_ms):>6} {ratio:>5} "
            f"{self.requests:8.1f} {self.merger_requests:6.1f} "
            f"{short(self.mb):>7} {short(self.merger_mb):>7}"
        )
        if not with_target or self.target == Target():
            return row
        limits = [self.target.ms, self.target.ratio]
        targets = " ".join(f"≤{most:g}" for most in limits if most is not None)
        return f"{row} {'!' if self.misses else ' '}{targets}"


@dataclass(frozen=True, slots=True)
class Changes:
    """The figures of changes of a shared model."""

    channel: str
    pattern: str
    size: str
    world_size: int
    ms: list[float]
    tries: float  # a change
    by_worker: list[int]  # changes
    changes_per_s: float
    staleness: float
    misses: tuple[str, ...] = ()  # there are no targets

    @classmethod
    def of(cls, case: Case, size: str, reports: Sequence[Report]) -> Changes:
        """Join the workers' reports."""
        by_worker = [len(report.spells) for report in reports]
        spells = [spell for report in reports for spell in report.spells]
        starts, stops = zip(*spells, strict=True)
        return cls(
            case.channel,
            case.pattern,
            size,
            case.world_size,
            [1000 * (stop - start) for start, stop in spells],
            sum(report.tries for report in reports) / sum(by_worker),
            by_worker,
            len(spells) / (COMPUTE_S + max(stops) - min(starts)),
            reports[0].staleness,
        )

    @staticmethod
    def heading(*, with_target: bool) -> str:
        """Return the names of the columns."""
        return (
            f"{'':4} {'W':>2} {'ms':>6} {'(max)':>7} {'changes/s':>12} {'tries':>6} "
            f"{'by worker':>11} {'stale':>6}"
        )

    def row(self, *, with_target: bool) -> str:
        """Return the figures as a line of the table."""
        spread = f"{min(self.by_worker)}–{max(self.by_worker)}"
        return (
            f"{self.size:4} {self.world_size:2} {short(statistics.median(self.ms)):>6} "
            f"{f'({short(max(self.ms))})':>7} {self.changes_per_s:12.1f} "
            f"{self.tries:6.2f} {spread:>11} {self.staleness:6.2f}"
        )


def durations_ms(by_worker: Sequence[Sequence[Spell]]) -> list[float]:
    """Return the duration of each round, from the first worker's start to the last one's end."""
    return [
        1000 * (max(stop for _, stop in spells) - min(start for start, _ in spells))
        for spells in zip(*by_worker, strict=True)
    ]


def short(number: float | None) -> str:
    """Return a number with three significant digits, or all digits before the point."""
    return "–" if number is None else f"{number:.0f}" if number >= 100 else f"{number:.3g}"
