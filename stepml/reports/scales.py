"""Maps numbers to pixels, with round numbers as ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

STEPS = (1, 2, 2.5, 5, 10)
MOST_TICKS = 6
LOGARITHMIC_FROM = 50.0  # largest positive value by the median


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from ``low`` to ``high`` over the pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    is_logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high = self._place(self.low), self._place(self.high)
        share = (self._place(value) - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = MOST_TICKS) -> list[float]:
        """Return at most ``most`` round values within the scale, at equal distances."""
        if not self.is_logarithmic:
            return round_values(self.low, self.high, most)
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        every = max(1, -(-(last - first + 1) // most))
        powers = [10.0**power for power in range(first, last + 1, every)]
        return powers if len(powers) > 1 else round_values(self.low, self.high, most)

    def _place(self, value: float) -> float:
        return math.log10(value) if self.is_logarithmic else value


def scale_of(
    values: Iterable[float], start: float, end: float, *, from_zero: bool = False
) -> Scale:
    """Return a scale for values, logarithmic if few of them are much larger than most."""
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return Scale(0.0, 1.0, start, end)
    low, high = finite[0], finite[-1]
    if from_zero:
        return Scale(min(low, 0.0), high * 1.04 if high > 0 else 1.0, start, end)
    if low > 0 and high > LOGARITHMIC_FROM * finite[len(finite) // 2]:
        return Scale(low * 0.9, high * 1.1, start, end, is_logarithmic=True)
    margin = (high - low) * 0.06 or abs(high) * 0.06 or 1.0
    return Scale(low - margin, high + margin, start, end)


def round_values(low: float, high: float, most: int = MOST_TICKS) -> list[float]:
    """Return at most ``most`` multiples of a round step from ``low`` to ``high``."""
    if not high > low:
        return [low]
    least = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in STEPS if factor * power >= least * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def tick_texts(ticks: Sequence[float]) -> list[str]:
    """Return ticks as texts with as many digits as distinguish them."""
    distance = min((abs(b - a) for a, b in pairwise(ticks)), default=abs(ticks[0]) if ticks else 0)
    largest = max((abs(tick) for tick in ticks), default=0.0)
    if largest >= 1e6 or (0 < largest < 1e-3) or not distance:
        digits = math.ceil(math.log10(largest / distance)) + 2 if distance else 3
        return [f"{tick:.{max(3, digits)}g}" for tick in ticks]
    decimals = max(0, -math.floor(math.log10(distance) + 1e-9))
    if round(distance * 10**decimals, 6) % 1:  # 2.5, 0.25
        decimals += 1
    return [f"{tick:,.{decimals}f}" for tick in ticks]
