"""Events of CloudWatch's log streams."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from moto.core.utils import utcfromtimestamp
from moto.logs.models import LogEvent, LogStream, logs_backends

from stepml.local.keeping.shelves import Shelf, after, each_backend
from stepml.local.keeping.store import Store

_INSERT = "INSERT INTO log_events VALUES(?, ?, ?, ?)"
DAY_MS = 86_400_000


class KeptLogs(Shelf):
    """The events of all log groups. Those beyond a group's retention are deleted at the start.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    def watch(self) -> None:
        """Notice every event that is written."""
        after(LogStream, "put_log_events", self._save)

    def owners(self) -> dict[str, Any]:
        """Return the log groups."""
        return {
            f"{place}/{name}": group
            for place, backend in each_backend(logs_backends)
            for name, group in list(backend.groups.items())
        }

    def attach(self, name: str, owner: Any) -> None:
        """Put the kept events before those that a group has."""
        if owner.retention_in_days:
            oldest = int(time.time() * 1000) - int(owner.retention_in_days) * DAY_MS
            statement = "DELETE FROM log_events WHERE owner = ? AND time < ?"
            self._store.write((statement, (name, oldest)))
        query = "SELECT stream, doc FROM log_events WHERE owner = ? ORDER BY stream, rowid"
        for stream, rows in groupby(self._store.rows(query, (name,)), key=lambda row: row[0]):
            _fill(owner, stream, (json.loads(doc) for _, doc in rows))

    def drop(self, name: str) -> None:
        """Forget the events of a group."""
        self._store.write(("DELETE FROM log_events WHERE owner = ?", (name,)))

    def _save(self, _: Any, stream: Any, log_events: list[dict[str, Any]]) -> None:
        owner = f"{stream.account_id}/{stream.region}/{stream.log_group.name}"
        self._store.later(
            *(
                (_INSERT, (owner, stream.log_stream_name, event["timestamp"], json.dumps(event)))
                for event in log_events
            )
        )


def _fill(group: Any, name: str, given: Iterable[dict[str, Any]]) -> None:
    stream = group.streams.get(name) or LogStream(group, name)
    kept = [LogEvent(int(event["timestamp"]), event) for event in given]
    n_new = len(stream.events)
    if not n_new:
        stream.creation_time = utcfromtimestamp(kept[0].timestamp / 1000)
        stream.last_ingestion_time = utcfromtimestamp(kept[-1].timestamp / 1000)
    stream.events = kept[: len(kept) - n_new] + stream.events  # the new ones are kept as well
    stream.stored_bytes = sum(len(event.message) for event in stream.events)
    stream.upload_sequence_token += 1
    group.streams[name] = stream
