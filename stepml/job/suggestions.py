"""Suggestions of the name that somebody has meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

_CLOSE = 0.6  # the least similarity of two names, by difflib
_CANDIDATES = 3  # of which the nearest is taken
_SHARE = 3  # one of so many characters may be another one
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is nearest to ``given``, or "" if none is near."""
    found = nearest(given, known)
    return "" if found is None else f" (did you mean {found!r}?)"


def nearest(given: str, known: Iterable[str]) -> str | None:
    """Return the name that somebody means who writes ``given``; None if none is near.

    That is one that differs in case, separators or the order of its words, the only one that begins
    with ``given`` or that it abbreviates, or one that differs in a few characters.
    """
    names = list(known)
    for key in (plain, _in_order):
        wanted = key(given)
        found = [name for name in names if wanted and key(name) == wanted]
        if found:
            return found[0]
    for is_meant in (_begins, abbreviates):
        found = [name for name in names if is_meant(plain(given), name)]
        if len(found) == 1:
            return found[0]
    return _misspelt(given, names)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def plain(name: str) -> str:
    """Return ``name`` in lower case, without separators between its words."""
    return "".join(_words(name))


def _in_order(name: str) -> str:
    return " ".join(sorted(_words(name)))


def _begins(given: str, name: str) -> bool:
    return len(given) > 1 and plain(name).startswith(given)


def abbreviates(given: str, name: str) -> bool:
    """Return whether ``given`` has beginnings of all words of ``name``, such as lr or logreg."""
    words = _words(name)
    if len(words) < 2 or len(given) < len(words):
        return False
    beginnings = ("".join(f"(?:{re.escape(each)}" for each in word[1:]) for word in words)
    pattern = "".join(
        re.escape(word[0]) + more + ")?" * (len(word) - 1)
        for word, more in zip(words, beginnings, strict=True)
    )
    return re.fullmatch(pattern, given) is not None


def _misspelt(given: str, names: Sequence[str]) -> str | None:
    by_lower = {name.lower(): name for name in names}
    wanted = given.lower()
    close = difflib.get_close_matches(wanted, by_lower, _CANDIDATES, _CLOSE)
    differences = {each: _differences(wanted, each) for each in close}
    near = [each for each in close if differences[each] <= max(1, len(each) // _SHARE)]
    key: Callable[[str], int] = differences.__getitem__
    return by_lower[min(near, key=key)] if near else None


def _differences(one: str, other: str) -> int:
    """Return the number of changed, missing, added and swapped characters."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, character in enumerate(one, 1):
        before, row, last = row, [at], before
        for place, another in enumerate(other, 1):
            cost = min(before[place], row[-1]) + 1
            cost = min(cost, before[place - 1] + (character != another))
            is_swap = last and place > 1 and one[at - 2 : at] == other[place - 2 : place][::-1]
            row.append(min(cost, last[place - 2] + 1) if is_swap else cost)
    return row[-1]
