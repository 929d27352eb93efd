"""The life of an execution: start, stop and end, always with a final status."""

from __future__ import annotations

import datetime
import threading
from functools import partial
from typing import Any

from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.utils import TMP_THREADS

from stepml.local.engine.history import FULL
from stepml.local.engine.payloads import cut
from stepml.local.seams import Seams

seams = Seams()

_init = Execution.__init__
_environment_of_worker = ExecutionWorker._get_evaluation_environment
_reflect_execution_status: Any = BaseExecutionWorkerCommunication._reflect_execution_status


@seams.replaces(
    Execution,
    "__init__",
    why="has no event for its end, so that others must poll, and no redrives",
)
def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **kwargs)
    self.ended = threading.Event()  # of the present run; a redrive makes a new one
    self.ending = threading.Lock()  # held while the status or the worker changes
    self.redrive_count = 0
    self.redrive_date = None
    self.redrive_tokens = []


@seams.replaces(
    ExecutionWorker,
    "_get_evaluation_environment",
    why="has no Execution.RedriveCount and RedriveTime, and a StartTime that is not JSON",
)
def environment_with_context(self: Any) -> Any:
    env: Any = _environment_of_worker(self)
    execution = self._execution_communication.execution
    env.event_manager.arn = execution.exec_arn
    context = env.states.context_object.context_object_data["Execution"]
    context["RedriveCount"] = execution.redrive_count
    context["StartTime"] = timestamp(context["StartTime"])
    if execution.redrive_date is not None:
        context["RedriveTime"] = timestamp(execution.redrive_date)
    return env


@seams.replaces(
    ExecutionWorker,
    "start",
    why="leaves an execution RUNNING, without an environment, if an error precedes its program",
)
def start_worker(self: Any) -> None:
    # Threads of ended executions, which moto never removes.
    TMP_THREADS.clear()
    execution = self._execution_communication.execution
    try:
        program = self._get_evaluation_entrypoint()
        env = self._get_evaluation_environment()
        with execution.ending:
            if execution.exec_status != ExecutionStatus.RUNNING:
                return  # stopped meanwhile
            self.env = env
            enter(self, program.start_at.start_at_name)
            write_started(self)
            execution.announce()
    except Exception as error:
        fail(self, error)
        return
    run(self)


def enter(worker: Any, state: str) -> None:
    """Mark the environment of ``worker`` as running, so that it can be stopped."""
    worker.env.next_state_name = state
    worker.env.event_manager.when_full = partial(_end_full, worker)


def run(worker: Any) -> None:
    """Run the program of ``worker`` in a new thread."""
    threading.Thread(target=_run, args=(worker,), daemon=True).start()


def _run(worker: Any) -> None:
    try:
        worker._get_evaluation_entrypoint().eval(worker.env)
        worker._execution_communication.terminated()
    except Exception as error:
        fail(worker, error)


def write_started(worker: Any) -> None:
    """Write the first event of an execution."""
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
    why="overwrites the status of a stopped or redriven execution, does not signal the end, and "
    "has no error for TIMED_OUT",
)
def terminated(self: Any) -> None:
    execution = self.execution
    with execution.ending:
        if not _is_running(execution.exec_worker, self):
            return
        _reflect_execution_status(self)
        if execution.exec_status == ExecutionStatus.TIMED_OUT:
            execution.error = "States.Timeout"
        _announce_end(execution)


def _is_running(worker: Any, communication: Any) -> bool:
    """Return whether the run of ``communication`` is the present one and has not ended."""
    execution = communication.execution
    is_present = worker is not None and worker._execution_communication is communication
    return is_present and execution.exec_status == ExecutionStatus.RUNNING


def fail(worker: Any, error: Exception) -> None:
    """End the run of ``worker`` as FAILED because of an ``error`` in the engine itself."""
    details = cut({"error": "States.Runtime", "cause": f"{type(error).__name__}({error})"})
    execution = worker._execution_communication.execution
    with execution.ending:
        if not _is_running(execution.exec_worker, worker._execution_communication):
            return
        _end(execution, ExecutionStatus.FAILED, details["error"], details["cause"])
        _write_last_event(
            execution, HistoryEventType.ExecutionFailed, "executionFailedEventDetails", details
        )
        if worker.env is not None:
            worker.env.set_error(details)
        _announce_end(execution)


def _end_full(worker: Any) -> None:
    """End the run of ``worker``, whose history is full."""
    execution = worker._execution_communication.execution
    with execution.ending:
        if not _is_running(execution.exec_worker, worker._execution_communication):
            return
        _end(execution, ExecutionStatus.FAILED, FULL["error"], FULL["cause"])
        worker.env.set_error(FULL)
        _announce_end(execution)


@seams.replaces(
    Execution,
    "stop",
    why="drops error, cause and stopDate, and ends only when running functions have returned",
)
def stop(self: Any, stop_date: Any, error: str | None, cause: str | None) -> None:
    with self.ending:
        if self.exec_status != ExecutionStatus.RUNNING:
            return
        _end(self, ExecutionStatus.ABORTED, error or None, cause or None)
        given = {name: value for name, value in (("error", error), ("cause", cause)) if value}
        env = self.exec_worker.env
        if env is not None:  # otherwise nothing has run, and nothing will
            env.event_history_context.source_event_id = 0
            _write_last_event(
                self,
                HistoryEventType.ExecutionAborted,
                "executionAbortedEventDetails",
                given,
            )
            env.set_stop(stop_date=self.stop_date, cause=cause, error=error)
        _announce_end(self)


def _end(execution: Any, status: ExecutionStatus, error: str | None, cause: str | None) -> None:
    execution.stop_date = datetime.datetime.now(tz=datetime.UTC)
    execution.error, execution.cause = error, cause
    execution.exec_status = status


def _announce_end(execution: Any) -> None:
    execution.announce()
    execution.ended.set()


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


def timestamp(moment: datetime.datetime) -> str:
    """Return ``moment`` in the form of the context object and events."""
    return moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
