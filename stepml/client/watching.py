"""Follow a job until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stepml.client.client import Client
from stepml.client.connection import is_throttled
from stepml.client.errors import AccessError
from stepml.client.execution import Execution, ExecutionState
from stepml.client.failures import Failure
from stepml.client.history import JobHistory, Phase
from stepml.job.reports import EpochReport

MAX_PAUSE_S = 30.0  # between two looks at a service that throttles


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a job at one moment."""

    state: ExecutionState
    phase: Phase
    epochs: tuple[EpochReport, ...]  # all so far
    failed_attempts: tuple[Failure, ...]  # at epochs; each was retried, or ended the job


def watch(
    client: Client, execution: Execution, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Snapshot]:
    """Yield snapshots until the execution has ended; the last one is complete.

    An execution ends by itself: its state machine has a time limit in every state.

    Raises
    ------
    ExecutionNotFoundError
        There is no such execution.
    AccessError
        The services cannot be reached any more.
    """
    watcher = _Watcher(client, execution)
    pause_s = client.connection.poll_s
    while True:
        try:
            snapshot = watcher.look()
            pause_s = client.connection.poll_s
        except AccessError as error:
            if not is_throttled(error):
                raise
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
        else:
            yield snapshot
            if snapshot.state.ended:
                return
        sleep(pause_s)


class _Watcher:
    def __init__(self, client: Client, execution: Execution) -> None:
        self._client = client
        self._execution = execution
        self._history = JobHistory()
        self._epochs: list[EpochReport] = []

    def look(self) -> Snapshot:
        # The state comes first: whatever was there at the end is then found by what follows.
        state = self._client.describe(self._execution)
        events = self._client.events_after(self._execution, self._history.last_event_id)
        self._history.read(events)
        if self._history.phase.has_epochs:
            self._read_epochs()
        return Snapshot(
            state,
            self._history.phase,
            tuple(self._epochs),
            tuple(self._history.failed_attempts),
        )

    def _read_epochs(self) -> None:
        while not self._epochs or self._epochs[-1].decision == "continue":
            epoch = self._epochs[-1].next_epoch if self._epochs else 1
            report = self._client.epoch_report(self._execution, epoch)
            if report is None:
                return
            self._epochs.append(report)
