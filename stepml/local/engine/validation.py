"""ValidateStateMachineDefinition, and the same checks at CreateStateMachine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from stepml.local.engine.language import diagnose, lacking
from stepml.local.seams import Seams

seams = Seams()

MAX_DIAGNOSTICS = 100


@seams.replaces(
    StepFunctionsParserBackend,
    "_validate_definition",
    kind=staticmethod,
    why="raises an error without a name, accepts targets that do not exist, and JSONata, which "
    "fails",
)
def validate_definition(definition: str) -> None:
    errors = [str(each) for each in diagnose(definition) if each.severity == "ERROR"]
    errors = errors or list(lacking(json.loads(definition)))
    if errors:
        raise JsonRESTError(
            "InvalidDefinition", f"Invalid State Machine Definition: '{', '.join(errors)}'"
        )


@seams.replaces(StepFunctionResponse, "validate_state_machine_definition", why="is missing")
def validate_state_machine_definition(self: Any) -> ActionResult:
    found = diagnose(self._get_param("definition"))
    is_valid = all(each.severity != "ERROR" for each in found)
    if self._get_param("severity") != "WARNING":
        found = [each for each in found if each.severity == "ERROR"]
    size = self._get_int_param("maxResults") or MAX_DIAGNOSTICS
    return ActionResult(
        {
            "result": "OK" if is_valid else "FAIL",
            "diagnostics": [asdict(each) for each in found[:size]],
            "truncated": len(found) > size,
        }
    )
