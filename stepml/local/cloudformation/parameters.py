"""Parameters of stacks: values that a template does not allow are refused before any change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.parsing import ResourceMap

from stepml.local.seams import Seams

seams = Seams()

_load_parameters = ResourceMap.load_parameters


@seams.replaces(ResourceMap, "load_parameters", why="does not compare values with what is allowed")
def load_parameters(self: Any) -> None:
    slots = self._template.get("Parameters", {})
    require_allowed(slots, self.input_parameters)
    _load_parameters(self)


def require_allowed(slots: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raise ValidationError if one of ``values`` is not among those that its slot allows."""
    for name, value in values.items():
        for constraint in _violated(slots.get(name, {}), str(value)):
            meant = slots[name].get("ConstraintDescription")
            problem = f"failed to satisfy constraint: {meant}" if meant else f"must {constraint}"
            raise ValidationError(message=f"Parameter '{name}' {problem}")


def _violated(slot: Mapping[str, Any], value: str) -> Iterator[str]:
    allowed = [str(each) for each in slot.get("AllowedValues", [])]
    if allowed and value not in allowed:
        yield f"be one of AllowedValues {', '.join(allowed)}"
    pattern = slot.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        yield f"match pattern {pattern}"
    if slot.get("Type") == "Number":
        yield from _violated_numbers(slot, value)


def _violated_numbers(slot: Mapping[str, Any], value: str) -> Iterator[str]:
    try:
        number = float(value)
    except ValueError:
        yield "be a number"
        return
    if number < float(slot.get("MinValue", "-inf")):
        yield f"be a number not less than {slot['MinValue']}"
    if number > float(slot.get("MaxValue", "inf")):
        yield f"be a number not greater than {slot['MaxValue']}"
