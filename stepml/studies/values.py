"""Jobs of a study: what they share, and short texts for the values in which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``more``; objects are merged, other values replaced.

    An object with another ``name`` is another model or algorithm, so it replaces the one before.
    """
    result = dict(base)
    for name, value in more.items():
        before = result.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping) and _is_same(before, value):
            result[name] = merged(before, value)
        else:
            result[name] = value
    return result


def labels_of(values: Sequence[Any]) -> list[str]:
    """Return a short text for each of the values of one field.

    An object is its name, and the values in which it differs from those with the same name.
    """
    leaves = [dict(_leaves(value)) for value in values]
    return [_label(value, leaves) for value in values]


def _label(value: Any, all_leaves: Sequence[Mapping[str, Any]]) -> str:
    own = dict(_leaves(value))
    if not isinstance(value, Mapping):
        return shown(value)
    name = own.get("name")
    alike = [each for each in all_leaves if each.get("name") == name]
    differing = [
        path
        for path in own
        if path != "name" and any(each.get(path) != own[path] for each in alike)
    ]
    words = [] if name is None else [shown(name)]
    words += [f"{path.rpartition('.')[2]}={shown(own[path])}" for path in differing]
    if name is None and not differing:
        words = [shown(each) for each in own.values()]
    return " ".join(words)


def shown(value: Any) -> str:
    """Return a value as a job file has it, without quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)  # other values have other labels
    if isinstance(value, list):
        return "-".join(map(shown, value))
    return "null" if value is None else str(value)


def _is_same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return "name" not in after or before.get("name") == after["name"]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else name)
    else:
        yield path, value
