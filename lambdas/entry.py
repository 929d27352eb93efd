"""What all handlers have in common: parse the event, do the work, serialise; log what fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lambdas.environment import LambdaContext
from lambdas.logs import log_failure
from stepml.job.tasks import Event

Task = TypeVar("Task", bound=Event)
Work = Callable[[Task, LambdaContext], Event | None]
Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]

_NAMED_IN_LOGS = ("job_id", "epoch", "rank", "range", "chunk")


def handles(kind: type[Task]) -> Callable[[Work[Task]], Handler]:
    """Make a Lambda handler of work on one ``kind`` of task; its result becomes the payload."""

    def decorate(work: Work[Task]) -> Handler:
        def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
            task = kind.from_event(event)
            try:
                result = work(task, context)
            except Exception as error:
                log_failure(error, **_what_it_was_about(task))
                raise
            return {} if result is None else result.to_event()

        return handler

    return decorate


def _what_it_was_about(task: Event) -> dict[str, Any]:
    return {name: getattr(task, name) for name in _NAMED_IN_LOGS if hasattr(task, name)}
