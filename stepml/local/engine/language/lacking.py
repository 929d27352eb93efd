"""Parts of Amazon States Language that are valid, but that the local AWS cannot run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_JSONATA = "the local AWS has no JSONata: use JSONPath"
_VARIABLES = "the local AWS has no variables: pass values in the data"


def lacking(machine: dict[str, Any], location: str = "") -> Iterator[str]:
    """Yield the parts of a valid ``machine`` that cannot run here, each with its place."""
    if machine.get("QueryLanguage") == "JSONata":
        yield f"{_JSONATA} at {location}/QueryLanguage"
        return
    for name, state in machine["States"].items():
        yield from _lacking_in_state(state, f"{location}/States/{name}")


def _lacking_in_state(state: dict[str, Any], location: str) -> Iterator[str]:
    if state.get("QueryLanguage") == "JSONata":
        yield f"{_JSONATA} at {location}/QueryLanguage"
    rules = {
        f"/{field}[{index}]": rule
        for field in ("Catch", "Choices")
        for index, rule in enumerate(state.get(field, []))
    }
    for place, part in {"": state, **rules}.items():
        if "Assign" in part:
            yield f"{_VARIABLES} at {location}{place}/Assign"
    for index, branch in enumerate(state.get("Branches", [])):
        yield from lacking(branch, f"{location}/Branches[{index}]")
    for field in ("ItemProcessor", "Iterator"):
        if field in state:
            yield from lacking(state[field], f"{location}/{field}")
