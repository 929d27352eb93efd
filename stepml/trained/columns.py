"""Tables with names of columns → numbers in the order of the model's features.

No library of tables is imported: pandas, polars, pyarrow, narwhals and the like are recognised by
their methods.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from stepml.trained.numbers import NUMBERS, Array, numbers

_FEW = 8  # names in a message
_LAZY = ("collect", "compute")  # methods of tables that are not computed yet


class Columns:
    """The columns of a table in the order of the model's features.

    Parameters
    ----------
    table : data frame
        Has its columns' names in ``columns`` or ``column_names``.
    feature_names : sequence of str
        Of the model; empty if it has none.

    Raises
    ------
    ValueError
        The table is lazy, or its columns are not the model's features.
    """

    def __init__(self, table: Any, feature_names: Sequence[str]) -> None:
        self._table = table
        self.names = names = column_names(table)
        order = _order(names, feature_names)
        self._places = list(range(len(names))) if order is None else order
        self._kinds = _kinds(table) if hasattr(table, "iloc") else ""

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, rows: slice) -> Array:
        """Return some rows, an array of shape (n_rows, n_columns)."""
        if self._kinds and "O" not in self._kinds:
            frame = self._table.iloc[rows].iloc[:, self._places]
            return numbers(frame.to_numpy(dtype=np.float64, na_value=np.nan))
        columns = [self._column(rows, place) for place in self._places]
        return np.stack(columns, axis=1) if columns else np.empty((len(self), 0))

    def _column(self, rows: slice, place: int) -> Array:
        what = f"column {self.names[place]!r}"
        if not self._kinds:
            return numbers(self._table[self.names[place]][rows], what)
        series = self._table.iloc[rows, place]
        if self._kinds[place] in NUMBERS:
            return numbers(series.to_numpy(dtype=np.float64, na_value=np.nan), what)
        return numbers(series.to_numpy(dtype=object, na_value=None), what)


def is_table(X: Any) -> bool:
    """Return whether ``X`` names its columns."""
    # Of the class: a lazy table would have to compute them.
    return any(hasattr(type(X), name) for name in ("columns", "column_names"))


def column_names(table: Any) -> list[Any]:
    """Return the names of the columns of ``table``, or raise `ValueError` if it is lazy."""
    lazy = next((name for name in _LAZY if hasattr(table, name)), None)
    if lazy is not None:
        raise ValueError(
            f"expected a table in memory, got a {type(table).__name__}, which is lazy: pass the "
            f"result of its {lazy}()"
        )
    return list(table.column_names if hasattr(table, "column_names") else table.columns)


def column_order(given: Sequence[str], expected: Sequence[str]) -> list[int] | None:
    """Return the place in ``given`` of each ``expected`` name, or None if both are equal.

    Raises
    ------
    ValueError
        The names differ; the message lists missing and surplus ones.
    """
    if list(given) == list(expected):
        return None
    missing, surplus = Counter(expected) - Counter(given), Counter(given) - Counter(expected)
    if missing or surplus:
        differences = [("missing", missing), ("not among them", surplus)]
        raise ValueError(
            f"expected the model's {len(expected)} features by name; "
            + "; ".join(f"{kind}: {_few(list(names))}" for kind, names in differences if names)
        )
    if len(set(expected)) < len(expected):
        raise ValueError("features with equal names must be in the model's order")
    places = {name: place for place, name in enumerate(given)}
    return [places[name] for name in expected]


def _order(names: Sequence[Any], expected: Sequence[str]) -> list[int] | None:
    """Return the places of the ``expected`` names; None: as they are. Warn as scikit-learn does."""
    texts = [isinstance(name, str) for name in names]
    if any(texts) and not all(texts):
        raise ValueError(
            f"expected names of columns that are all strings, got {_few([*map(repr, names)])}"
        )
    if all(texts) and expected:
        return column_order(names, expected)
    if all(texts):
        _warn("the data of the model had no names of features, so those of X are not compared")
    elif expected:
        _warn(
            f"the model has names of features, but the columns of X are {_few([*map(str, names)])}:"
            " they are taken in their order"
        )
    return None


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=2)


def _kinds(frame: Any) -> str:
    """Return the kind of each column's dtype; "O" is any Python object."""
    kinds = [getattr(dtype, "kind", "O") for dtype in frame.dtypes]
    strange = [
        f"{name!r} is {dtype}"
        for name, dtype, kind in zip(frame.columns, frame.dtypes, kinds, strict=True)
        if kind not in NUMBERS + "O"
    ]
    if strange:
        raise ValueError(f"expected columns of numbers; {_few(strange)}")
    return "".join(kinds)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
