"""Answers and refusals of Step Functions' API for executions."""

from __future__ import annotations

from operator import attrgetter, itemgetter
from typing import Any

from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import ResourceNotFound, ValidationException
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from stepml.local.engine.history import HistoryAnswer, history_events
from stepml.local.engine.pages import page
from stepml.local.engine.redrive import redrive_counts, redrive_description
from stepml.local.engine.starting import qualified_arns, resolve
from stepml.local.seams import Seams

seams = Seams()

_describe_execution = StepFunctionResponse.describe_execution

HISTORY_PAGE_EVENTS = 1000


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
        described.update(_stop_date(execution), **redrive_description(execution))
        return ActionResult({**described, **qualified_arns(execution)})


@seams.replaces(
    StepFunctionResponse,
    "list_executions",
    why="omits stopDate of TIMED_OUT executions, and redrives, cannot filter by them, by a version "
    "or an alias, and fails for a Map Run",
)
def list_executions(self: Any) -> ActionResult:
    arn, map_run, status, redriven = map(
        self._get_param, ("stateMachineArn", "mapRunArn", "statusFilter", "redriveFilter")
    )
    if (arn is None) == (map_run is None):
        raise ValidationException("Must provide a StateMachine ARN or MapRun ARN")
    if map_run is not None:
        self.stepfunction_backend.describe_map_run(map_run)
        raise ValidationException("the local AWS runs the items of a Map Run without executions")
    if status == "PENDING_REDRIVE":
        raise ValidationException("PENDING_REDRIVE needs mapRunArn instead of stateMachineArn")
    machine = resolve(self.stepfunction_backend, arn).machine

    def is_wanted(execution: Any) -> bool:
        return (
            (machine.arn == arn or arn in (execution.version_arn, execution.alias_arn))
            and status in (None, execution.exec_status.value)
            and redriven in (None, "REDRIVEN" if execution.redrive_count else "NOT_REDRIVEN")
        )

    answer = page(
        self,
        "executions",
        sorted(machine.executions, key=attrgetter("start_date"), reverse=True),
        key=attrgetter("exec_arn"),
        is_wanted=is_wanted,
    )
    answer["executions"] = [_item(execution) for execution in answer["executions"]]
    return ActionResult(answer)


@seams.replaces(
    StepFunctionsParserBackend,
    "describe_map_run",
    why="fails while an execution has not begun, and has no code for an unknown Map Run",
)
def describe_map_run(self: Any, map_run_arn: str) -> Any:
    return _map_run(self, map_run_arn).describe()


@seams.replaces(
    StepFunctionsParserBackend,
    "update_map_run",
    why="fails while an execution has not begun, and has no code for an unknown Map Run",
)
def update_map_run(self: Any, map_run_arn: str, max_concurrency: int, **tolerated: Any) -> None:
    _map_run(self, map_run_arn).update(max_concurrency=max_concurrency, **tolerated)


def _map_run(backend: Any, arn: str) -> Any:
    for execution in backend._get_executions():
        env = execution.exec_worker.env
        record = None if env is None else env.map_run_record_pool_manager.get(arn)
        if record is not None:
            return record
    raise ResourceNotFound(arn)


def _item(execution: Any) -> dict[str, Any]:
    return {
        "executionArn": execution.exec_arn,
        "name": execution.name,
        "startDate": execution.start_date,
        "stateMachineArn": execution.state_machine.arn,
        "status": execution.exec_status.value,
        **qualified_arns(execution),
        **_stop_date(execution),
        **redrive_counts(execution),
    }


def _stop_date(execution: Any) -> dict[str, Any]:
    return {} if execution.stop_date is None else {"stopDate": execution.stop_date}


@seams.replaces(
    StepFunctionResponse,
    "get_execution_history",
    why="ignores reverseOrder, maxResults and nextToken, and copies and serialises the history "
    "each time",
)
def get_execution_history(self: Any) -> HistoryAnswer:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    events = history_events(execution)
    if self._get_bool_param("reverseOrder", False):
        events = events[::-1]
    answer = page(self, "events", events, key=itemgetter("id"), default=HISTORY_PAGE_EVENTS)
    return HistoryAnswer(execution, answer)
