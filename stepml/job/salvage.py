"""All mistakes of a job at once: what is wrong is mended, and the rest is checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from stepml.job.combinations import contradictions
from stepml.job.conversion import converted
from stepml.job.errors import InvalidJobError
from stepml.job.explanations import MOST_MISTAKES, FieldMistake, Path, field_mistakes
from stepml.job.json_values import normalised
from stepml.job.schema import SCHEMA_FIELD
from stepml.job.spec import JobSpec

_MOST_PASSES = 20
_FIELD = re.compile(r"[\w$.-]+")
_ALGORITHM = ("algorithm",)
_GROUPS_DEEP = 5  # more than groups of a job within groups
_STAND_IN = "data/"  # for data, while the other fields are checked


def salvaged(document: Any) -> tuple[JobSpec | None, list[str]]:
    """Return the job without its wrong fields, and every mistake.

    Where it is known what a wrong field or value means, that takes its place.

    Parameters
    ----------
    document : the JSON value of a job

    Returns
    -------
    spec : JobSpec or None
        None: what is left is no job, or says of no data where they are.
    mistakes : list of str
    """
    document = _with_own_groups(document)
    mistakes: list[str] = []
    mended: list[Path] = []
    has_data = True
    for _ in range(_MOST_PASSES):
        spec, found = _checked(document)
        if not found:
            return spec if has_data else None, mistakes
        # What follows from a mended field is no mistake of the job's.
        words = [each.words for each in found if not _follows(each, mended)]
        mistakes += [each for each in words if each not in mistakes]
        if len(mistakes) >= MOST_MISTAKES:
            return None, [*mistakes[:MOST_MISTAKES], "there are more mistakes"]
        done = [path for each in found if (path := _mend(document, each))]
        if not done and all(each.path for each in found):
            has_data, done = False, _with_stand_in(document)
        if not done:
            break
        mended += done
    return None, mistakes


def _with_own_groups(document: Any, deep: int = _GROUPS_DEEP) -> Any:
    """Return a document whose groups can be changed; what is nested deeper stays as it is."""
    if not isinstance(document, dict) or not deep:
        return document
    return {name: _with_own_groups(value, deep - 1) for name, value in document.items()}


def _with_stand_in(document: Any) -> list[Path]:
    """Let a job without a place of its data have one, so that its other fields can be checked."""
    data = document.setdefault("data", {}) if isinstance(document, dict) else None
    if not isinstance(data, dict) or "uri" in data:
        return []
    data["uri"] = _STAND_IN
    return [("data", "uri")]


def _checked(document: Any) -> tuple[JobSpec | None, list[FieldMistake]]:
    """Return the job, or its mistakes: those of fields, or else contradictions between them."""
    try:
        document = _without_schema(normalised(document))
    except InvalidJobError as error:
        return None, [_mistake_in(str(error))]
    try:
        spec = converted(document, JobSpec)
    except msgspec.ValidationError:
        return None, field_mistakes(document, JobSpec)
    return spec, [_mistake_in(each) for each in contradictions(spec)]


def _without_schema(document: Any) -> Any:
    """Leave out the reference to a JSON Schema, by which editors check a job."""
    if not isinstance(document, dict) or not isinstance(document.get(SCHEMA_FIELD), str):
        return document
    return {name: value for name, value in document.items() if name != SCHEMA_FIELD}


def _mistake_in(message: str) -> FieldMistake:
    """Return the mistake that a message describes, which begins with its field."""
    field = _FIELD.match(message)
    return FieldMistake(message, tuple(field[0].split(".")) if field else ())


def _follows(mistake: FieldMistake, mended: Sequence[Path]) -> bool:
    """Return whether a mistake is about a mended field, one around it, or a choice left out."""
    return any(
        path[: len(mistake.path)] == mistake.path
        or (path == _ALGORITHM and _ALGORITHM[0] in mistake.words)
        for path in mended
    )


def _mend(document: Any, mistake: FieldMistake) -> Path:
    """Mend the field of a mistake and return its path; () if that is impossible."""
    group = _group_at(document, mistake.path[:-1])
    if not mistake.path or group is None or mistake.path[-1] not in group:
        return ()
    value = group.pop(mistake.path[-1])
    if mistake.meant:
        other = _group_at(document, mistake.meant[:-1], makes=True)
        if other is not None:
            other.setdefault(mistake.meant[-1], value)
    elif mistake.instead is not None:
        group[mistake.path[-1]] = mistake.instead
    elif mistake.path == (*_ALGORITHM, "name"):  # its other fields have no meaning without
        del document[_ALGORITHM[0]]
        return _ALGORITHM
    return mistake.path


def _group_at(document: Any, path: Path, *, makes: bool = False) -> dict[str, Any] | None:
    for name in path:
        if makes and isinstance(document, dict):
            document.setdefault(name, {})
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else None
