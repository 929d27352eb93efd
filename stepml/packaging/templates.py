"""Reads templates of CloudFormation: JSON, or YAML with the short forms of its functions."""

from __future__ import annotations

import json
from typing import Any

import yaml

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_UNCHANGED = ("Ref", "Condition")  # of the functions, whose other names begin with Fn::

_load: Any = yaml.load
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """Reads what CloudFormation reads: dates are texts, and ``!Sub`` is a function."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in yaml's own loaders
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }


def _function(loader: Any, name: str, node: Any) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in _UNCHANGED else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)


def parse_template(text: str) -> Any:
    """Return the content of a template, with the long forms of CloudFormation's functions.

    Raises
    ------
    ValueError
        The text is neither JSON nor YAML.
    """
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return _load(text, Loader=_Loader)  # a safe loader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
