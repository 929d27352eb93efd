"""Histories of executions, with an end, a limit of 25,000 events, and pages."""

from __future__ import annotations

import json
from typing import Any

from moto.core.responses import ActionContext, ActionResult
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext, EventManager

from stepml.local.engine.journal import journal
from stepml.local.seams import Seams

seams = Seams()

MAX_EVENTS = 25_000
FULL = {
    "error": "States.Runtime",
    "cause": f"The execution reached the maximum number of history events ({MAX_EVENTS}).",
}

TERMINAL_EVENTS = frozenset(
    {
        HistoryEventType.ExecutionSucceeded,
        HistoryEventType.ExecutionFailed,
        HistoryEventType.ExecutionAborted,
        HistoryEventType.ExecutionTimedOut,
    }
)

_init = EventManager.__init__
_add_event = EventManager.add_event
_publish_history_event = EventManager._publish_history_event


def _do_nothing() -> None:
    """Do nothing: the default until an execution can be ended."""


@seams.replaces(EventManager, "__init__", why="has no end of its history")
def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **kwargs)
    self.arn = ""  # of the execution
    self.has_ended = False  # the last event is written; later ones are dropped
    self.is_full = False
    self.when_full = _do_nothing
    self.checkpoint = None  # the present state of the execution, see `checkpoints`
    self.resumed = None  # the checkpoint where a redrive resumes
    self.answered = {}  # the events that an answer had, as there, by id


@seams.replaces(
    EventManager,
    "_publish_history_event",
    why="lets threads of an ended execution write history, as AWS kills no running function, and "
    "has no limit of 25,000 events",
)
def publish_until_the_end(
    self: Any, *, event_id: int, event_type: HistoryEventType, event_details: Any, **event: Any
) -> None:
    # Called under the manager's lock.
    if self.has_ended:
        return
    if event_id >= MAX_EVENTS and event_type not in TERMINAL_EVENTS:
        event_type = HistoryEventType.ExecutionFailed
        event_details = {"executionFailedEventDetails": FULL}
        self.is_full = True
    _publish_history_event(
        self, event_id=event_id, event_type=event_type, event_details=event_details, **event
    )
    journal().added(self.arn, self._history_event_list[-1])
    self.has_ended = event_type in TERMINAL_EVENTS


@seams.replaces(
    EventManager,
    "add_event",
    why="writes events of iterations after their Map has failed, and never ends an execution",
)
def add_event(self: Any, context: Any, *args: Any, **kwargs: Any) -> int:
    if getattr(context, "is_over", False):
        return int(context.last_published_event_id)
    event_id: int = _add_event(self, context, *args, **kwargs)
    if self.is_full:
        self.is_full = False
        self.when_full()  # outside the manager's lock
    return event_id


def silence(env: Any) -> None:
    """Drop later events of ``env``, whose threads may run for a while."""
    with env._state_mutex:
        frames = list(env._frames)
    for frame in frames:
        frame.set_ended()
        frame.event_history_context.is_over = True
        silence(frame)


def continue_history(env: Any, ended: Any) -> None:
    """Let the history of ``env`` continue that of the manager ``ended``."""
    events = ended._history_event_list
    env.event_manager._history_event_list.extend(events)
    env.event_manager._event_id_gen._next_id = len(events) + 1
    env.event_history_context = EventHistoryContext(len(events))


def event_count(execution: Any) -> int:
    """Return the number of events in the history of ``execution``."""
    return len(history_events(execution))


def history_events(execution: Any) -> list[dict[str, Any]]:
    """Return the events of ``execution`` so far; an event never changes."""
    env = execution.exec_worker.env
    events: list[dict[str, Any]] = [] if env is None else env.event_manager._history_event_list
    return events


class HistoryAnswer(ActionResult):
    """Events of an execution. moto takes half a millisecond to serialise one: each is done once.

    Parameters
    ----------
    execution : Execution
    answer : dict
        The answer, with ``events`` of the execution.
    """

    def __init__(self, execution: Any, answer: dict[str, Any]) -> None:
        super().__init__(answer)
        self._answer = answer
        env = execution.exec_worker.env
        self._answered: dict[int, Any] = {} if env is None else env.event_manager.answered

    def execute_result(self, context: ActionContext) -> Any:
        ids = [event["id"] for event in self._answer["events"]]
        new = [event for event in self._answer["events"] if event["id"] not in self._answered]
        status, headers, body = ActionResult({**self._answer, "events": new}).execute_result(
            context
        )
        described = json.loads(body)
        self._answered.update((event["id"], event) for event in described["events"])
        described["events"] = [self._answered[each] for each in ids]
        return status, headers, json.dumps(described)
