"""The reference of the Python package, made from its public names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any

from msgspec import Struct

from documentation.docstrings import markdown_of, summary_of
from documentation.markdown import code, table

HEAD = """# Every public name in Python

Made from the docstrings. [Use StepML from Python](../how_to/python.md) shows how they go together.

## What is stable

The names on this page are public, with their parameters and their errors. So are the fields of
[a job](job_fields.md), the options and exit codes of [commands](commands.md), the names of
[errors](errors.md), and the files of [a run](../results.md). Everything else, and every name that
begins with an underscore, may change in any version.

Versions follow [Semantic Versioning](https://semver.org/):

- A version 1.x.y only adds to these. Before 1.0, a change of the middle number (0.1 to 0.2) may
  also change or remove a name; the [changes](../changelog.md) then say what to write instead.
- A name that goes away first warns, with `DeprecationWarning` and the name that replaces it, for
  all versions with one middle number at least.
- New parameters are by keyword and have defaults. New fields may come to reports, records and
  lines of JSON: programs ignore those that they do not know.
- A trained model is readable by every later version.
"""

# Where public names are imported from; one that several modules have is described with the first.
PUBLIC = (
    "stepml",
    "stepml.client",
    "stepml.estimators",
    "stepml.tracking",
    "stepml.workflow",
)

_STARS: dict[Any, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


def python_page() -> str:
    """Return the page with every public name, its parameters and errors."""
    return "\n".join([HEAD, *_parts()])


def public_names(module: str) -> list[str]:
    """Return the names of a module that are described with it."""
    index = PUBLIC.index(module)
    earlier = {id(_member(each, name)) for each in PUBLIC[:index] for name in _all(each)}
    return [name for name in _all(module) if id(_member(module, name)) not in earlier]


def _parts() -> Iterator[str]:
    for module in PUBLIC:
        names = public_names(module)
        yield f"## {module}\n\n{markdown_of(import_module(module))}\n"
        yield table(
            ["name", ""],
            [[_entry(module, each), _about(module, each)] for each in names],
        )
        for name in names:
            yield from _described(name, _member(module, name))


def _all(module: str) -> list[str]:
    return list(import_module(module).__all__)


def _member(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def _entry(module: str, name: str) -> str:
    is_described = _has_docstring(_member(module, name))
    return f"[{code(name)}](#{name.lower()})" if is_described else code(name)


def _about(module: str, name: str) -> str:
    member = _member(module, name)
    return summary_of(member) if _has_docstring(member) else f"the value `{member!r}`"


def _has_docstring(member: Any) -> bool:
    return inspect.isclass(member) or inspect.isroutine(member) or isinstance(member, ModuleType)


def _described(name: str, member: Any) -> Iterator[str]:
    if not _has_docstring(member):
        return  # the table has its value
    yield f"### {name}\n\n{_signature(name, member)}{markdown_of(member)}\n"
    if inspect.isclass(member) and issubclass(member, Struct):
        yield "[Every field of a job](job_fields.md) has its limits and meaning.\n"
    elif inspect.isclass(member):
        rows = [list(each) for each in _attributes(member)]
        if rows:
            yield table(["attribute", ""], rows)
        for method, function in _methods(member):
            title = f"#### {name}.{method}\n\n"
            yield f"{title}{_signature(f'{name}.{method}', function)}{markdown_of(function)}\n"


def _signature(name: str, member: Any) -> str:
    if inspect.isclass(member) and issubclass(member, BaseException):
        return ""
    try:
        signature = inspect.signature(member)
    except (TypeError, ValueError):
        return ""
    if inspect.isclass(member) and issubclass(
        member, Struct
    ):  # whose annotations have the limits of each field
        signature = _without_annotations(signature)
    shown = [_parameter(each) for each in _with_marks(signature) if each not in ("self", "cls")]
    line = f"{name}({', '.join(shown)})"
    if len(line) > 90:
        line = f"{name}(\n    " + ",\n    ".join(shown) + ",\n)"
    returned = signature.return_annotation
    if not inspect.isclass(member) and returned is not inspect.Signature.empty:
        line += f" -> {_annotation(returned)}"
    return f"```python\n{line}\n```\n\n"


def _without_annotations(signature: inspect.Signature) -> inspect.Signature:
    nothing = inspect.Parameter.empty
    parameters = signature.parameters.values()
    return signature.replace(parameters=[each.replace(annotation=nothing) for each in parameters])


def _with_marks(signature: inspect.Signature) -> Iterator[inspect.Parameter | str]:
    marked = False
    for each in signature.parameters.values():
        if each.kind is inspect.Parameter.VAR_POSITIONAL:
            marked = True
        if each.kind is inspect.Parameter.KEYWORD_ONLY and not marked:
            marked = True
            yield "*"
        yield each.name if each.name in ("self", "cls") else each


def _parameter(each: inspect.Parameter | str) -> str:
    if isinstance(each, str):
        return each
    shown = _STARS.get(each.kind, "") + each.name
    if each.annotation is not inspect.Parameter.empty:
        shown += f": {_annotation(each.annotation)}"
    if each.default is not inspect.Parameter.empty:
        equals = "=" if each.annotation is inspect.Parameter.empty else " = "
        shown += f"{equals}{_default(each.default)}"
    return shown


def _annotation(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    return str(inspect.formatannotation(annotation))


def _default(value: Any) -> str:
    if made := getattr(value, "factory", None):  # of a job's group of fields
        return f"{made.__name__}()"
    # A default that is a function or an object shows its name, not its address.
    shown = repr(value)
    return getattr(value, "__name__", type(value).__name__) if shown.startswith("<") else shown


def _attributes(member: type) -> Iterator[tuple[str, str]]:
    for name, value in _public_members(member):
        is_computed = isinstance(value, property | cached_property)
        if is_computed and (about := summary_of(value)):
            yield code(name), about


def _methods(member: type) -> Iterator[tuple[str, Any]]:
    for name, _ in _public_members(member):
        # Of a method that only some estimators have, the method itself.
        function = inspect.unwrap(getattr(member, name))
        is_ours = str(getattr(function, "__module__", "")).startswith("stepml")
        if is_ours and inspect.isroutine(function):
            yield name, function


def _public_members(member: type) -> Iterator[tuple[str, Any]]:
    """Yield the members that StepML's own classes define, in their order, bases last."""
    seen: set[str] = set()
    for each in member.__mro__:
        if each.__module__.startswith("stepml"):
            for name, value in vars(each).items():
                if not name.startswith("_") and name not in seen:
                    seen.add(name)
                    yield name, value
