"""JSONPath, intrinsic functions and payload templates in the fields of a state."""

from __future__ import annotations

import re
from typing import Any

from stepml.local.engine.language.diagnostics import (
    NO_DOLLAR,
    WARNING,
    Diagnostic,
    Diagnostics,
    wrong,
)
from stepml.local.engine.paths import is_definite, is_path

# These may be null, which means no data.
NULLABLE = frozenset({"InputPath", "OutputPath", "ResultPath"})
REFERENCES = frozenset({"ResultPath"})
TEMPLATES = ("Parameters", "ResultSelector", "ItemSelector", "Assign")
OPERANDS = ("And", "Or")
CONDITION = re.compile(
    r"((String|Numeric|Timestamp)(Equals|(Less|Greater)Than(Equals)?)|BooleanEquals)(Path)?|"
    r"StringMatches|Is(Null|Present|Numeric|String|Boolean|Timestamp)"
)
INTRINSIC = re.compile(
    r"States\.(Array(Partition|Contains|Range|GetItem|Length|Unique)?|Base64(En|De)code|Hash|"
    r"Json(Merge|ToString)|StringToJson|Math(Random|Add)|StringSplit|UUID|Format)\(.*\)",
    re.DOTALL,
)


def check_paths(state: dict[str, Any], location: str) -> Diagnostics:
    """Yield the problems of the paths in ``state``, also in the rules of a Choice."""
    for field, value in state.items():
        if field.endswith("Path"):
            yield from _check_path(field, value, f"{location}/{field}")
    rules = state.get("Choices")
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        yield from _check_rule(rule, f"{location}/Choices[{index}]", is_outer=True)


def check_templates(state: dict[str, Any], location: str) -> Diagnostics:
    """Yield the problems of the payload templates in ``state``."""
    for field in TEMPLATES:
        if field in state:
            yield from _check_template(state[field], f"{location}/{field}")


def _check_path(field: str, value: Any, location: str) -> Diagnostics:
    if value is None and field in NULLABLE:
        return
    if isinstance(value, str) and INTRINSIC.fullmatch(value) and field not in NULLABLE:
        return
    if not isinstance(value, str) or not is_path(value):
        yield wrong("The value must be a valid JSONPath", location)
    elif field in REFERENCES and (not is_definite(value) or value.startswith("$$")):
        yield wrong("The value must be a reference path, to a single place", location)


def _check_rule(rule: Any, location: str, *, is_outer: bool) -> Diagnostics:
    if not isinstance(rule, dict):
        yield wrong("expected an object", location)
        return
    if is_outer and "Next" not in rule:
        yield wrong("'Next' is missing", location)
    for operand in OPERANDS:
        if operand in rule:
            rules = rule[operand]
            if not isinstance(rules, list) or not rules:
                yield wrong("expected at least one item", f"{location}/{operand}")
                return
            for index, each in enumerate(rules):
                yield from _check_rule(each, f"{location}/{operand}[{index}]", is_outer=False)
            return
    if "Not" in rule:
        yield from _check_rule(rule["Not"], f"{location}/Not", is_outer=False)
        return
    yield from _check_comparison(rule, location)


def _check_comparison(rule: dict[str, Any], location: str) -> Diagnostics:
    if "Variable" not in rule:
        yield wrong("'Variable' is missing", location)
    else:
        yield from _check_path("Variable", rule["Variable"], f"{location}/Variable")
    operators = [field for field in rule if CONDITION.fullmatch(field)]
    if len(operators) != 1:
        yield wrong("expected exactly one comparison", location)
    for field in operators:
        if field.endswith("Path"):
            yield from _check_path(field, rule[field], f"{location}/{field}")
    for field in rule.keys() - {"Variable", "Next", "Comment", "Assign", "Output", *operators}:
        yield wrong(f"Field '{field}' is not supported", f"{location}/{field}")


def _check_template(value: Any, location: str) -> Diagnostics:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check_template(item, f"{location}[{index}]")
    elif isinstance(value, dict):
        for field, item in value.items():
            yield from _check_field(field, item, f"{location}/{field}")


def _check_field(field: str, value: Any, location: str) -> Diagnostics:
    if not field.endswith(".$"):
        if isinstance(value, str) and value.startswith(("$.", "$$.")) and is_path(value):
            yield Diagnostic(
                NO_DOLLAR,
                f"'{value}' looks like a path; only fields that end with .$ are evaluated",
                location,
                WARNING,
            )
        yield from _check_template(value, location)
    elif not isinstance(value, str) or not (is_path(value) or INTRINSIC.fullmatch(value)):
        yield wrong(
            f"The value for the field '{field}' must be a valid JSONPath or a valid intrinsic "
            "function call",
            location,
        )
