"""Visits whose facts are still arriving, event by event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stepml.records.calls import OpenAttempt
from stepml.records.visits import Iterations, Visit, VisitStatus

Event = Mapping[str, Any]

WITHOUT_SUCCESS = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})
ENTERED, EXITED = "StateEntered", "StateExited"
_UNNAMED = "States.TaskFailed"  # for an error without a name


@dataclass(slots=True, eq=False)
class Scope:
    """A sequence of states: the machine itself, or an iteration of a Map."""

    map: OpenVisit | None = None
    index: int | None = None
    inside: list[OpenVisit] = field(default_factory=list)  # not left yet

    def close(self, status: VisitStatus, at: datetime, why: Mapping[str, Any]) -> None:
        """Leave all states: the execution or the iteration has ended."""
        for each in list(self.inside):
            if each.error is None and status in {"FAILED", "TIMED_OUT"}:
                each.error, each.cause = why.get("error"), why.get("cause")
            each.leave(status, at)


@dataclass(slots=True, eq=False)
class OpenVisit:
    """A visit whose facts are still arriving."""

    state: str
    kind: str
    entered_at: datetime
    first_event: int
    input: str
    scope: Scope
    redrives: int  # of the execution, when its facts last arrived
    status: VisitStatus = "RUNNING"
    left_at: datetime | None = None
    last_event: int = 0
    output: str | None = None
    error: str | None = None  # of the last attempt
    cause: str | None = None
    attempts: list[OpenAttempt] = field(default_factory=list)
    total: int | None = None  # iterations of a Map …
    ends: dict[int, VisitStatus] = field(default_factory=dict)  # … what became of them …
    iterations: dict[int | None, Scope] = field(default_factory=dict)  # … and the begun ones
    known: Visit | None = None  # as it was when it was last asked for

    def leave(self, status: VisitStatus, at: datetime) -> None:
        """End the visit, with all that goes on in it."""
        timed_out = bool(self.attempts) and self.attempts[-1].status == "TIMED_OUT"
        self.status = "TIMED_OUT" if status == "FAILED" and timed_out else status
        self.left_at, self.known = at, None
        self.scope.inside.remove(self)
        self._abort_iterations(at)
        for each in self.attempts:
            each.end(status, at)

    def reopen(self, redrives: int) -> None:
        """Go on after a redrive."""
        self.ends = self.kept_ends()
        self.iterations = {each: self.iterations[each] for each in self.ends}
        self.status, self.left_at, self.error, self.cause = "RUNNING", None, None, None
        self.redrives, self.known = redrives, None
        self.scope.inside.append(self)

    def kept_ends(self) -> dict[int, VisitStatus]:
        """Return the iterations of this Map that a redrive does not repeat."""
        if self.status not in WITHOUT_SUCCESS:
            return {}
        return {index: end for index, end in self.ends.items() if end == "SUCCEEDED"}

    def begin_iteration(self, index: int) -> Scope:
        """Begin an iteration of this Map, or begin it again."""
        self.ends.pop(index, None)
        self.known = None
        scope = self.iterations[index] = Scope(self, index)
        return scope

    def end_iteration(
        self, index: int, status: VisitStatus, at: datetime, failed: OpenVisit | None
    ) -> None:
        """End an iteration of this Map, perhaps with the error of a state in it."""
        self.ends[index] = status
        if index in self.iterations:
            self.iterations[index].close(status, at, {})
        if status == "FAILED" and failed is not None:
            self.error, self.cause = failed.error or _UNNAMED, failed.cause

    def fail(self, details: Mapping[str, Any], at: datetime) -> None:
        """End all iterations of this Map, which has failed; it may be caught or retried."""
        self.error = details.get("error") or self.error or _UNNAMED
        self.cause = details.get("cause") or self.cause
        self._abort_iterations(at)

    def _abort_iterations(self, at: datetime) -> None:
        for index, scope in self.iterations.items():
            if index is not None:
                self.ends.setdefault(index, "ABORTED")
            scope.close("ABORTED", at, {})

    def visit(self) -> Visit:
        """Return the visit so far: the same object until something changes."""
        self.known = self.known or self._visit()
        return self.known

    def _visit(self) -> Visit:
        has_error = self.status not in {"RUNNING", "SUCCEEDED"}
        return Visit(
            state=self.state,
            kind=self.kind,
            status=self.status,
            entered_at=self.entered_at,
            left_at=self.left_at,
            first_event=self.first_event,
            last_event=self.last_event,
            input=self.input,
            output=self.output,
            error=self.error if has_error else None,
            cause=self.cause if has_error else None,
            attempts=tuple(each.attempt(number) for number, each in enumerate(self.attempts, 1)),
            iterations=self._iterations(),
            iteration=self.scope.index,
            map_event=None if self.scope.map is None else self.scope.map.first_event,
        )

    def _iterations(self) -> Iterations | None:
        if self.total is None:
            return None
        ends = list(self.ends.values())
        begun = {each for each in self.iterations if each is not None}
        running = len(begun - set(self.ends))
        numbers = (ends.count(each) for each in ("SUCCEEDED", "FAILED", "ABORTED"))
        return Iterations(self.total, running, *numbers)


def read_inside(visit: OpenVisit, event: Event, kind: str, redrives: int) -> None:
    """Read an event inside a state: of the state itself, or of a call of its Task."""
    details, at = details_of(event), event["timestamp"]
    if kind.endswith("StateAborted"):
        if visit.left_at is None:
            visit.leave("ABORTED", at)
    elif kind == "MapStateStarted":
        visit.total, visit.error, visit.cause = details.get("length", 0), None, None
    elif kind.endswith("StateFailed"):
        visit.fail(details, at)
    elif kind.endswith("Scheduled"):
        visit.error = visit.cause = None
        visit.attempts.append(OpenAttempt.of(at, details, redrives))
    elif visit.attempts:
        _read_call(visit, visit.attempts[-1], event, kind)
    elif kind.endswith("Failed"):  # before a call: its parameters are wrong
        visit.error, visit.cause = details.get("error") or _UNNAMED, details.get("cause")


def _read_call(visit: OpenVisit, attempt: OpenAttempt, event: Event, kind: str) -> None:
    details, at = details_of(event), event["timestamp"]
    if kind.endswith("Submitted"):
        attempt.submit(details.get("output", ""))
    elif kind.endswith("Succeeded"):
        attempt.succeed(at, details.get("output", ""))
    elif kind.endswith(("Failed", "TimedOut")):
        visit.error, visit.cause = details.get("error") or _UNNAMED, details.get("cause")
        attempt.fail(at, visit.error, visit.cause, timed_out=kind.endswith("TimedOut"))


def details_of(event: Event) -> Mapping[str, Any]:
    """Return the details of an event, beside its type."""
    kind: str = event["type"]
    if kind.endswith((ENTERED, EXITED)):
        kind = ENTERED if kind.endswith(ENTERED) else EXITED
    found: Mapping[str, Any] = event.get(f"{kind[0].lower()}{kind[1:]}EventDetails", {})
    return found
