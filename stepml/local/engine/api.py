"""Answers and refusals of Step Functions' API for executions."""

from __future__ import annotations

import threading
import uuid
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import InvalidToken
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from stepml.local.caches import Caches
from stepml.local.engine.history import history_events
from stepml.local.engine.payloads import require_input
from stepml.local.engine.programs import parsed_program
from stepml.local.engine.redrive import redrive_counts, redrive_description
from stepml.local.engine.servers import require_server
from stepml.local.seams import Seams

seams = Seams()

_start_execution: Any = StepFunctionsParserBackend.start_execution
_describe_execution = StepFunctionResponse.describe_execution
_list_executions = StepFunctionResponse.list_executions
# Makes the comparison of a name with earlier executions, and the start, atomic.
_starting = threading.Lock()

HISTORY_PAGE_EVENTS = 1000  # GetExecutionHistory: "a maximum page size of 1000"


@seams.replaces(
    StepFunctionsParserBackend,
    "_validate_definition",
    kind=staticmethod,
    why="raises an error without a name, with every token of the grammar in its message",
)
def validate_definition(definition: str) -> None:
    try:
        parsed_program(definition)
    except Exception as error:
        # Without the list of expected tokens, which has 5,000 characters.
        what = f"{type(error).__name__}: {error}".partition(" expecting ")[0]
        raise JsonRESTError(
            "InvalidDefinition", f"Invalid State Machine Definition: '{what}'"
        ) from error


def start_seams(caches: Caches) -> Seams:
    """Return the seam that starts an execution and, before it, the server of its channel."""
    starting = Seams()

    @starting.replaces(
        StepFunctionsParserBackend,
        "start_execution",
        why="accepts any name, calls one without a name 'None', and has no error code for other "
        "input",
    )
    def start_execution(
        self: Any,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str | None = None,
        trace_header: Any = None,
    ) -> Any:
        name = str(uuid.uuid4()) if name is None else name
        self._validate_name(name)
        require_input("{}" if execution_input is None else execution_input)
        require_server(caches, execution_input)
        with _starting:
            return _start_execution(self, state_machine_arn, name, execution_input, trace_header)

    return starting


@seams.replaces(StepFunctionResponse, "stop_execution", why="drops the request's error and cause")
def stop_execution(self: Any) -> ActionResult:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    execution.stop(None, self._get_param("error"), self._get_param("cause"))
    return ActionResult({"stopDate": execution.stop_date})


@seams.replaces(
    StepFunctionResponse,
    "describe_execution",
    why="omits stopDate of TIMED_OUT executions, redrives, and the quotes of a string as output",
)
def describe_execution(self: Any) -> ActionResult:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    with execution.ending:  # a redrive may change it meanwhile
        described: Any = _describe_execution(self).result
        if "outputDetails" in described:
            described["output"] = to_json_str(execution.output, separators=(",", ":"))
        redrives = redrive_description(execution)
        return ActionResult({**described, **_stop_date(execution), **redrives})


@seams.replaces(
    StepFunctionResponse,
    "list_executions",
    why="omits stopDate of TIMED_OUT executions, and redrives, and cannot filter by them",
)
def list_executions(self: Any) -> ActionResult:
    listed: Any = _list_executions(self).result
    machine = self.stepfunction_backend.describe_state_machine(self._get_param("stateMachineArn"))
    executions = {execution.execution_arn: execution for execution in machine.executions}
    for item in listed["executions"]:
        execution = executions[item["executionArn"]]
        item.update(_stop_date(execution), **redrive_counts(execution))
    wanted = self._get_param("redriveFilter")
    if wanted is not None:
        listed["executions"] = [
            item
            for item in listed["executions"]
            if (item["redriveCount"] > 0) == (wanted == "REDRIVEN")
        ]
    return ActionResult(listed)


def _stop_date(execution: Any) -> dict[str, Any]:
    return {} if execution.stop_date is None else {"stopDate": execution.stop_date}


@seams.replaces(
    StepFunctionResponse,
    "get_execution_history",
    why="ignores reverseOrder, maxResults and nextToken, and copies the history each time",
)
def get_execution_history(self: Any) -> ActionResult:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    events = history_events(execution)
    if self._get_bool_param("reverseOrder", False):
        events = events[::-1]
    first = _offset(self._get_param("nextToken"))
    size = min(self._get_int_param("maxResults") or HISTORY_PAGE_EVENTS, HISTORY_PAGE_EVENTS)
    page: dict[str, Any] = {"events": events[first : first + size]}
    if first + size < len(events):
        page["nextToken"] = str(first + size)
    return ActionResult(page)


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdecimal():
        raise InvalidToken(f"'{token}'")
    return int(token)
