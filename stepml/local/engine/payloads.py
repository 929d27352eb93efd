"""Limits of the data of executions: 262,144 bytes, and shorter errors and causes."""

from __future__ import annotations

import json
from typing import Any

from moto.stepfunctions.exceptions import InvalidExecutionInput
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import (
    ErrorEqualsDecl,
)
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import (
    StatesErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_lambda
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service,
)
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str

from stepml.local.seams import Seams
from stepml.local.strict_json import DataError, strict_json

seams = Seams()

# Step Functions: "256 KiB of data as a UTF-8 encoded string" for a task, state, or execution.
MAX_DATA_BYTES = 262_144
CAUSE_CHARACTERS = 32_768
ERROR_CHARACTERS = 256

# States.ALL does not match them.
NAMED_ONLY = frozenset({"States.DataLimitExceeded", "States.Runtime"})

_init_failure = FailureEvent.__init__
_execution_failed = FailureEventException.get_execution_failed_event_details
_match_error = ErrorEqualsDecl._eval_body
_schedule = state_task_service.StateTaskService._before_eval_execution


def require_input(text: str) -> None:
    """Check the input of an execution.

    Raises
    ------
    InvalidExecutionInput
        It is too large, or not JSON.
    """
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_DATA_BYTES:
        raise InvalidExecutionInput(
            f"The input has {size} bytes; the maximum is {MAX_DATA_BYTES} bytes"
        )
    try:
        strict_json(text)
    except DataError as error:
        raise InvalidExecutionInput(f"Invalid State Machine Execution Input: '{error}'") from error


_WHY_SIZE = "counts blanks that are not sent, and refuses data of exactly the maximum"


@seams.replaces(state, "is_within_size_quota", why=_WHY_SIZE)
@seams.replaces(state_task_lambda, "is_within_size_quota", why=_WHY_SIZE)
@seams.replaces(state_task_service, "is_within_size_quota", why=_WHY_SIZE)
def is_within_limit(value: Any) -> bool:
    """Return whether ``value``, as JSON or a text, may pass between states."""
    text = value if isinstance(value, str) else to_json_str(value, separators=(",", ":"))
    if len(text) > MAX_DATA_BYTES and not isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return len(text.encode(errors="surrogatepass")) <= MAX_DATA_BYTES


@seams.replaces(
    state_task_service.StateTaskService,
    "_before_eval_execution",
    why="schedules a Task whose parameters are too large",
)
def schedule_task(self: Any, env: Any, *args: Any, **kwargs: Any) -> None:
    if not is_within_limit(kwargs["raw_parameters"]):
        raise _data_limit_exceeded(self, env)
    _schedule(self, env, *args, **kwargs)


def _data_limit_exceeded(task: Any, env: Any) -> FailureEventException:
    limit = StatesErrorNameType.StatesStatesDataLimitExceeded
    resource_type = task._get_sfn_resource_type()
    details: Any = {
        "taskFailedEventDetails": {
            "error": limit.to_name(),
            "cause": f"The state/task '{resource_type}' has parameters with a size exceeding the "
            "maximum number of bytes service limit.",
            "resource": task._get_sfn_resource(),
            "resourceType": resource_type,
        }
    }
    return FailureEventException(
        FailureEvent(env, StatesErrorName(typ=limit), HistoryEventType.TaskFailed, details)
    )


@seams.replaces(
    ErrorEqualsDecl,
    "_eval_body",
    why="lets States.ALL match errors that only their own names match on AWS",
)
def match_error(self: Any, env: Any) -> None:
    is_terminal = getattr(env.stack[-1], "error_name", None) in NAMED_ONLY
    if is_terminal and ErrorEqualsDecl._STATE_ALL_ERROR in self.error_names:
        env.stack[-1] = False
        return
    _match_error(self, env)


@seams.replaces(FailureEvent, "__init__", why="has causes of any length")
def initialise_failure(self: Any, *args: Any, **kwargs: Any) -> None:
    _init_failure(self, *args, **kwargs)
    for details in (self.event_details or {}).values():
        cut(details)


@seams.replaces(
    FailureEventException,
    "get_execution_failed_event_details",
    why="has causes of any length, as it puts the state's name before them",
)
def execution_failed(self: Any) -> Any:
    details: Any = _execution_failed(self)
    return None if details is None else cut(details)


def cut(details: dict[str, Any]) -> dict[str, Any]:
    """Shorten the error and the cause in ``details``, in place, to Step Functions' maxima."""
    for field, maximum in (("error", ERROR_CHARACTERS), ("cause", CAUSE_CHARACTERS)):
        if isinstance(details.get(field), str):
            details[field] = details[field][:maximum]
    return details
