"""Traces an execution through its states: makes visits of the events of its history.

Every event names the one before it. So it belongs to the same state, or to the same iteration of a
Map, as that event, unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stepml.records.open_visits import (
    ENTERED,
    EXITED,
    WITHOUT_SUCCESS,
    Event,
    OpenVisit,
    Scope,
    details_of,
    read_inside,
)
from stepml.records.visits import Visit, VisitStatus

ENDS: Mapping[str, VisitStatus] = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionAborted": "ABORTED",
    "ExecutionTimedOut": "TIMED_OUT",
}
_REDRIVEN = "ExecutionRedriven"
_ITERATION_ENDS: Mapping[str, VisitStatus] = {
    "MapIterationSucceeded": "SUCCEEDED",
    "MapIterationFailed": "FAILED",
    "MapIterationAborted": "ABORTED",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of an event, from which the next one goes on."""

    scope: Scope
    visit: OpenVisit | None = None

    @property
    def inner(self) -> OpenVisit | None:
        """The visit, unless the place is the begin of one of its iterations."""
        is_around = self.visit is not None and self.visit.scope is not self.scope
        return None if is_around else self.visit


class Tracer:
    """Makes visits of events; call `read` with all events of an execution, in any portions.

    The newest events alone give the newest visits: what has begun before them is left out until
    the older ones are read.
    """

    def __init__(self) -> None:
        self._enclosing: Mapping[str, str] = {}
        self._events: dict[int, Event] = {}
        self._start()

    def _start(self) -> None:
        self._root = Scope()
        self._places: dict[int, _Place] = {}
        self._visits: list[OpenVisit] = []
        self._redrives = 0
        self.last_event = 0  # id of the newest one; 0 before the first
        self.status: VisitStatus = "RUNNING"

    @property
    def is_whole(self) -> bool:
        """Whether all events up to the newest one are read."""
        return len(self._events) == self.last_event

    @property
    def visits(self) -> tuple[Visit, ...]:
        """All visits in the order of their begin."""
        return tuple(each.visit() for each in self._visits)

    def events(self, visit: Visit) -> list[Event]:
        """Return the events of a visit, without those of the states inside a Map."""
        numbers = range(visit.first_event, visit.last_event + 1)
        return [
            self._events[number]
            for number in numbers
            if (found := self._visit_at(number)) and found.first_event == visit.first_event
        ]

    def read(self, events: Iterable[Event]) -> bool:
        """Read events; return whether one of them is new."""
        new = {each["id"]: each for each in events if each["id"] not in self._events}
        is_older = bool(new) and min(new) < self.last_event
        self._events.update(new)
        if is_older:  # what was read before makes sense only now
            self._read_again()
        else:
            for number in sorted(new):
                self._read_one(self._events[number])
        return bool(new)

    def place_in(self, enclosing: Mapping[str, str]) -> None:
        """Place states whose iteration has begun in events that are not read yet.

        Parameters
        ----------
        enclosing : mapping
            The Map of each state that is in one; see `enclosing_maps`.
        """
        self._enclosing = enclosing
        self._read_again()

    def _read_again(self) -> None:
        self._start()
        for number in sorted(self._events):
            self._read_one(self._events[number])

    def _visit_at(self, number: int) -> OpenVisit | None:
        place = self._places.get(number)
        return None if place is None else place.visit

    def _read_one(self, event: Event) -> None:
        self.last_event = event["id"]
        place = self._placed(
            event, event["type"], self._places.get(event.get("previousEventId", 0))
        )
        if place is None:
            return
        self._places[event["id"]] = place
        if place.visit is not None:
            place.visit.last_event = event["id"]
            place.visit.known = None

    def _placed(self, event: Event, kind: str, before: _Place | None) -> _Place | None:
        if kind.startswith("Execution"):
            return self._read_execution(event, kind)
        if kind.endswith(ENTERED):
            return self._enter(event, kind, before)
        if kind.endswith(EXITED):
            return self._exit(event, before)
        if kind.startswith("MapIteration"):
            return self._read_iteration(event, kind, before)
        visit = None if before is None else before.inner or self._redriven(before.scope, kind)
        if visit is not None and kind.startswith("MapState") and visit.kind != "Map":
            visit = visit.scope.map  # the event names the one of the iteration that has failed
        if visit is None:
            return None
        self._reopen(visit)
        read_inside(visit, event, kind, self._redrives)
        return _Place(visit.scope, visit)

    def _read_execution(self, event: Event, kind: str) -> _Place:
        if kind == _REDRIVEN:
            self._redrives = details_of(event).get("redriveCount", self._redrives + 1)
            self.status = "RUNNING"
        elif kind in ENDS:
            self.status = ENDS[kind]
            self._root.close(self.status, event["timestamp"], details_of(event))
            for each in self._visits:
                each.redrives = self._redrives
        return _Place(self._root)

    def _enter(self, event: Event, kind: str, before: _Place | None) -> _Place:
        details = event["stateEnteredEventDetails"]
        name = details["name"]
        scope = before.scope if before is not None else self._scope_of(name)
        begun = OpenVisit(
            state=name,
            kind=kind.removesuffix(ENTERED),
            entered_at=event["timestamp"],
            first_event=event["id"],
            input=details.get("input", ""),
            scope=scope,
            redrives=self._redrives,
        )
        if begun.kind == "Map" and self._redrives:
            begun.ends = self._kept_ends(begun)
        self._visits.append(begun)
        scope.inside.append(begun)
        return _Place(scope, begun)

    def _kept_ends(self, begun: OpenVisit) -> dict[int, VisitStatus]:
        """Return the iterations of a Map that a redrive does not repeat."""
        for each in reversed(self._visits):
            if each.state == begun.state and each.scope is begun.scope:
                return each.kept_ends() if each.redrives < self._redrives else {}
        return {}

    def _exit(self, event: Event, before: _Place | None) -> _Place | None:
        details = event["stateExitedEventDetails"]
        visit = self._open(details["name"], before)
        if visit is None or (before is None and visit.kind != "Map"):  # of another iteration
            return None
        visit.output = details.get("output")
        visit.leave("SUCCEEDED" if visit.error is None else "CAUGHT", event["timestamp"])
        return _Place(visit.scope, visit)

    def _read_iteration(self, event: Event, kind: str, before: _Place | None) -> _Place | None:
        details = details_of(event)
        visit = self._open(details.get("name", ""), before)
        if visit is None:
            return None
        index = details.get("index", 0)
        if kind not in _ITERATION_ENDS:
            return _Place(visit.begin_iteration(index), visit)
        failed = None if before is None else before.inner
        visit.end_iteration(index, _ITERATION_ENDS[kind], event["timestamp"], failed)
        return _Place(visit.scope, visit)

    def _scope_of(self, state: str) -> Scope:
        """Return the scope of a state if the events before it are not read."""
        around = self._enclosing.get(state)
        for each in reversed(self._visits):
            if around is not None and each.state == around:
                return each.iterations.setdefault(None, Scope(each, None))
        return self._root

    def _open(self, state: str, before: _Place | None) -> OpenVisit | None:
        """Return the visit of a state that goes on, or that a redrive has taken up again."""
        scope: Scope | None = self._root if before is None else before.scope
        while scope is not None:
            for each in reversed(scope.inside):
                if each.state == state:
                    return each
            scope = None if scope.map is None else scope.map.scope
        for each in reversed(self._visits):
            if each.state == state:
                return each if self._reopen(each) else None
        return None

    def _redriven(self, scope: Scope, kind: str) -> OpenVisit | None:
        """Return the last visit in a scope, if a redrive goes on in it without entering it anew."""
        last = next((each for each in reversed(self._visits) if each.scope is scope), None)
        is_its_own = last is not None and (last.kind != "Map" or kind.startswith("Map"))
        return last if last is not None and is_its_own and self._reopen(last) else None

    def _reopen(self, visit: OpenVisit) -> bool:
        """Let a visit go on if it had ended before the last redrive; return whether it does."""
        if visit.status not in WITHOUT_SUCCESS or visit.redrives == self._redrives:
            return False
        visit.reopen(self._redrives)
        return True


def enclosing_maps(definition: Mapping[str, Any]) -> dict[str, str]:
    """Return the innermost Map of each state of a machine that is in one."""
    found: dict[str, str] = {}
    for name, state in definition.get("States", {}).items():
        inner = state.get("ItemProcessor", state.get("Iterator", {}))
        found |= dict.fromkeys(inner.get("States", {}), name) | enclosing_maps(inner)
    return found
