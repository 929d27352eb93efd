"""Counts and moments of a data set's labels, their rounding to float32, and labels without numbers.

Labels that are text, booleans or large integers are *codes* in pieces: each range task numbers them
in the order in which it meets them. The manifest has their names in order, and the code of each
class is its place there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stepml.job.spec_base import label_text
from stepml.ml.class_names import in_order, label_name

# float32 lacks some integers beyond.
LARGEST_APART = 2**24
# Of words among numbers: fewer are bad cells, which are named one by one.
LEAST_WORDS = 5
LEAST_SHARE_OF_WORDS = 0.2
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


def moments_of_counts(rows: Mapping[float, int]) -> LabelMoments:
    """Return the moments of labels that float32 holds, given the rows of each."""
    n = sum(rows.values())
    mean = sum(label * count for label, count in rows.items()) / max(n, 1)
    squares = sum((label - mean) ** 2 * count for label, count in rows.items())
    return LabelMoments(n, mean, squares)


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


def kind_of_labels(labels: Sequence[str], *, are_classes: bool) -> str:
    """Return the kind of labels (`Layout.label_kind`), given the text of the first ones.

    A few words among numbers may be mistakes: then labels are numbers. Integers that float32 lacks
    are a kind of their own only if they ``are_classes``.
    """
    numbers = [number for each in labels if (number := _number(each)) is not None]
    n_words = len(labels) - len(numbers)
    if n_words >= (1 if not numbers else max(LEAST_WORDS, LEAST_SHARE_OF_WORDS * len(labels))):
        are_booleans = all(label_name(each, "boolean") for each in labels)
        return "boolean" if are_booleans else "text"
    return kind_of_numbers(numbers) if are_classes else "number"


def kind_of_numbers(numbers: Sequence[float] | NDArray[np.generic]) -> str:
    """Return the kind of classes that are ``numbers``: integer if float32 lacks some of them."""
    values = np.asarray(numbers, np.float64)
    are_integers = bool(np.isfinite(values).all()) and bool((values == np.floor(values)).all())
    is_large = len(values) > 0 and float(np.abs(values).max()) > LARGEST_APART
    return "integer" if is_large and are_integers else "number"


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _text(label: Any) -> str:
    return label_text(label) if isinstance(label, str | bool | float | int) else str(label)


class LabelCodes:
    """The codes of labels that are no numbers, as one range task gives them.

    A label beyond the first 1,000 has the code 1,000: so many labels are no classes.

    Parameters
    ----------
    kind : {"text", "boolean", "integer"}
        `Layout.label_kind`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._codes: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The label of each code."""
        return tuple(self._codes)

    def codes(self, labels: Sequence[Any]) -> NDArray[np.float32]:
        """Return the code of each label; NaN if it is None or NaN, or not of this kind.

        Give each different label once, if there are many: it is looked up by itself.
        """
        return np.array([self._code(each) for each in labels], np.float32)

    def codes_of(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the code of each value: an array of text, booleans or integers, or with None."""
        if values.dtype.hasobject:
            return self.codes(values.tolist())
        different, places = np.unique(values, return_inverse=True)
        codes = self.codes(different.tolist())
        coded: NDArray[np.float32] = codes[places.reshape(-1)]
        return coded

    def _code(self, label: Any) -> float:
        name = None if label is None or label != label else label_name(_text(label), self.kind)
        if name is None:
            return math.nan
        if len(self._codes) >= MAX_LABELS:
            return self._codes.get(name, MAX_LABELS)
        return self._codes.setdefault(name, len(self._codes))


def merge_label_names(
    parts: Iterable[tuple[Sequence[float] | None, Sequence[str]]], kind: str
) -> tuple[str, ...]:
    """Return the names of all classes in order, given the codes of each part's rows and its names.

    Empty: a part has too many.
    """
    found: set[str] = set()
    for codes, names in parts:
        if codes is None or max(codes, default=0) >= MAX_LABELS:
            return ()
        found.update(names[int(code)] for code in codes)
    return in_order(found, kind) if len(found) <= MAX_LABELS else ()


def codes_among(names: Sequence[str], places: Mapping[str, int]) -> tuple[int, ...]:
    """Return the class of each of a piece's codes, whose labels are ``names``.

    All are 0 if there are too many labels for ``places``; -1 is the class of labels without rows.
    """
    if not places:
        return (0,) * (MAX_LABELS + 1)
    return tuple(places.get(name, -1) for name in names)
