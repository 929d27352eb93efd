"""Jobs in YAML, with the scalars of YAML 1.2's core schema.

So ``no`` is text, ``1e-3`` a number and ``012`` twelve, other than in YAML 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import yaml

from stepml.client.text_mistakes import TextMistakeError

_CORE = "tag:yaml.org,2002:"
# Patterns of plain scalars, with the characters with which they begin.
_SCALARS: dict[str, tuple[str, Iterable[str]]] = {
    "null": (r"null|Null|NULL|~|", ("~", "n", "N", "")),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
}


_MOST_BRACKETS = 100  # within one another: no job has them
# Of the library's reasons, those that need plainer words.
_REASONS = {
    r"found character '\t'": "YAML is indented by blanks, not by tabs",
    "but found another document": "expected one document, there is another",
}


class _Loader(yaml.SafeLoader):
    """Reads mappings, lists and scalars; names of fields are text, each once."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (as the library has it)
    yaml_constructors: dict[str, Any] = {}  # noqa: RUF012

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # they can make a small text huge
            event = self.peek_event()
            raise _mistake(f"aliases are not supported, got *{event.anchor}", event)
        return super().compose_node(parent, index)

    def fetch_flow_collection_start(self, token: Any) -> None:
        if self.flow_level == _MOST_BRACKETS:  # the library looks at all of them for each token
            raise RecursionError
        super().fetch_flow_collection_start(token)

    def mapping(self, node: Any) -> dict[str, Any]:
        _require_kind(node, yaml.MappingNode)
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _mistake("expected the name of a field", key)
            name = _text(key.value)
            if name in found:
                raise _mistake(f"the field {name!r} is given twice", key)
            found[name] = self.construct_object(value, deep=True)
        return found

    def sequence(self, node: Any) -> list[Any]:
        _require_kind(node, yaml.SequenceNode)
        return [self.construct_object(each, deep=True) for each in node.value]

    def scalar(self, node: Any) -> Any:
        _require_kind(node, yaml.ScalarNode)
        kind = node.tag.rpartition(":")[2]
        try:
            return _VALUES[kind](node.value)
        except ValueError:
            raise _mistake(f"expected !!{kind}, got {node.value[:40]!r}", node) from None

    def refused(self, node: Any) -> None:
        raise _mistake(f"the type {node.tag.replace(_CORE, '!!')} is not supported", node)


def _mistake(reason: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=at.start_mark)


def _require_kind(node: Any, kind: type) -> None:
    if not isinstance(node, kind):
        raise _mistake(f"the value does not suit {node.tag.replace(_CORE, '!!')}", node)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _text(text: str) -> str:
    """Return ``text`` with characters for the pairs of surrogates with which JSON escapes them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_VALUES: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": _boolean,
    "int": _integer,
    "float": _float,
    "str": _text,
}

for _kind, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(f"{_CORE}{_kind}", re.compile(f"(?:{_pattern})$"), list(_first))
for _kind in _VALUES:
    _Loader.add_constructor(f"{_CORE}{_kind}", _Loader.scalar)
_Loader.add_constructor(f"{_CORE}map", _Loader.mapping)
_Loader.add_constructor(f"{_CORE}seq", _Loader.sequence)
_Loader.add_constructor(None, _Loader.refused)


def yaml_document(text: str) -> Any:
    """Return the value in ``text``.

    Raises
    ------
    TextMistakeError
    RecursionError
        Values are nested too deeply.
    """
    try:
        # The loader makes plain values alone.
        return yaml.load(text, Loader=_Loader)  # noqa: S506 # nosec B506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = _in_words(error.problem or error.context or "it cannot be read")
        place = (mark.line + 1, mark.column + 1) if mark else ()
        raise TextMistakeError(reason, *place) from None
    except yaml.YAMLError as error:
        raise TextMistakeError(str(error).splitlines()[0]) from None


def _in_words(reason: str) -> str:
    return next((words for begin, words in _REASONS.items() if reason.startswith(begin)), reason)
