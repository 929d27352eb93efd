"""Tables of numbers with names of columns → numbers in the order of the model's features."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from stepml.trained.frames import Frame, numbers_at_once
from stepml.trained.numbers import NUMBERS, Array, numbers

_FEW = 8  # names in a message


class Columns:
    """The columns of a table in the order of the model's features.

    Parameters
    ----------
    frame : Frame
    feature_names : sequence of str
        Of the model; empty if it has none.
    others : sequence of str
        Names of columns that the model's data had, and that are no features.

    Raises
    ------
    ValueError
        Features of the model are missing.
    """

    def __init__(
        self, frame: Frame, feature_names: Sequence[str], others: Sequence[str] = ()
    ) -> None:
        self._frame = frame
        self.places = places_of(frame.names, feature_names, others)

    def __len__(self) -> int:
        return len(self._frame)

    def __getitem__(self, rows: slice) -> Array:
        """Return some rows, an array of shape (n_rows, n_columns)."""
        at_once = numbers_at_once(self._frame, rows, self.places)
        if at_once is not None:
            return at_once
        columns = [self._column(rows, place) for place in self.places]
        return np.stack(columns, axis=1) if columns else np.empty((len(self), 0))

    def _column(self, rows: slice, place: int) -> Array:
        what = f"column {self._frame.names[place]!r}"
        array = self._frame.array(place, rows)
        if array.dtype.kind not in NUMBERS + "O":
            raise ValueError(f"expected columns of numbers, got {what} of type {array.dtype}")
        return numbers(array, what)


def places_of(
    names: Sequence[Any], expected: Sequence[str], others: Sequence[str] = ()
) -> list[int]:
    """Return the place among the ``names`` of a table of each ``expected`` name.

    Columns beyond these are left out, with a warning unless they are ``others``. If one of both has
    no names, the columns are taken in their order, with a warning as in scikit-learn.

    Raises
    ------
    ValueError
        Names are missing, or appear twice.
    """
    texts = [isinstance(name, str) for name in names]
    if any(texts) and not all(texts):
        raise ValueError(
            f"expected names of columns that are all strings, got {_few([*map(repr, names)])}"
        )
    if all(texts) and expected:
        return _by_name(names, expected, others)
    if all(texts):
        _warn("the data of the model had no names of features, so those of X are not compared")
    elif expected:
        _warn(
            f"the model has names of features, but the columns of X are {_few([*map(str, names)])}:"
            " they are taken in their order"
        )
    return list(range(len(names)))


def column_order(given: Sequence[str], expected: Sequence[str]) -> list[int] | None:
    """Return the place in ``given`` of each ``expected`` name, or None if both are equal.

    Raises
    ------
    ValueError
        A name is missing, or appears twice; the message lists missing and surplus ones.
    """
    if list(given) == list(expected):
        return None
    missing, surplus = Counter(expected) - Counter(given), Counter(given) - Counter(expected)
    if missing:
        differences = [("missing", missing), ("not among them", surplus)]
        raise ValueError(
            f"expected the model's {len(expected)} features by name; "
            + "; ".join(f"{kind}: {_few(list(names))}" for kind, names in differences if names)
        )
    if len(set(expected)) < len(expected):
        raise ValueError("features with equal names must be in the model's order")
    if twice := surplus.keys() & set(expected):
        raise ValueError(f"expected one column of each name; several are named {_few([*twice])}")
    places = {name: place for place, name in enumerate(given)}
    return [places[name] for name in expected]


def _by_name(names: Sequence[str], expected: Sequence[str], others: Sequence[str]) -> list[int]:
    order = column_order(names, expected)
    if order is None:
        return list(range(len(names)))
    surplus = [name for name in names if name not in {*expected, *others}]
    if surplus:
        _warn(f"columns that are no features of the model are left out: {_few(surplus)}")
    return order


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=2)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
