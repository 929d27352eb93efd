"""TestState: one state, tried alone."""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import ValidationException
from moto.stepfunctions.models import StateMachineInstance
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import (
    CustomErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.eval.program_state import ProgramError, ProgramTimedOut
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.test_state.execution import TestStateExecution
from moto.stepfunctions.responses import StepFunctionResponse

from stepml.local.engine.executions import timestamp
from stepml.local.engine.handlers import Handled, handle
from stepml.local.engine.payloads import require_input
from stepml.local.engine.validation import validate_definition
from stepml.local.seams import Seams

seams = Seams()

# Without a mock, AWS tries no state that runs others or waits for an answer.
MOCKED_TYPES = frozenset({"Task", "Map", "Parallel"})
WAITING = (".sync", ".sync:2", ".waitForTaskToken")
# Fields that work around a mock as around the machines of a Map or Parallel state.
AROUND_THE_WORK = frozenset(
    {"InputPath", "Parameters", "ResultSelector", "ResultPath", "OutputPath", "Next", "End"}
)
# Each stage of the data, with the one before it.
STAGES = {
    "afterInputPath": "input",
    "afterParameters": "afterInputPath",
    "afterResultSelector": "result",
    "afterResultPath": "afterResultSelector",
}
NOT_HERE = ("errorCausedByState", "mapIterationFailureCount", "mapItemReaderData")


@dataclass(frozen=True, slots=True)
class Trial:
    """A request of TestState, checked."""

    state: dict[str, Any]
    input: str  # JSON
    role_arn: str
    mock: dict[str, Any] | None  # {"result": …} or {"errorOutput": {"error": …, "cause": …}}
    context: dict[str, Any]  # replaces parts of the context object
    retries: int  # that have taken place

    @property
    def bare(self) -> dict[str, Any]:
        """The state without what a trial leaves out: Retry, Catch, and machines inside it."""
        if self.state["Type"] in ("Map", "Parallel"):
            kept = {name: self.state[name] for name in self.state.keys() & AROUND_THE_WORK}
            return {**kept, "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke"}
        return {name: self.state[name] for name in self.state.keys() - {"Retry", "Catch"}}


@seams.replaces(StepFunctionResponse, "test_state", why="is missing")
def test_state(self: Any) -> ActionResult:
    trial = _trial(self._get_param)
    env = _run(trial, self.current_account, self.region)
    answer = _answer(trial, env)
    if (self._get_param("inspectionLevel") or "INFO") != "INFO":
        answer["inspectionData"] = {**_stages(env), **answer.get("inspectionData", {})}
    else:
        answer.pop("inspectionData", None)
    return ActionResult(answer)


def _stages(env: Any) -> dict[str, Any]:
    """Return the data after each stage; one without a field of the state changes nothing."""
    data = dict(env.inspection_data)
    for stage, before in STAGES.items():
        if stage not in data and before in data:
            data[stage] = data[before]
    return data


def _trial(given: Any) -> Trial:
    state = _state(given("definition"), given("stateName"))
    mock, settings = given("mock"), given("stateConfiguration") or {}
    _require_mock(state, mock)
    if given("context") is not None and mock is None:
        raise ValidationException("'context' needs 'mock'")
    if given("variables") is not None or any(name in settings for name in NOT_HERE):
        raise ValidationException(
            f"the local AWS has no 'variables' and no stateConfiguration of {', '.join(NOT_HERE)}"
        )
    texts = {name: given(name) or "{}" for name in ("input", "context")}
    if mock is not None and "result" in mock:
        texts["mock.result"] = mock["result"]
    for text in texts.values():
        require_input(text)
    return Trial(
        state=state,
        input=texts["input"],
        role_arn=given("roleArn") or "",
        mock=mock,
        context=json.loads(texts["context"]),
        retries=int(settings.get("retrierRetryCount", 0)),
    )


def _state(definition: str, name: str | None) -> dict[str, Any]:
    """Return the state that ``definition`` is, or that it has under ``name``."""
    machine = definition if name else _machine_of(definition)
    validate_definition(machine)
    value: dict[str, Any] = json.loads(definition)
    return _find(value, name) if name else value


def _machine_of(definition: str) -> str:
    """Return a machine of the one state ``definition``, with an end for each transition."""
    try:
        state = json.loads(definition)
    except (ValueError, RecursionError):
        return definition
    targets = {name: {"Type": "Succeed"} for name in _targets(state)}
    return json.dumps({"StartAt": "TestState", "States": {**targets, "TestState": state}})


def _targets(value: Any) -> list[str]:
    """Return the names of states to which ``value``, a state or a part of it, goes."""
    if isinstance(value, list):
        return [name for item in value for name in _targets(item)]
    if not isinstance(value, dict):
        return []
    inner = _targets([value[field] for field in ("Choices", "Catch") if field in value])
    own = [value.get(field) for field in ("Next", "Default")]
    return inner + [name for name in own if isinstance(name, str)]


def _find(machine: dict[str, Any], name: str) -> dict[str, Any]:
    waiting = [machine]
    while waiting:
        states = waiting.pop()["States"]
        if name in states:
            return dict(states[name])
        for state in states.values():
            waiting += state.get("Branches", [])
            waiting += [state[each] for each in ("ItemProcessor", "Iterator") if each in state]
    raise ValidationException(f"the definition has no state '{name}'")


def _require_mock(state: dict[str, Any], mock: dict[str, Any] | None) -> None:
    kind, resource = state["Type"], state.get("Resource", "")
    if mock is not None:
        if kind not in MOCKED_TYPES:
            raise ValidationException(f"a state of type {kind} cannot have a mock")
        if ("result" in mock) == ("errorOutput" in mock):
            raise ValidationException("a mock has either 'result' or 'errorOutput'")
    elif kind in ("Map", "Parallel") or resource.endswith(WAITING) or ":activity:" in resource:
        raise ValidationException(
            f"a state of type {kind} {resource} can only be tested with a mock".replace("  ", " ")
        )


def _run(trial: Trial, account_id: str, region: str) -> Any:
    """Run the state and return the environment in which it has ended."""
    execution = _execution(trial, account_id, region)
    worker: Any = execution._get_start_execution_worker()
    program = worker._get_evaluation_entrypoint()
    env: Any = worker._get_evaluation_environment()
    context = env.states.context_object.context_object_data
    context["Execution"]["StartTime"] = timestamp(context["Execution"]["StartTime"])
    context["Execution"]["RedriveCount"] = 0
    context.update(trial.context)
    if trial.mock is not None:
        _replace_work(program.test_state, trial.mock)
    program.eval(env)
    return env


def _execution(trial: Trial, account_id: str, region: str) -> TestStateExecution:
    name = f"TestState-{uuid.uuid4()}"
    arn = f"arn:aws:states:{region}:{account_id}"
    machine: Any = StateMachineInstance(
        f"{arn}:stateMachine:{name}", name, json.dumps(trial.bare), trial.role_arn
    )
    return TestStateExecution(
        name=name,
        role_arn=trial.role_arn,
        exec_arn=f"{arn}:execution:{name}:{name}",
        account_id=account_id,
        region_name=region,
        state_machine=machine,
        start_date=datetime.datetime.now(tz=datetime.UTC),
        activity_store={},
        input_data=trial.input,  # type: ignore[arg-type]  # moto parses it
    )


def _replace_work(state: Any, mock: dict[str, Any]) -> None:
    """Let ``state`` return or raise the mock instead of calling anything."""

    def evaluate(env: Any) -> None:
        if hasattr(state, "_eval_parameters"):
            state._eval_parameters(env=env)
        if "result" in mock:
            env.inspection_data["result"] = mock["result"]
            env.stack.append(json.loads(mock["result"]))
            return
        error = mock["errorOutput"]
        details: Any = {
            "taskFailedEventDetails": {
                name: error[name] for name in ("error", "cause") if name in error
            }
        }
        raise FailureEventException(
            FailureEvent(
                env, CustomErrorName(error.get("error")), HistoryEventType.TaskFailed, details
            )
        )

    state._eval_execution = evaluate


def _answer(trial: Trial, env: Any) -> dict[str, Any]:
    ended = env.program_state()
    if isinstance(ended, ProgramTimedOut):
        return _failed(trial, "States.Timeout", "")
    if isinstance(ended, ProgramError):
        details: Any = ended.error or {}
        return _failed(trial, details.get("error", ""), details.get("cause", ""))
    answer = {"status": "SUCCEEDED", "output": to_json_str(env.states.get_input())}
    following = getattr(ended, "next_state_name", None) or trial.state.get("Next")
    return answer if following is None else {**answer, "nextState": following}


def _failed(trial: Trial, error: str, cause: str) -> dict[str, Any]:
    """Return the answer for a state that has failed, by its Retry and Catch."""
    handled: Handled = handle(trial.state, error, cause, json.loads(trial.input), trial.retries)
    answer: dict[str, Any] = {"status": handled.status, **handled.fields}
    answer.update({name: text for name, text in (("error", error), ("cause", cause)) if text})
    if handled.details:
        answer["inspectionData"] = {"errorDetails": handled.details}
    return answer
