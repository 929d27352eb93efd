"""Runs for TensorBoard: curves, hyperparameters and failed attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepml.job.installing import require_packages
from stepml.records.errors import LibraryMissingError
from stepml.tracking.errors import TrackerError
from stepml.tracking.facts import Parameter, identity, metrics
from stepml.tracking.tracker import RunLog, Tracker

if TYPE_CHECKING:
    from stepml.client import Failure, Run
    from stepml.job.reports import EpochReport, JobReport
    from stepml.reports.run_record import RunRecord

_LOSS = "quality/loss"
_RUN, _FAILED = "stepml/run", "stepml/failed_attempts"
_PARAMETERS = "_hparams_/session_start_info"


class TensorBoard(Tracker):
    """Writes each run to a directory of its own; needs ``stepml[tensorboard]``.

    Parameters
    ----------
    directory : str or Path
        For ``tensorboard --logdir``; a run is in its sub-directory with the job's name.

    Raises
    ------
    LibraryMissingError
        TensorBoard is not installed.
    TrackerError
        The directory cannot be written.
    """

    def __init__(self, directory: str | Path) -> None:
        super().__init__()
        require_packages(
            ("tensorboard",), "the library for TensorBoard", "tensorboard", LibraryMissingError
        )
        self.directory = Path(directory)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrackerError(
                f"{str(directory)!r}: expected a directory that can be written: {error.strerror}"
            ) from error

    def open(self, run: Run, record: RunRecord) -> RunLog:
        """Return the log of a run: its directory, with the epochs that are there."""
        name = " ".join(identity(run, record).values())
        return _Directory(_directory_of(self.directory, record, name), run.name, name)


class _Directory(RunLog):
    """The event files of one run; each watch that has something new adds a file."""

    def __init__(self, directory: Path, job_id: str, name: str) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._job_id = job_id
        written = list(_values(directory))
        self.epochs = {step for step, value in written if value.tag == _LOSS}
        self._has_parameters = any(value.tag == _PARAMETERS for _, value in written)
        self._failed = {_text_of(value) for _, value in written if value.tag == _FAILED}
        self._files = EventFileWriter(str(directory))
        if not any(value.tag == _RUN for _, value in written):
            self._write(_text(_RUN, name))

    def describe(self, parameters: Mapping[str, Parameter], tags: Mapping[str, str]) -> None:
        from tensorboard.plugins.hparams import summary_v2

        if not self._has_parameters:
            self._write(summary_v2.hparams_pb(dict(parameters), trial_id=self._job_id))
            self._has_parameters = True

    def write_epoch(self, report: EpochReport, ended_at: datetime) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=f"{_group(name)}/{name}", simple_value=value)
            for name, value in metrics(report).items()
        ]
        self._write(Summary(value=values), report.epoch, ended_at)

    def write_failed_attempt(self, failure: Failure) -> None:
        text = f"epoch {failure.epoch}: {failure.with_rank} {failure.log_stream}".rstrip()
        if text not in self._failed:
            self._write(_text(_FAILED, text), failure.epoch or 0)
            self._failed.add(text)

    def end(self, run: Run, result: JobReport | None) -> None:
        self._files.close()

    def _write(self, summary: Any, step: int = 0, at: datetime | None = None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        moment = at or datetime.now().astimezone()
        self._files.add_event(Event(wall_time=moment.timestamp(), step=step, summary=summary))
        self._files.flush()


def _directory_of(parent: Path, record: RunRecord, name: str) -> Path:
    """Return the directory of a run; another run of its name may have taken the first choice."""
    directory = parent / record.job_id
    found = {_text_of(value) for _, value in _values(directory) if value.tag == _RUN}
    if not found or name in found or record.started_at is None:
        return directory
    return parent / f"{record.job_id}-{record.started_at:%Y%m%d-%H%M%S}"


def _values(directory: Path) -> Iterator[tuple[int, Any]]:
    """Yield the values in the event files of a directory with their steps."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    for path in sorted(directory.glob("events.out.tfevents.*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                yield event.step, value


def _text(tag: str, text: str) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    about = create_summary_metadata(display_name=tag, description="")
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=make_tensor_proto(text))])


def _text_of(value: Any) -> str:
    return b"".join(value.tensor.string_val).decode(errors="replace")


def _group(name: str) -> str:
    """Return the group of a number: TensorBoard shows the charts of a group together."""
    if name.endswith("_usd"):
        return "spent"  # TensorBoard sorts groups: quality is the first to be seen
    return "time" if name.endswith(("_s", "seconds", "_share")) else "quality"
