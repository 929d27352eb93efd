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
    "PartitionParquet": "partitioning",
    "PlanShards": "planning shards",
    "AssembleShards": "assembling",
    "InitialiseModel": "initialising the model",
    "RunEpoch": "training",
    "Converged?": "training",
    "Finalise": "writing the model",
}
UNITS = {"PartitionData": "ranges", "PartitionParquet": "ranges", "AssembleShards": "shards"}
# One of the two has all ranges, so the second one goes on with the count of the first.
_CONTINUES = {"PartitionParquet": "PartitionData"}
TRAINING = frozenset({"RunEpoch", "Converged?", "Finalise"})


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
            is_left_to_next = self.state in _CONTINUES.values()
            return words if is_left_to_next else f"{words}: done before"
        return f"{words} {self.done}/{self.total} {UNITS.get(self.state, 'items')}"


@dataclass(slots=True)
class JobHistory:
    """What the events tell so far; feed it every event, in any portions."""

    last_event_id: int = 0
    phase: Phase = field(default_factory=Phase)
    failed_attempts: list[Failure] = field(default_factory=list)  # of epochs, oldest first

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
                continues = _CONTINUES.get(name) == self.phase.state
                self.phase = replace(self.phase, state=name) if continues else Phase(name)
        elif kind == "MapStateStarted":
            items = event.get("mapStateStartedEventDetails", {}).get("length", 0)
            self.phase = replace(self.phase, total=(self.phase.total or 0) + items)
        elif kind == "MapIterationSucceeded":
            self.phase = replace(self.phase, done=self.phase.done + 1)
        elif kind in {"TaskFailed", "TaskTimedOut"} and self.phase.state == "RunEpoch":
            self._note_failed_attempt(event)

    def _note_failed_attempt(self, event: Event) -> None:
        kind = event["type"]
        details = event.get(kind[0].lower() + kind[1:] + "EventDetails", {})
        status = "TIMED_OUT" if kind == "TaskTimedOut" else "FAILED"
        self.failed_attempts.append(
            first_failure(status, details.get("error"), details.get("cause"))
        )
