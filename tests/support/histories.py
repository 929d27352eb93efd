"""Histories of executions: recorded ones, and ones that are written event by event."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stepml.records.open_visits import Event

RECORDED = Path(__file__).parent.parent / "unit" / "records" / "recorded"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def recorded_names() -> list[str]:
    """Return the names of all recorded histories."""
    return sorted(path.stem for path in RECORDED.glob("*.jsonl"))


def recorded(name: str) -> list[Event]:
    """Return a history that a job has left on the local AWS, with its data cut short."""
    lines = (RECORDED / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_event(json.loads(line)) for line in lines]


def _event(line: dict[str, Any]) -> Event:
    return line | {"timestamp": datetime.fromtimestamp(line["timestamp"] / 1000, UTC)}


@dataclass
class Written:
    """A history in the making, with an event each second."""

    events: list[Event] = field(default_factory=list)

    def add(self, kind: str, after: int | None = None, **details: Any) -> int:
        """Add an event after another one, by default the last; return its id."""
        number = len(self.events) + 1
        name = kind
        for whole in ("StateEntered", "StateExited"):
            name = whole if kind.endswith(whole) else name
        event: dict[str, Any] = {
            "id": number,
            "previousEventId": number - 1 if after is None else after,
            "timestamp": BEGIN + timedelta(seconds=number),
            "type": kind,
        }
        if details:
            event[f"{name[0].lower()}{name[1:]}EventDetails"] = details
        self.events.append(event)
        return number

    def failed_call(self, error: str = "BoomError", cause: str = "boom") -> int:
        """Add a call of the present Task that fails; return the id of its last event."""
        self.add("TaskScheduled", resource="invoke", parameters='{"FunctionName": "app-work"}')
        self.add("TaskStarted")
        return self.add("TaskFailed", error=error, cause=cause)
