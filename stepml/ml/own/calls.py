"""Results of the user's functions, as StepML needs them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from stepml.ml.own.loading import OwnClass

Floats = npt.NDArray[np.float32]


def numbers_like(
    own: OwnClass, function: Callable[..., Any], found: Any, shape: tuple[int, ...], what: str
) -> Floats:
    """Return an array of the user's as float32, or raise `InvalidCodeError` if it is another one.

    Parameters
    ----------
    own : OwnClass
    function : callable
        The function that returned it.
    found : any
    shape : tuple of int
        The expected one.
    what : str
        The array in words, for the message.
    """
    if isinstance(found, np.ndarray) and found.shape == shape and found.dtype.kind in "fiub":
        with np.errstate(over="ignore"):
            return found.astype(np.float32, copy=False)
    raise own.error(
        f"{what} of {function.__name__}: expected an array of real numbers of shape {shape}, got "
        f"{_described(found)}",
        function,
    )


def pair(own: OwnClass, function: Callable[..., Any], found: Any, parts: str) -> tuple[Any, Any]:
    """Return the two results of a function, or raise `InvalidCodeError` if it has not two.

    ``parts`` are both in words, for the message.
    """
    if isinstance(found, tuple | list) and len(found) == 2:
        return found[0], found[1]
    raise own.error(
        f"the result of {function.__name__}: expected {parts}, got {_described(found)}", function
    )


def scalar(own: OwnClass, function: Callable[..., Any], found: Any, what: str) -> float:
    """Return a number of the user's, or raise `InvalidCodeError` if it is none."""
    try:
        if np.ndim(found) == 0 and not np.iscomplexobj(found):
            return float(found)
    except (TypeError, ValueError):
        pass
    raise own.error(
        f"{what} of {function.__name__}: expected a number, got {_described(found)}", function
    )


def first_vector(own: OwnClass, function: Callable[..., Any], found: Any, length: int) -> Floats:
    """Return the first parameters, all finite; errors as of `numbers_like`."""
    vector = numbers_like(own, function, found, (length,), "the parameters")
    if not np.isfinite(vector).all():
        raise own.error("the parameters of initial: expected finite numbers", function)
    return np.array(vector)


def _described(found: object) -> str:
    if isinstance(found, np.ndarray):
        return f"an array of {found.dtype} of shape {found.shape}"
    if isinstance(found, tuple | list):
        return f"a {type(found).__name__} of length {len(found)}"
    return f"{type(found).__name__} {found!r:.60}" if np.isscalar(found) else type(found).__name__


def arrays_of(
    own: OwnClass, function: Callable[..., Any], found: Any, averaged: Collection[str] = ()
) -> dict[str, npt.NDArray[Any]]:
    """Return copies of the user's arrays by name, or raise `InvalidCodeError`.

    Those in ``averaged`` must be among them, and are float32.
    """
    is_named = isinstance(found, Mapping) and all(isinstance(name, str) for name in found)
    if not is_named or not all(_is_stored(each) for each in found.values()):
        raise own.error(
            f"{function.__name__}: expected a dict of arrays of float32, float64 or int64 by name, "
            f"got {_described(found)}",
            function,
        )
    if absent := [name for name in averaged if name not in found]:
        raise own.error(
            f"averaged: expected names of {function.__name__}, {', '.join(found) or 'none'}; got "
            f"{', '.join(absent)}",
            function,
        )
    return {
        name: np.array(each, np.float32) if name in averaged else np.array(each)
        for name, each in found.items()
    }


def _is_stored(array: object) -> bool:
    return isinstance(array, np.ndarray) and array.dtype in (np.float32, np.float64, np.int64)
