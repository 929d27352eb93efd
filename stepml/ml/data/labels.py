"""Counts and moments of a data set's labels, and of their rounding to float32."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

# Data sets with more distinct labels are for regression, which needs no list of labels.
MAX_LABELS = 1000


@dataclass(frozen=True, slots=True)
class LabelMoments:
    """Count, mean and squared deviations of labels as the data have them."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of squared deviations from the mean
    rounding: float = 0.0  # sum of squared differences from the labels' float32

    @classmethod
    def of(
        cls,
        written: NDArray[np.float64],
        y: NDArray[np.float32],
        trains: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Return the moments of labels ``written`` in the data and stored as ``y``.

        With ``trains``, those of these rows alone.
        """
        if trains is not None:
            written, y = written[trains], y[trains]
        if not len(written):
            return cls()
        mean = float(written.mean())
        return cls(
            len(written),
            mean,
            float(np.square(written - mean).sum()),
            float(np.square(written - y).sum()),
        )

    @property
    def deviation(self) -> float:
        """The standard deviation of the labels."""
        return math.sqrt(self.squares / self.n) if self.n else 0.0

    @property
    def rounding_error(self) -> float:
        """The root of the mean squared difference between a label and its float32."""
        return math.sqrt(self.rounding / self.n) if self.n else 0.0


NO_LABELS = LabelMoments()


def merge_label_moments(parts: Iterable[LabelMoments]) -> LabelMoments:
    """Return the moments of the labels of all parts (Chan, Golub and LeVeque, 1979)."""
    n, mean, squares, rounding = 0, 0.0, 0.0, 0.0
    for each in parts:
        if each.n:
            apart = each.mean - mean
            squares += each.squares + apart**2 * n * each.n / (n + each.n)
            mean += apart * each.n / (n + each.n)
            n += each.n
            rounding += each.rounding
    return LabelMoments(n, mean, squares, rounding)


def count_labels(
    written: NDArray[np.float64], trains: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the distinct labels, ascending, and the rows of each; with ``trains``, those alone."""
    labels, counts = np.unique(written, return_counts=True)
    if trains is None:
        return labels, counts
    return labels, np.bincount(np.searchsorted(labels, written[trains]), minlength=len(labels))


def merge_label_counts(
    parts: Iterable[tuple[Sequence[float] | None, Sequence[int] | None]],
) -> dict[float, int] | None:
    """Return the rows of each label, ascending, given the labels and counts of all parts.

    None: there are too many labels.
    """
    rows: Counter[float] = Counter()
    for labels, counts in parts:
        if labels is None or counts is None:
            return None
        rows.update(dict(zip(labels, counts, strict=True)))
    return dict(sorted(rows.items())) if len(rows) <= MAX_LABELS else None
