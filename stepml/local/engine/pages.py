"""Pages of lists, with tokens that are refused if they are not of the list."""

from __future__ import annotations

from typing import Any

from moto.stepfunctions.exceptions import InvalidToken

DEFAULT_ITEMS = 100


def page(
    response: Any, name: str, items: list[dict[str, Any]], *, key: str, default: int = DEFAULT_ITEMS
) -> dict[str, Any]:
    """Return the part of ``items`` that the request asks for, as the answer's field ``name``.

    Parameters
    ----------
    response : BaseResponse
        The request, with its ``maxResults`` and ``nextToken``.
    name : str
    items : list of dict
    key : str
        A field that identifies an item. The last item of a page is the token of the next one, so
        that new items do not move it.
    default : int
        The size of a page unless ``maxResults`` is given; 0 is the default, too.

    Raises
    ------
    InvalidToken
        No page has ended with ``nextToken``.
    """
    first = _start(response._get_param("nextToken"), [str(item[key]) for item in items])
    size = response._get_int_param("maxResults") or default
    answer: dict[str, Any] = {name: items[first : first + size]}
    if first + size < len(items):
        answer["nextToken"] = str(items[first + size - 1][key])
    return answer


def _start(token: str | None, keys: list[str]) -> int:
    if token is None:
        return 0
    if token not in keys:
        raise InvalidToken(f"'{token}'")
    return keys.index(token) + 1
