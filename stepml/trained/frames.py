"""Tables in memory, whatever holds them: their names, and their columns as arrays.

No library of tables is imported: pandas, polars, pyarrow, narwhals and the like are recognised by
their methods. A mapping of columns, a list of rows that are mappings, and a structured array of
NumPy are tables as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stepml.trained.numbers import NUMBERS, Array, unmasked

_LAZY = ("collect", "compute")  # methods of tables that are not computed yet
_LISTS = ("to_pylist", "to_list", "tolist")  # methods of columns, the best one first


class Frame(ABC):
    """A table in memory.

    Attributes
    ----------
    names : list
        Of the columns: texts, or what else the table has.
    """

    names: list[Any]

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def array(self, place: int, rows: slice) -> Array:
        """Return some rows of a column; a missing value is None, NaN or NaT."""

    def objects(self, place: int, rows: slice) -> list[Any]:
        """Return some rows of a column as Python objects, which have all digits of integers."""
        return _listed(self.array(place, rows))


class _Pandas(Frame):
    """A data frame of pandas."""

    def __init__(self, frame: Any) -> None:
        self.names = list(frame.columns)
        self._frame = frame
        # Of each column's dtype; "O" is any Python object.
        self.kinds = "".join(getattr(dtype, "kind", "O") for dtype in frame.dtypes)

    def __len__(self) -> int:
        return len(self._frame)

    def array(self, place: int, rows: slice) -> Array:
        series = self._frame.iloc[rows, place]
        if self.kinds[place] in NUMBERS:
            found: Array = series.to_numpy(dtype=np.float64, na_value=np.nan)
            return found
        if self.kinds[place] == "M":  # of a time zone: in UTC
            times: Array = series.to_numpy(dtype="datetime64[us]")  # [ns] ends in 2262
            return times
        return self._objects(series)

    def objects(self, place: int, rows: slice) -> list[Any]:
        return _listed(self._objects(self._frame.iloc[rows, place]))

    def _objects(self, series: Any) -> Array:
        found: Array = series.to_numpy(dtype=object, na_value=None)
        return found

    def numbers(self, rows: slice, places: Sequence[int]) -> Array:
        """Return columns of numbers at once, which is much faster for wide tables."""
        found: Array = self._frame.iloc[rows, places].to_numpy(dtype=np.float64, na_value=np.nan)
        return found


class _Other(Frame):
    """A table that gives its columns by name."""

    def __init__(self, table: Any, names: list[Any]) -> None:
        self.names = names
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def array(self, place: int, rows: slice) -> Array:
        column = self._table[self.names[place]][rows]
        # NumPy would take nulls of a dictionary of Arrow for its values.
        if hasattr(getattr(column, "type", None), "index_type"):
            column = column.cast(column.type.value_type)
        return _array(column)

    def objects(self, place: int, rows: slice) -> list[Any]:
        return _listed(self._table[self.names[place]][rows])


class _Columns(Frame):
    """A mapping of columns."""

    def __init__(self, columns: Mapping[Any, Any]) -> None:
        self.names = list(columns)
        self._columns = [_column(name, values) for name, values in columns.items()]
        lengths = {name: len(each) for name, each in zip(columns, self._columns, strict=True)}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name!r} has {n}" for name, n in list(lengths.items())[:8])
            raise ValueError(f"expected columns of one length: {shown}")

    def __len__(self) -> int:
        return len(self._columns[0]) if self._columns else 0

    def array(self, place: int, rows: slice) -> Array:
        return _array(self._columns[place][rows])


def frame_of(X: Any) -> Frame | None:
    """Return ``X`` as a table with names, or None if it is none.

    Raises
    ------
    ValueError
        The table is lazy, or no table after all.
    """
    if hasattr(X, "tocsr"):  # a sparse matrix, of which one format is a mapping
        return None
    if isinstance(X, Mapping):
        return _Columns(X)
    if isinstance(X, (list, tuple)) and X and all(isinstance(each, Mapping) for each in X):
        return _Columns(_of_rows(X))
    if isinstance(X, np.ndarray) and X.dtype.names:
        return _Columns({name: X[name] for name in X.dtype.names})
    # Of the class: a lazy table would have to compute them.
    if not any(hasattr(type(X), name) for name in ("columns", "column_names")):
        return None
    _require_computed(X)
    if hasattr(X, "iloc"):
        return _Pandas(X)
    return _Other(X, list(X.column_names if hasattr(X, "column_names") else X.columns))


def numbers_at_once(frame: Frame, rows: slice, places: Sequence[int]) -> Array | None:
    """Return columns of numbers, if ``frame`` has a fast way and they are numbers; else None."""
    if not isinstance(frame, _Pandas) or any(frame.kinds[each] not in NUMBERS for each in places):
        return None
    return frame.numbers(rows, places)


def _require_computed(table: Any) -> None:
    lazy = next((name for name in _LAZY if hasattr(table, name)), None)
    if lazy is not None:
        raise ValueError(
            f"expected a table in memory, got a {type(table).__name__}, which is lazy: pass the "
            f"result of its {lazy}()"
        )


def _of_rows(rows: Sequence[Mapping[Any, Any]]) -> dict[Any, list[Any]]:
    """Return the columns of rows; a row without a name has no value there."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _column(name: Any, values: Any) -> Any:
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise ValueError(
            f"expected columns of values, got {values!r:.40} for {name!r}; one row is a list of "
            "one mapping"
        )
    # NumPy would make text of numbers beside text.
    return np.array([*values, None], object)[:-1] if isinstance(values, (list, tuple)) else values


def _array(values: Any) -> Array:
    array = unmasked(values)
    if array.ndim != 1:
        raise ValueError(f"expected columns of one dimension, got one of shape {array.shape}")
    return array


def _listed(values: Any) -> list[Any]:
    values = unmasked(values) if isinstance(values, np.ma.MaskedArray) else values
    method = next((name for name in _LISTS if hasattr(values, name)), None)
    return list(values) if method is None else list(getattr(values, method)())
