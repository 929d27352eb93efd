"""Reads the progress of a job from the events of its execution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stepml.records.failures import Failure, first_failure

Event = Mapping[str, Any]

# The states of train.asl.json in their order, described for people.
PHASES = {
    "Prepare": "preparing",
    "ChecksModel?": "preparing",
    "CheckModel": "checking the model",
    "PartitionData": "partitioning",
    "PlanShards": "planning shards",
    "RestoreData": "parsing damaged data again",
    "AssembleShards": "assembling",
    "InitialiseModel": "initialising the model",
    "RunEpoch": "training",
    "Converged?": "training",
    "ContinueJob": "training",  # by another execution
    "Finalise": "writing the model",
}
UNITS = {"PartitionData": "ranges", "AssembleShards": "shards"}
CONTINUES = "ContinueJob"
TRAINING = frozenset({"RunEpoch", "Converged?", CONTINUES, "Finalise"})
_NOT_STARTED = "StepFunctions."  # errors of StartExecution: no attempt was made
_ENDS = frozenset(
    {"ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut"}
)


@dataclass(frozen=True, slots=True)
class Phase:
    """The present phase of an execution."""

    state: str = ""  # name of the state, empty before the first
    done: int = 0  # finished iterations of a Map
    total: int | None = None  # iterations of a Map; None in other states

    @property
    def has_epochs(self) -> bool:
        """Whether reports of epochs may exist; earlier ones belong to another job."""
        return self.state in TRAINING

    def __str__(self) -> str:
        words = PHASES.get(self.state, self.state or "starting")
        if self.total is None:
            return words
        if self.total == 0:
            return f"{words}: done before"
        return f"{words} {self.done}/{self.total} {UNITS.get(self.state, 'items')}"


def begins_phase(event: Event) -> bool:
    """Return whether a phase of a job begins; states inside a Map are part of it."""
    is_entered = event["type"].endswith("StateEntered")
    return is_entered and event["stateEnteredEventDetails"]["name"] in PHASES


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A failed Task that ran an epoch; the epoch's own execution has the original error."""

    failure: Failure  # as in this history
    cause: str


@dataclass(slots=True)
class JobHistory:
    """The progress that a job's events show; call `read` with every event, in any portions."""

    last_event_id: int = 0
    phase: Phase = field(default_factory=Phase)
    retried: list[FailedTask] = field(default_factory=list)
    last_failed: FailedTask | None = None  # not retried yet
    ended: bool = False  # and not redriven since

    def read(self, events: Iterable[Event]) -> None:
        """Read ``events``; those already read are ignored."""
        for event in sorted(events, key=lambda event: int(event["id"])):
            if event["id"] > self.last_event_id:
                self.last_event_id = event["id"]
                self._read_one(event)

    def _read_one(self, event: Event) -> None:
        kind = event["type"]
        if begins_phase(event):
            self.phase = Phase(event["stateEnteredEventDetails"]["name"])
        elif kind == "MapStateStarted":  # by a redrive once more
            items = event.get("mapStateStartedEventDetails", {}).get("length", 0)
            self.phase = replace(self.phase, total=items)
        elif kind == "MapIterationSucceeded":
            self.phase = replace(self.phase, done=self.phase.done + 1)
        elif kind in {"TaskFailed", "TaskTimedOut"} and self.phase.state == "RunEpoch":
            self._note_failed_attempt(event)
        elif kind == "TaskScheduled":
            self._note_retry()
        elif kind in _ENDS or kind == "ExecutionRedriven":
            self.ended = kind in _ENDS

    def _note_failed_attempt(self, event: Event) -> None:
        kind = event["type"]
        details = event.get(kind[0].lower() + kind[1:] + "EventDetails", {})
        error, cause = details.get("error") or "", details.get("cause") or ""
        if error.startswith(_NOT_STARTED):
            return
        status = "TIMED_OUT" if kind == "TaskTimedOut" else "FAILED"
        self.last_failed = FailedTask(first_failure(status, error, cause), cause)

    def _note_retry(self) -> None:
        if self.last_failed is not None:
            self.retried.append(self.last_failed)
            self.last_failed = None
