"""Parsed state machines, which are parsed once, run many times and always end.

A parsed program has no state of an execution (moto's `Environment` has that), so executions and
Map iterations share it.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name import custom_error_name
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

from stepml.local.seams import Seams

seams = Seams()


@lru_cache(maxsize=256)
def parsed_program(definition: str) -> Any:
    """Return the program of an ASL ``definition``; parsing takes 30–100 ms."""
    return AmazonStateLanguageParser.parse(definition)[0]


@seams.replaces(
    ExecutionWorker, "_get_evaluation_entrypoint", why="parses the definition for every execution"
)
def program_of_worker(self: Any) -> Any:
    return parsed_program(self._evaluation_details.state_machine_details.definition)


# moto's property is drawn at random at the first access: two executions of a shared program could
# race for it, and a retrier would lose its attempts. A cached component's own id is stable.
@seams.replaces(EvalComponent, "heap_key", kind=property, why="is created lazily, without a lock")
def heap_key(self: Any) -> str:
    return f"{id(self):x}"


@seams.replaces(
    custom_error_name.CustomErrorName,
    "__init__",
    why="refuses States.*, so a failed Map iteration or child raises in the engine",
)
def accept_any_error_name(self: Any, error_name: str | None) -> None:
    ErrorName.__init__(self, error_name)


@seams.replaces(
    Program,
    "eval",
    why="starts a thread per program and loses its exception; a timed-out program writes its last "
    "event only when its functions return",
)
def evaluate_program(self: Any, env: Any) -> None:
    if env.is_frame() or env.next_state_name is None:
        env.next_state_name = self.start_at.start_at_name  # otherwise it resumes at its last state
    if self.timeout_seconds is None:
        EvalComponent.eval(self, env)
        return
    raised: list[Exception] = []
    worker = threading.Thread(target=_evaluate, args=(self, env, raised), daemon=True)
    worker.start()
    worker.join(self.timeout_seconds.timeout_seconds)
    if worker.is_alive():
        _time_out(env)
    elif raised:
        raise raised[0]


def _evaluate(program: Any, env: Any, raised: list[Exception]) -> None:
    try:
        EvalComponent.eval(program, env)
    except Exception as error:  # raised again in the waiting thread
        raised.append(error)


def _time_out(env: Any) -> None:
    env.set_timed_out()
    env.event_manager.add_event(
        context=env.event_history_context,
        event_type=HistoryEventType.ExecutionTimedOut,
        event_details={"executionTimedOutEventDetails": {"error": "States.Timeout"}},
    )
