"""Runs as lines of JSON in a file, for programs of your own; docs/json_lines.md has the fields."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stepml.reports.events import (
    Event,
    epoch_event,
    error_event,
    failed_attempt_event,
    result_event,
    started_event,
)
from stepml.tracking.errors import TrackerError
from stepml.tracking.facts import Parameter, identity
from stepml.tracking.tracker import RunLog, Tracker

if TYPE_CHECKING:
    from stepml.client import Failure, Run
    from stepml.job.reports import EpochReport, JobReport
    from stepml.reports.run_record import RunRecord


class JsonLines(Tracker):
    """Appends what runs do to a file, a JSON object on a line; several runs may share the file.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    TrackerError
        The file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.open("ab").close()
        except OSError as error:
            raise TrackerError(
                f"{str(self.path)!r}: expected a file that can be written: {error.strerror}"
            ) from error

    def open(self, run: Run, record: RunRecord) -> RunLog:
        """Return the log of a run: its lines in the file, and those to come."""
        log = _Lines(self.path, identity(run, record))
        log.append(started_event(run.execution))
        return log


class _Lines(RunLog):
    """The lines of one run; a line that is there is not written again."""

    def __init__(self, path: Path, run: Mapping[str, str]) -> None:
        self._path = path
        self._run = dict(run)
        self._written = list(_lines_of(path, self._run))
        self._parameters = {
            name
            for each in self._written
            if each["event"] == "parameters"
            for name in each["parameters"]
        }
        self.epochs = {each["epoch"] for each in self._written if each["event"] == "epoch"}

    def describe(self, parameters: Mapping[str, Parameter], tags: Mapping[str, str]) -> None:
        new = {name: each for name, each in parameters.items() if name not in self._parameters}
        if new:
            self.append({"event": "parameters", "parameters": new, "tags": dict(tags)})
            self._parameters |= set(new)

    def write_epoch(self, report: EpochReport, ended_at: datetime) -> None:
        self.append(epoch_event(self._run["job_id"], report), ended_at)

    def write_failed_attempt(self, failure: Failure) -> None:
        self.append(failed_attempt_event(self._run["job_id"], failure))

    def end(self, run: Run, result: JobReport | None) -> None:
        state, failure = run.state, run.failure
        again = {"redrives": state.redrives}  # a job may end several times
        if failure is not None:
            self.append({**error_event(run.execution, state.status, failure), **again})
        if result is not None:
            self.append({**result_event(run.execution, state.status, result, {}), **again})

    def append(self, event: Event, at: datetime | None = None) -> None:
        """Append a line, unless the run has it; ``at`` is the time of the event, now by default."""
        line = _as_read({**event, **self._run})
        if line in self._written:
            return
        _append_line(self._path, {"time": (at or datetime.now(UTC)).isoformat(), **line})
        self._written.append(line)


def _lines_of(path: Path, run: Mapping[str, str]) -> Iterator[Event]:
    """Yield the events of a run, without their times; lines that are none are left out."""
    for text in path.read_bytes().splitlines():
        try:
            line = msgspec.json.decode(text)
        except msgspec.DecodeError:  # cut off, as its writer was killed
            continue
        if isinstance(line, dict) and "event" in line and run.items() <= line.items():
            yield {name: each for name, each in line.items() if name != "time"}


def _append_line(path: Path, line: Event) -> None:
    """Append a line in one write, as other runs may write to the file at the same time."""
    with path.open("rb") as before:
        size = before.seek(0, os.SEEK_END)
        before.seek(max(size - 1, 0))
        is_cut = before.read() not in (b"", b"\n")
    with path.open("ab") as file:
        file.write(b"\n" * is_cut + msgspec.json.encode(line) + b"\n")


def _as_read(event: Event) -> Event:
    """Return an event as a reader sees it: no number is infinite."""
    read: Event = msgspec.json.decode(msgspec.json.encode(event))
    return read
