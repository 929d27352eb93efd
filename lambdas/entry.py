"""The frame of all handlers: parse the event, work, serialise the result; log failures.

The modules in `MODULES_VARIABLE` are loaded here, before the first event: a cold start has more of
the processor than a handler, and torch takes a second.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from lambdas.calls import Sandbox, seconds_of_process
from lambdas.environment import LambdaContext
from lambdas.logs import log_begin, log_failure, of_request
from stepml.job.tasks import Event

Task = TypeVar("Task", bound=Event)
Work = Callable[[Task, LambdaContext], Event | None]
Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]

MODULES_VARIABLE = "STEPML_MODULES"  # names separated by commas; set by templates/template.yaml
_IS_LAMBDA = "AWS_LAMBDA_RUNTIME_API" in os.environ
_sandbox = Sandbox()
_NAMED_IN_LOGS = ("job_id", "epoch", "rank", "range", "chunk", "slice")


def _load(modules: list[str]) -> None:
    gc.disable()  # it would look at the many new objects again and again, and find no garbage
    for name in modules:
        import_module(name)
    gc.freeze()
    gc.enable()


if modules := os.environ.get(MODULES_VARIABLE):
    _load(modules.split(","))


def handles(kind: type[Task]) -> Callable[[Work[Task]], Handler]:
    """Turn a function on one ``kind`` of task into a Lambda handler; its result is the payload."""

    def decorate(work: Work[Task]) -> Handler:
        if _IS_LAMBDA:
            _sandbox.started(seconds_of_process())  # a module decorates its handlers last

        def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
            task = kind.from_event(event)
            with of_request(context.aws_request_id):
                log_begin(task)
                try:
                    with _sandbox.call(task):
                        result = work(task, context)
                except Exception as error:
                    log_failure(error, **_identity(task))
                    raise
            return {} if result is None else result.to_event()

        return handler

    return decorate


def _identity(task: Event) -> dict[str, Any]:
    return {name: getattr(task, name) for name in _NAMED_IN_LOGS if hasattr(task, name)}
