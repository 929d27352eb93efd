"""Attributes with a dot in their names, such as ``${Redis.PrimaryEndPoint.Address}``."""

from __future__ import annotations

import re
from typing import Any

_NESTED = re.compile(r"\$\{(\w+)\.(\w+\.[\w.]+)\}")


def with_nested_attributes(template: Any) -> Any:
    """Return a template in which Fn::Sub names no attribute with a dot, which moto cuts off."""
    if isinstance(template, list):
        return [with_nested_attributes(each) for each in template]
    if not isinstance(template, dict):
        return template
    text = template.get("Fn::Sub")
    if isinstance(text, str) and _NESTED.search(text):
        return {"Fn::Sub": _named(text)}
    return {name: with_nested_attributes(each) for name, each in template.items()}


def _named(text: str) -> list[Any]:
    """Return the arguments of Fn::Sub, with a name for each such attribute."""
    names: dict[str, Any] = {}

    def name(found: re.Match[str]) -> str:
        made = f"{found[1]}{found[2].replace('.', '')}"
        names[made] = {"Fn::GetAtt": [found[1], found[2]]}
        return f"${{{made}}}"

    return [_NESTED.sub(name, text), names]
