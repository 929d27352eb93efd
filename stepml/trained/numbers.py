"""Array-likes → arrays of numbers: masks, missing values and Python objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

NUMBERS = "biuf"  # kinds of dtypes


def numbers(values: Any, what: str = "values") -> Array:
    """Return an array of a real dtype; masked and missing values are NaN.

    Parameters
    ----------
    values : array-like
        May hold numbers as Python objects, but not their text.
    what : str, default "values"
        Names them in messages.

    Raises
    ------
    ValueError
        They are no numbers.
    """
    try:
        array = unmasked(values)
    except ValueError as exc:  # rows of different lengths
        raise ValueError(f"expected {what} of one length: {exc}") from exc
    if array.dtype.kind == "O" and array.ndim:
        return _floats(array, what)
    if array.dtype.kind not in NUMBERS:
        raise ValueError(f"expected numbers, got {what} of type {array.dtype}")
    return array


def vector(values: Any, n_rows: int, what: str) -> Array:
    """Return a number for each row, an array of shape (n_rows,), or raise `ValueError`.

    Parameters
    ----------
    values : array-like of shape (n_rows,) or (n_rows, 1)
    n_rows : int
    what : str
        Names them in messages, as "y".
    """
    array = numbers(values, what)
    if array.shape not in ((n_rows,), (n_rows, 1)):
        raise ValueError(f"expected {what} of shape ({n_rows},), got {array.shape}")
    array = array.reshape(n_rows)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        problem = "no value (NaN)" if np.isnan(array[row]) else f"the value {array[row]}"
        raise ValueError(f"{what} has {problem} in row {row}")
    return array


def unmasked(values: Any) -> Array:
    """Return an array, with NaN or None for masked values."""
    if isinstance(values, (list, tuple)) and any(
        isinstance(each, np.ma.MaskedArray) for each in values
    ):
        values = np.ma.array(values)
    if not isinstance(values, np.ma.MaskedArray):
        return np.asarray(values)
    mask = np.ma.getmaskarray(values)
    if not mask.any():
        return np.asarray(values.data)
    if values.dtype.kind in NUMBERS:
        return np.where(mask, np.nan, values.data)
    objects: Array = values.data.astype(object)
    objects[mask] = None
    return objects


def _floats(objects: Array, what: str) -> Array:
    # NumPy would read the text of numbers.
    text = next((each for each in objects.flat if isinstance(each, (str, bytes))), None)
    if text is not None:
        raise ValueError(f"expected numbers, got {what} of type object with {text!r:.40}")
    try:
        return objects.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as exc:
        raise ValueError(f"expected numbers, got {what} of type object: {exc}") from exc
