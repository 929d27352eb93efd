"""Writes what a followed job does as JSON, a line each; docs/json_lines.md describes them."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from stepml.reports.events import epoch_event, failed_attempt_event, started_event

if TYPE_CHECKING:
    from stepml.cli.output import Output
    from stepml.client import Execution, Snapshot


class EventLines:
    """A line for the start, each epoch and each failed attempt at one."""

    def __init__(self, output: Output, execution: Execution) -> None:
        self._output = output
        self._execution = execution
        self._epochs = 0
        self._failures = 0

    def __enter__(self) -> Self:
        self._output.json_line(started_event(self._execution))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def show(self, snapshot: Snapshot) -> None:
        """Write what is new in ``snapshot``."""
        job_id = self._execution.name
        for failure in snapshot.failed_attempts[self._failures :]:
            self._output.json_line(failed_attempt_event(job_id, failure))
        for report in snapshot.epochs[self._epochs :]:
            self._output.json_line(epoch_event(job_id, report))
        self._failures, self._epochs = len(snapshot.failed_attempts), len(snapshot.epochs)
