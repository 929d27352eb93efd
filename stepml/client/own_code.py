"""The code of a job's own model or algorithm: packed here, and sent with the job.

It is at a path, or in an installed package with an entry point: ``stepml.models`` names classes of
models, ``stepml.algorithms`` those of algorithms. A job names such an entry point as if it were one
of StepML's; what it says beside the common fields are the options of the class.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stepml.job.algorithms import ALGORITHMS
from stepml.job.errors import InvalidCodeError, InvalidJobError
from stepml.job.json_text import json_document
from stepml.job.models import MODELS
from stepml.job.own_code import CustomAlgorithm, CustomModel
from stepml.job.spec_base import SpecGroup, tag

if TYPE_CHECKING:
    from stepml.job.spec import JobSpec
    from stepml.packaging.user_code import PackedCode

STAND_IN = "s3://the-bucket-of-the-stack/code.zip"  # while a job is checked, before any request


class _Kind(NamedTuple):
    """A group of a job whose choice may be an entry point."""

    field: str  # "model"
    entry_points: str  # their group
    known: Mapping[str, type[SpecGroup]]  # StepML's own
    own: type[SpecGroup]
    facts: tuple[str, ...]  # fields that the class declares


_KINDS = (
    _Kind("model", "stepml.models", MODELS, CustomModel, ("learns", "convex", "smooth")),
    _Kind("algorithm", "stepml.algorithms", ALGORITHMS, CustomAlgorithm, ("lasting",)),
)


def with_own_code(text: str, path: Path | None, file: str = "") -> tuple[str, PackedCode | None]:
    """Return a job and the code to send with it; None: it needs none.

    Parameters
    ----------
    text : str
        The job's JSON.
    path : Path, optional
        The code: a directory, a .zip or a .py file.
    file : str
        The file of the job, for messages.

    Returns
    -------
    text : str
        With `STAND_IN` as the place of the code, and with classes in the place of the names of
        entry points.
    code : PackedCode or None

    Raises
    ------
    InvalidJobError
        The text is no JSON, or the code has no effect.
    InvalidCodeError
        The code cannot be packed, or an installed package cannot be imported.
    """
    from stepml.packaging.user_code import packed_code, packed_modules

    document = json_document(text, file)
    if not isinstance(document, dict):
        return text, None
    found = [(kind, point) for kind in _KINDS if (point := _entry_point(document, kind))]
    if not found and path is None:
        return text, None
    if found and path is not None:
        name = found[0][1].name
        raise InvalidJobError(
            f"code: {name!r} is in an installed package, whose code is sent; expected none beside "
            f"it, got {str(path)!r}"
        )
    for kind, point in found:
        document = document | {kind.field: _translated(document[kind.field], kind, point)}
    if not any(_names_class(document.get(kind.field)) for kind in _KINDS):
        raise InvalidJobError(
            "code: has no effect without model.entry_point or algorithm.entry_point in the job; "
            f"got {str(path)!r}"
        )
    packed = (
        packed_modules(_modules(point for _, point in found)) if path is None else packed_code(path)
    )
    return at_place(json.dumps(document), STAND_IN), packed


def at_place(text: str, uri: str) -> str:
    """Return a job, a JSON text, with its code at ``uri``."""
    return json.dumps(json.loads(text) | {"code": uri})


def require_entry_points(code: PackedCode, spec: JobSpec) -> None:
    """Raise `InvalidCodeError` if the code lacks the module of the job's model or algorithm."""
    for field in spec.code_fields:
        group = getattr(spec, field.partition(".")[0])
        code.require_module(group.entry_point, field)


def _entry_point(document: dict[str, Any], kind: _Kind) -> EntryPoint | None:
    """Return the entry point that a group names, unless StepML has such a name itself."""
    group = document.get(kind.field)
    name = group.get("name") if isinstance(group, dict) else None
    if not isinstance(name, str) or name in kind.known:
        return None
    return next(iter(entry_points(group=kind.entry_points, name=name)), None)


def _translated(group: dict[str, Any], kind: _Kind, point: EntryPoint) -> dict[str, Any]:
    """Return the group with the class of the entry point, its facts and options."""
    from stepml.ml.own.loading import unfit_options

    try:
        found = point.load()
    except Exception as error:
        raise InvalidCodeError(
            f"{kind.field}.name: {point.name!r} is {point.value!r} of an installed package, which "
            f"cannot be imported: {type(error).__name__}: {error}"
        ) from error
    fields = set(kind.own.__struct_fields__) - {"entry_point"}
    own = {name: value for name, value in group.items() if name in fields}
    options = {name: value for name, value in group.items() if name not in {*fields, "name"}}
    given = own.get("options", {})
    if isinstance(given, dict):  # otherwise the job is refused
        given = given | options
        if (problem := unfit_options(found, given)) is not None:
            raise InvalidCodeError(f"{kind.field}: {point.name!r} is {point.value}: {problem}")
    declared = {name: getattr(found, name, None) for name in kind.facts}
    # Others, such as properties, only an object knows.
    facts = {name: fact for name, fact in declared.items() if isinstance(fact, bool | str)}
    chosen = {"name": tag(kind.own), "entry_point": f"{point.module}:{point.attr}"}
    return {**facts, **own, **chosen, "options": given}


def _names_class(group: object) -> bool:
    return isinstance(group, dict) and "entry_point" in group


def _modules(points: Iterable[EntryPoint]) -> set[str]:
    return {point.module.partition(".")[0] for point in points}
