"""Task states that fail, as Step Functions records and matches them."""

from __future__ import annotations

from typing import Any

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import (
    CustomErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
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

TASK_FAILED = StatesErrorNameType.StatesTaskFailed.to_name()


def task_failure(task: Any, env: Any, error: str, cause: str) -> FailureEventException:
    """Return the exception that ends one attempt of ``task``.

    Parameters
    ----------
    task : StateTaskService
    env : Environment
        The environment of the task.
    error : str
        The name that ``Retry`` and ``Catch`` match.
    cause : str
    """
    details: Any = {
        "taskFailedEventDetails": {
            "error": error,
            "cause": cause,
            "resource": task._get_sfn_resource(),
            "resourceType": task._get_sfn_resource_type(),
        }
    }
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=_name(error),
            event_type=HistoryEventType.TaskFailed,
            event_details=details,
        )
    )


def _name(error: str) -> ErrorName:
    if error == TASK_FAILED:
        # "States.TaskFailed" in a Retry matches any error but those of the States kind.
        return StatesErrorName(typ=StatesErrorNameType.StatesTaskFailed)
    return CustomErrorName(error)
