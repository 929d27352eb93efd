"""How far a job is, read from the events of its execution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stepml.client.failures import Failure, first_failure

Event = Mapping[str, Any]

# The states of train.asl.json in their order, and what they do in a person's words.
PHASES = {
    "Prepare": "preparing",
    "PartitionData": "partitioning",
    "PlanShards": "planning shards",
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
    """Where an execution is."""

    state: str = ""  # name of the state, empty before the first
    done: int = 0  # finished iterations of a Map
    total: int | None = None  # iterations of a Map; None if it is none

    @property
    def has_epochs(self) -> bool:
        """Whether reports of epochs may exist: before, they would be another job's."""
        return self.state in TRAINING

    def __str__(self) -> str:
        words = PHASES.get(self.state, self.state or "starting")
        if self.total is None:
            return words
        if self.total == 0:
            return f"{words}: done before"
        return f"{words} {self.done}/{self.total} {UNITS.get(self.state, 'items')}"


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A Task that ran an epoch and failed; what failed is in the epoch's own execution."""

    failure: Failure  # as far as this history tells
    cause: str


@dataclass(slots=True)
class JobHistory:
    """What the events tell so far; feed it every event, in any portions."""

    last_event_id: int = 0
    phase: Phase = field(default_factory=Phase)
    retried: list[FailedTask] = field(default_factory=list)  # those that were tried again
    last_failed: FailedTask | None = None  # not tried again (yet)
    ended: bool = False  # and was not redriven since

    def read(self, events: Iterable[Event]) -> None:
        """Take note of ``events``; those that were read before are passed over."""
        for event in sorted(events, key=lambda event: int(event["id"])):
            if event["id"] > self.last_event_id:
                self.last_event_id = event["id"]
                self._read_one(event)

    def _read_one(self, event: Event) -> None:
        kind = event["type"]
        if kind.endswith("StateEntered"):
            # States inside a Map are left out: they are not where the job is, but the Map.
            if (name := event["stateEnteredEventDetails"]["name"]) in PHASES:
                self.phase = Phase(name)
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
