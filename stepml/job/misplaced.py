"""Fields that a job has under another name, or in another group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepml.job.other_words import FIELDS
from stepml.job.schema import field_names
from stepml.job.suggestions import abbreviates, nearest, plain

Path = tuple[str, ...]


def meant_field(name: str, path: Path, document: Any) -> Path:
    """Return the field that is meant by an unknown ``name`` in the group at ``path``, or ().

    It is one of the same group that differs in case or separators, or one that other libraries
    call so, one of another group, or one that is near.
    """
    own = _names(path, document)
    same = [each for each in own if plain(each) == plain(name)]
    if same:
        return (*path, same[0])
    if elsewhere := _by_other_word(name, document) or _elsewhere(name, document, _is_same):
        return elsewhere
    found = nearest(name, own)
    return (*path, found) if found else _elsewhere(name, document, abbreviates)


def _by_other_word(name: str, document: Any) -> Path:
    place = tuple(FIELDS.get(name.lower(), "").split("."))
    return place if place[-1] in _names(place[:-1], document) else ()


def _elsewhere(name: str, document: Any, is_meant: Callable[[str, str], bool]) -> Path:
    """Return the only field of any group that is meant by ``name``, or ()."""
    groups: list[Path] = [(), *((group,) for group in _names((), document))]
    found = [
        (*group, each)
        for group in groups
        for each in _names(group, document)
        if each != "name" and is_meant(plain(name), each)
    ]
    return found[0] if len(found) == 1 else ()


def _is_same(given: str, name: str) -> bool:
    return plain(name) == given


def _names(path: Path, document: Any) -> list[str]:
    """Return the names of the fields of a group."""
    return list(field_names(path, document) or ())
