"""Fields that a job has under another name, or in another group."""

from __future__ import annotations

from typing import Any

from stepml.job.other_words import FIELDS
from stepml.job.schema import field_schema
from stepml.job.suggestions import nearest, plain

Path = tuple[str, ...]


def meant_field(name: str, path: Path, document: Any) -> Path:
    """Return the field that is meant by an unknown ``name`` in the group at ``path``, or ().

    It is one of the same group, if one is near, or one that other libraries call so, or one of
    another group.
    """
    own = _names(path, document)
    same = [each for each in own if plain(each) == plain(name)]
    if same:
        return (*path, same[0])
    if elsewhere := _by_other_word(name, document) or _in_other_group(name, document):
        return elsewhere
    found = nearest(name, own)
    return () if found is None else (*path, found)


def _by_other_word(name: str, document: Any) -> Path:
    place = tuple(FIELDS.get(name.lower(), "").split("."))
    return place if place[-1] in _names(place[:-1], document) else ()


def _in_other_group(name: str, document: Any) -> Path:
    groups: list[Path] = [(), *((group,) for group in _names((), document))]
    found = [
        (*group, each)
        for group in groups
        for each in _names(group, document)
        if plain(each) == plain(name) and each != "name"
    ]
    return found[0] if len(found) == 1 else ()


def _names(path: Path, document: Any) -> list[str]:
    """Return the names of the fields of a group."""
    return list(field_schema(path, document).get("properties", {}))
