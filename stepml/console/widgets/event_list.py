"""The events of a visit, as GetExecutionHistory has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stepml.console.widgets.tags import Tag
from stepml.console.widgets.text_block import TextBlock
from stepml.console.widgets.trail import Events
from stepml.graphs.visit_words import clock

MOST = 100
_HEAD = frozenset({"id", "previousEventId", "timestamp", "type"})


class EventList:
    """Events, the oldest first; each opens to its details."""

    def __init__(self) -> None:
        self._list = Tag("ol", classes="event-list")
        self._more = Tag("p", classes="soft")
        self._shown: list[int] = []

    def show(self, events: Events) -> None:
        """Show these events; new ones are added below the others."""
        found = events[:MOST]
        if (ids := [each["id"] for each in found]) != self._shown:
            keeps = ids[: len(self._shown)] == self._shown
            if not keeps:
                self._list.clear()
            with self._list:
                for event in found[len(self._shown) if keeps else 0 :]:
                    _event(event)
            self._shown = ids
        self._more.say(f"The first {MOST} of {len(events):,} events." if len(events) > MOST else "")


def _event(event: Mapping[str, Any]) -> None:
    details = {name: value for name, value in event.items() if name not in _HEAD}
    inner = next(iter(details.values()), {}) if len(details) == 1 else details
    with Tag("li"), Tag("details"):
        Tag("summary", f"{event['id']}  {clock(event['timestamp'])}  {event['type']}")
        TextBlock("Details", "h5").show(json.dumps(inner, indent=2, default=str) if inner else "")
