"""The visits of an execution to its states: input, output, error and attempts of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from stepml.job.keys import VALIDATION
from stepml.records.failures import Failure, first_failure
from stepml.records.json_answers import json_object

UNITS = ("rank", "range", "chunk", "slice")  # of the Maps' items, as the states' inputs name them
VisitStatus = Literal["RUNNING", "SUCCEEDED", "FAILED", "CAUGHT", "TIMED_OUT", "ABORTED"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a Task: of a function, or of another execution."""

    number: int  # from 1, in its visit
    status: VisitStatus
    started_at: datetime
    ended_at: datetime | None  # None while it runs
    error: str | None = None  # the class name
    cause: str | None = None
    function: str | None = None  # the name or ARN of the Lambda function, as it was called
    parameters: str = ""  # JSON: the call, with the function's event or the child's input
    child: str | None = None  # the ARN of the execution that it started
    request_id: str | None = None  # of the invocation; None: the history does not say
    redrive: int = 0  # the number of the execution's redrives before it

    @property
    def seconds(self) -> float | None:
        """Its duration; None while it goes on."""
        return _seconds(self.started_at, self.ended_at)

    @property
    def task(self) -> dict[str, Any]:
        """The event of the function, or the input of the child; empty if it is unknown."""
        called = json_object(self.parameters)
        found = called.get("Payload", called.get("Input"))
        return found if isinstance(found, dict) else {}

    @property
    def failure(self) -> Failure | None:
        """Its error in its own words, or None."""
        return None if self.error is None else first_failure(self.status, self.error, self.cause)


@dataclass(frozen=True, slots=True)
class Iterations:
    """The numbers of a Map's iterations by what became of them."""

    total: int
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    aborted: int = 0

    @property
    def waiting(self) -> int:
        """Those that have not begun."""
        return self.total - self.running - self.succeeded - self.failed - self.aborted


@dataclass(frozen=True, slots=True)
class Visit:
    """One stay of an execution in a state."""

    state: str
    kind: str  # of the state: Task, Choice, Map, …; as in the definition
    status: VisitStatus  # CAUGHT: it failed, and the machine goes on elsewhere
    entered_at: datetime
    left_at: datetime | None  # None while it goes on
    first_event: int  # the id of StateEntered, which tells visits apart
    last_event: int
    input: str  # JSON; "" if the history leaves it out
    output: str | None = None  # JSON
    error: str | None = None
    cause: str | None = None
    attempts: tuple[Attempt, ...] = ()
    iterations: Iterations | None = None  # of a Map
    iteration: int | None = None  # of the Map in which it is; None outside of Maps
    map_event: int | None = None  # `first_event` of that Map's visit

    @property
    def seconds(self) -> float | None:
        """Its duration; None while it goes on."""
        return _seconds(self.entered_at, self.left_at)

    @property
    def failure(self) -> Failure | None:
        """Its error in its own words: the final one, or one that is being retried."""
        if self.status == "SUCCEEDED":
            return None
        if self.error is not None:
            return first_failure(self.status, self.error, self.cause)
        return next((each.failure for each in reversed(self.attempts) if each.failure), None)

    @property
    def work(self) -> str:
        """The rank, range, chunk or slice, or the epoch of a child: ``rank 3``; or ""."""
        task = json_object(self.input)
        unit = next((each for each in UNITS if isinstance(task.get(each), int)), "")
        if unit:
            is_of_validation = (unit, task[unit]) == ("rank", VALIDATION)
            return "validation rows" if is_of_validation else f"{unit} {task[unit]}"
        epochs = (each.task.get("epoch") for each in self.attempts if each.child is not None)
        return next((f"epoch {each}" for each in epochs if isinstance(each, int)), "")


def _seconds(begin: datetime, end: datetime | None) -> float | None:
    return None if end is None else (end - begin).total_seconds()
