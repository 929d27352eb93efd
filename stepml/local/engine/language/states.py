"""One state: the fields of its type, and their values."""

from __future__ import annotations

from typing import Any

from stepml.local.engine.language.diagnostics import Diagnostics, wrong
from stepml.local.engine.language.errors import check_handlers
from stepml.local.engine.language.values import check_paths, check_templates

NAME_CHARACTERS = 80
MAX_SECONDS = 99_999_999

_ANY = frozenset({"Type", "Comment", "QueryLanguage"})
_MOVES = frozenset({"Next", "End", "Assign", "Output"})
_FILTERS = frozenset({"InputPath", "OutputPath"})
_RESULTS = frozenset({"Parameters", "ResultSelector", "ResultPath", "Arguments", "Retry", "Catch"})

FIELDS = {
    "Task": _ANY | _MOVES | _FILTERS | _RESULTS
    | {
        "Resource",
        "Credentials",
        "TimeoutSeconds",
        "TimeoutSecondsPath",
        "HeartbeatSeconds",
        "HeartbeatSecondsPath",
    },
    "Pass": _ANY | _MOVES | _FILTERS | {"Parameters", "Result", "ResultPath"},
    "Choice": _ANY | _FILTERS | {"Choices", "Default", "Assign", "Output"},
    "Wait": _ANY | _MOVES | _FILTERS
    | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
    "Succeed": _ANY | _FILTERS | {"Output"},
    "Fail": _ANY | {"Error", "ErrorPath", "Cause", "CausePath"},
    "Parallel": _ANY | _MOVES | _FILTERS | _RESULTS | {"Branches"},
    "Map": _ANY | _MOVES | _FILTERS | _RESULTS
    | {
        "ItemProcessor",
        "Iterator",
        "Items",
        "ItemsPath",
        "ItemSelector",
        "ItemBatcher",
        "ItemReader",
        "ResultWriter",
        "Label",
        "MaxConcurrency",
        "MaxConcurrencyPath",
        "ToleratedFailureCount",
        "ToleratedFailureCountPath",
        "ToleratedFailurePercentage",
        "ToleratedFailurePercentagePath",
    },
}  # fmt: skip
# Of each group, a state of the type has exactly one field.
REQUIRED: dict[str, list[tuple[str, ...]]] = {
    "Task": [("Resource",), ("Next", "End")],
    "Pass": [("Next", "End")],
    "Choice": [("Choices",)],
    "Wait": [("Seconds", "SecondsPath", "Timestamp", "TimestampPath"), ("Next", "End")],
    "Succeed": [],
    "Fail": [],
    "Parallel": [("Branches",), ("Next", "End")],
    "Map": [("ItemProcessor", "Iterator"), ("Next", "End")],
}
# Of each group, a state has at most one field.
EXCLUSIVE = [
    ("Error", "ErrorPath"),
    ("Cause", "CausePath"),
    ("TimeoutSeconds", "TimeoutSecondsPath"),
    ("HeartbeatSeconds", "HeartbeatSecondsPath"),
    ("MaxConcurrency", "MaxConcurrencyPath"),
    ("ToleratedFailureCount", "ToleratedFailureCountPath"),
    ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath"),
]
KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "Resource": (str, "a string"),
    "Comment": (str, "a string"),
    "Next": (str, "the name of a state"),
    "Default": (str, "the name of a state"),
    "Error": (str, "a string"),
    "Cause": (str, "a string"),
    "End": (bool, "true or false"),
    "Choices": (list, "a list"),
    "Branches": (list, "a list"),
    "Retry": (list, "a list"),
    "Catch": (list, "a list"),
    "Timestamp": (str, "a string"),
}
LEAST = {
    "TimeoutSeconds": 1,
    "HeartbeatSeconds": 1,
    "Seconds": 0,
    "MaxConcurrency": 0,
    "ToleratedFailureCount": 0,
}


def check_state(state: Any, location: str, language: str) -> Diagnostics:
    """Yield the problems of ``state`` itself; ``language`` is the machine's query language."""
    if not isinstance(state, dict):
        yield wrong("expected an object", location)
        return
    kind = state.get("Type")
    if not isinstance(kind, str) or kind not in FIELDS:
        yield wrong(f"'Type' must be one of {', '.join(FIELDS)}", f"{location}/Type")
        return
    for field in state.keys() - FIELDS[kind]:
        yield wrong(f"Field '{field}' is not supported", f"{location}/{field}")
    yield from _check_groups(state, kind, location)
    is_jsonata = state.get("QueryLanguage", language) == "JSONata"
    for field, value in state.items():
        yield from _check_value(field, value, f"{location}/{field}", is_jsonata=is_jsonata)
    yield from check_handlers(state, location)
    if not is_jsonata:
        yield from check_paths(state, location)
        yield from check_templates(state, location)


def _check_groups(state: dict[str, Any], kind: str, location: str) -> Diagnostics:
    for group in REQUIRED[kind]:
        given = [field for field in group if field in state]
        if not given:
            yield wrong(f"{_either(group)} is missing", location)
    for group in (*REQUIRED[kind], *EXCLUSIVE):
        given = [field for field in group if field in state]
        if len(given) > 1:
            yield wrong(f"only one of {_either(tuple(given))} is allowed", location)
    if state.get("End") is False and "Next" not in state:
        yield wrong("'End' must be true", f"{location}/End")


def _either(fields: tuple[str, ...]) -> str:
    return " or ".join(f"'{field}'" for field in fields)


def _check_value(field: str, value: Any, location: str, *, is_jsonata: bool) -> Diagnostics:
    if is_jsonata and isinstance(value, str) and value.startswith("{%"):
        return
    if field in KINDS and not isinstance(value, KINDS[field][0]):
        yield wrong(f"expected {KINDS[field][1]}", location)
    elif field in ("Choices", "Branches") and not value:
        yield wrong("expected at least one item", location)
    elif field == "Resource" and not value.startswith("arn:"):
        yield wrong("expected an ARN", location)
    elif field in LEAST and not _is_whole(value, LEAST[field]):
        yield wrong(
            f"expected a whole number of at least {LEAST[field]} and at most {MAX_SECONDS}",
            location,
        )


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and least <= value <= MAX_SECONDS
