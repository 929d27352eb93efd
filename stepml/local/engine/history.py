"""Histories of executions: they end, they are full at 25,000 events, and they are read in pages."""

from __future__ import annotations

from typing import Any

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext, EventManager

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


def _nobody_to_tell() -> None:
    """Stand for who would end the execution of a full history."""


@seams.replaces(EventManager, "__init__", why="does not know where its history ends")
def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **kwargs)
    self.has_ended = False  # the last event is written; what comes later is left out
    self.is_full = False
    self.when_full = _nobody_to_tell
    self.checkpoint = None  # where the execution is, see `checkpoints`
    self.resumed = None  # where it goes on after a redrive


@seams.replaces(
    EventManager,
    "_publish_history_event",
    why="threads of an ended execution (AWS kills no running function) go on writing history, and "
    "nothing stops at 25,000 events",
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
    self.has_ended = event_type in TERMINAL_EVENTS


@seams.replaces(
    EventManager,
    "add_event",
    why="writes what iterations of a failed Map still do, and never ends an execution",
)
def add_event(self: Any, context: Any, *args: Any, **kwargs: Any) -> int:
    if getattr(context, "is_over", False):
        return int(context.last_published_event_id)
    event_id: int = _add_event(self, context, *args, **kwargs)
    if self.is_full:
        self.is_full = False
        self.when_full()  # without the manager's lock
    return event_id


def silence(env: Any) -> None:
    """Keep the frames of ``env``, whose threads may go on for a while, out of the history."""
    with env._state_mutex:
        frames = list(env._frames)
    for frame in frames:
        frame.set_ended()
        frame.event_history_context.is_over = True
        silence(frame)


def continue_history(env: Any, ended: Any) -> None:
    """Make the history of ``env`` the continuation of the one that the manager ``ended`` has."""
    events = ended._history_event_list
    env.event_manager._history_event_list.extend(events)
    env.event_manager._event_id_gen._next_id = len(events) + 1
    env.event_history_context = EventHistoryContext(len(events))


def event_count(execution: Any) -> int:
    """Return how many events the history of ``execution`` has."""
    return len(history_events(execution))


def history_events(execution: Any) -> list[dict[str, Any]]:
    """Return the events of ``execution`` so far; written once, they never change."""
    env = execution.exec_worker.env
    events: list[dict[str, Any]] = [] if env is None else env.event_manager._history_event_list
    return events
