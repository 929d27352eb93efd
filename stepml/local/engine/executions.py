"""The life of an execution: start, stop, end; every one of them reaches a final status."""

from __future__ import annotations

import datetime
import threading
from typing import Any

from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.utils import TMP_THREADS

from stepml.local.seams import Seams

seams = Seams()

_init = Execution.__init__
_environment_of_worker = ExecutionWorker._get_evaluation_environment
_reflect_execution_status: Any = BaseExecutionWorkerCommunication._reflect_execution_status


@seams.replaces(Execution, "__init__", why="has nothing to wait for: who waits must poll")
def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **kwargs)
    self.ended = threading.Event()
    self.ending = threading.Lock()


@seams.replaces(
    ExecutionWorker,
    "_get_evaluation_environment",
    why="has no Execution.RedriveCount, and a StartTime that is not JSON",
)
def environment_with_context(self: Any) -> Any:
    env: Any = _environment_of_worker(self)
    execution = env.states.context_object.context_object_data["Execution"]
    execution["RedriveCount"] = 0
    execution["StartTime"] = _timestamp(execution["StartTime"])
    return env


@seams.replaces(
    ExecutionWorker,
    "start",
    why="an exception before the program runs leaves the execution RUNNING, without an environment",
)
def start_worker(self: Any) -> None:
    # Threads of ended executions; moto only ever appends to this list.
    TMP_THREADS.clear()
    execution = self._execution_communication.execution
    try:
        program = self._get_evaluation_entrypoint()
        env = self._get_evaluation_environment()
        with execution.ending:
            if execution.exec_status != ExecutionStatus.RUNNING:
                return  # stopped meanwhile, by its name
            self.env = env
            _write_started(self)
    except Exception as error:
        fail(execution, error)
        return
    threading.Thread(target=_run, args=(execution, program), daemon=True).start()


def _run(execution: Any, program: Any) -> None:
    worker = execution.exec_worker
    try:
        program.eval(worker.env)
        worker._execution_communication.terminated()
    except Exception as error:
        fail(execution, error)


def _write_started(worker: Any) -> None:
    details = worker._evaluation_details
    worker.env.event_manager.add_event(
        context=worker.env.event_history_context,
        event_type=HistoryEventType.ExecutionStarted,
        event_details={
            "executionStartedEventDetails": {
                "input": to_json_str(details.execution_details.inpt),
                "inputDetails": {"truncated": False},
                "roleArn": details.aws_execution_details.role_arn,
            }
        },
        update_source_event_id=False,
    )


@seams.replaces(
    BaseExecutionWorkerCommunication,
    "terminated",
    why="overwrites the status of a stopped execution, wakes nobody, and gives TIMED_OUT no error",
)
def terminated(self: Any) -> None:
    execution = self.execution
    with execution.ending:
        if execution.exec_status != ExecutionStatus.RUNNING:
            return
        _reflect_execution_status(self)
        if execution.exec_status == ExecutionStatus.TIMED_OUT:
            execution.error = "States.Timeout"
    execution.ended.set()


def fail(execution: Any, error: Exception) -> None:
    """End ``execution`` as FAILED for an ``error`` inside the engine itself."""
    details = {"error": "States.Runtime", "cause": f"{type(error).__name__}({error})"}
    with execution.ending:
        if execution.exec_status != ExecutionStatus.RUNNING:
            return
        _end(execution, ExecutionStatus.FAILED, details["error"], details["cause"])
        _write_last_event(
            execution, HistoryEventType.ExecutionFailed, "executionFailedEventDetails", details
        )
        if execution.exec_worker.env is not None:
            execution.exec_worker.env.set_error(details)
    execution.ended.set()


@seams.replaces(
    Execution,
    "stop",
    why="drops error, cause and stopDate, and only ends once the running functions have returned",
)
def stop(self: Any, stop_date: Any, error: str | None, cause: str | None) -> None:
    with self.ending:
        if self.exec_status != ExecutionStatus.RUNNING:
            return
        _end(self, ExecutionStatus.ABORTED, error or None, cause or None)
        given = {name: value for name, value in (("error", error), ("cause", cause)) if value}
        env = self.exec_worker.env
        if env is not None:  # else nothing of it has run, and nothing will
            env.event_history_context.source_event_id = 0
            _write_last_event(
                self,
                HistoryEventType.ExecutionAborted,
                "executionAbortedEventDetails",
                given,
            )
            env.set_stop(stop_date=self.stop_date, cause=cause, error=error)
    self.ended.set()


def _end(execution: Any, status: ExecutionStatus, error: str | None, cause: str | None) -> None:
    execution.stop_date = datetime.datetime.now(tz=datetime.UTC)
    execution.error, execution.cause = error, cause
    execution.exec_status = status


def _write_last_event(
    execution: Any, event_type: HistoryEventType, field: str, details: dict[str, str]
) -> None:
    env = execution.exec_worker.env
    if env is not None:
        env.event_manager.add_event(
            context=env.event_history_context,
            event_type=event_type,
            event_details={field: details},
        )


def _timestamp(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
