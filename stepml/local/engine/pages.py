"""Pages of lists, with tokens that are refused if they are not of the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, TypeVar

from moto.stepfunctions.exceptions import InvalidToken

T = TypeVar("T")

DEFAULT_ITEMS = 100


def page(
    response: Any,
    name: str,
    items: Sequence[T],
    *,
    key: Callable[[T], object],
    is_wanted: Callable[[T], bool] = lambda _: True,
    default: int = DEFAULT_ITEMS,
) -> dict[str, Any]:
    """Return the part of ``items`` that the request asks for, as the answer's field ``name``.

    Parameters
    ----------
    response : BaseResponse
        The request, with its ``maxResults`` and ``nextToken``.
    name : str
    items : sequence
    key : callable
        Returns what identifies an item. The last item of a page is the token of the next one, so
        that new items do not move it.
    is_wanted : callable, optional
        The filter. The item of a token may no longer pass it.
    default : int
        The size of a page unless ``maxResults`` is given; 0 is the default, too.

    Raises
    ------
    InvalidToken
        No page has ended with ``nextToken``.
    """
    first = _start(response._get_param("nextToken"), items, key)
    size = response._get_int_param("maxResults") or default
    wanted = filter(is_wanted, items[first:])
    shown = list(islice(wanted, size))
    answer: dict[str, Any] = {name: shown}
    if any(True for _ in wanted):
        answer["nextToken"] = str(key(shown[-1]))
    return answer


def _start(token: str | None, items: Sequence[T], key: Callable[[T], object]) -> int:
    if token is None:
        return 0
    for number, item in enumerate(items, 1):
        if str(key(item)) == token:
            return number
    raise InvalidToken(f"'{token}'")
