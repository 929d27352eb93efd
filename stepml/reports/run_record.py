"""Everything that is known of one run: the source of tables, plots and reports.

A record comes from the stack in which the job ran, or from the directory to which its results were
downloaded. A directory has ``report.json`` of a job with a model, and ``run.json``, this record
without the parts that ``report.json`` has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

from stepml.job.documents import encode
from stepml.job.parts import FunctionTimes
from stepml.job.reports import DatasetFacts, EpochReport, JobReport, total_cost_usd
from stepml.job.spec import JobSpec
from stepml.records.documents import read_document
from stepml.records.errors import ExecutionNotFoundError
from stepml.records.execution import RUNNING, SUCCEEDED, EpochAttempt
from stepml.records.failures import Failure
from stepml.whole_files import write_whole

REPORT_FILE = "report.json"
RECORD_FILE = "run.json"
T = TypeVar("T")


class RunNotFoundError(ExecutionNotFoundError):
    """A directory has no results of a run."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as far as it has come; its epochs and their attempts in the order of their start."""

    job_id: str
    status: str  # of its execution, as AWS names it
    started_at: datetime | None = None  # None: unknown, from a directory without ``run.json``
    ended_at: datetime | None = None  # None while it runs, or unknown
    job: str = ""  # as it was started, a JSON text
    spec: JobSpec | None = None  # with all that has been chosen so far; None: no valid job
    attempts: list[EpochAttempt] = field(default_factory=list)
    final: JobReport | None = None  # of a job with a model
    dataset: DatasetFacts | None = None  # None before the data are known
    failure: Failure | None = None  # that ended the job
    environment: dict[str, str] = field(default_factory=dict)  # of the deployment, by name
    is_local: bool = False  # on the local AWS
    # Of some epochs whose reports have no functions: those that a report shows.
    functions: dict[int, list[FunctionTimes]] = field(default_factory=dict)

    @property
    def epochs(self) -> list[EpochReport]:
        """The reports of all finished epochs, each once, in their order."""
        if self.final is not None:
            return self.final.history
        found = {each.epoch: each.report for each in self.attempts if each.report is not None}
        return [found[epoch] for epoch in sorted(found)]

    @property
    def model_report(self) -> EpochReport | None:
        """The report of the epoch whose model is kept; without a model, of the last epoch."""
        epochs = self.epochs
        kept = self.final.model_epoch if self.final is not None else 0
        return next((each for each in epochs if each.epoch == kept), epochs[-1] if epochs else None)

    @property
    def is_running(self) -> bool:
        """Whether the job goes on."""
        return self.status in RUNNING

    @property
    def failed_attempts(self) -> list[EpochAttempt]:
        """The attempts at epochs that failed, with their failures."""
        return [each for each in self.attempts if each.failure is not None]

    @property
    def seconds(self) -> float | None:
        """Seconds from start to end, or until now while it runs; None if unknown."""
        if self.final is not None:
            return self.final.seconds
        if self.started_at is None:
            return None
        return ((self.ended_at or datetime.now(UTC)) - self.started_at).total_seconds()

    @property
    def cost_usd(self) -> float | None:
        """Estimated US dollars so far; None before the first epoch has ended."""
        if self.final is not None:
            return total_cost_usd(self.final)
        epochs = self.epochs
        return epochs[-1].total_cost_usd if epochs else None

    @property
    def communication_share(self) -> float | None:
        """The share of communication in the ranks' time of all epochs; None if unknown."""
        return communication_share(self.epochs)

    @classmethod
    def of_directory(cls, directory: Path) -> Self:
        """Return the record of a run whose results were downloaded to ``directory``.

        Raises
        ------
        RunNotFoundError
            It has neither ``run.json`` nor ``report.json``.
        ReportUnreadableError
            One of them is damaged, or of another version of StepML.
        """
        final = _read(directory / REPORT_FILE, JobReport)
        record = _read(directory / RECORD_FILE, cls)
        if record is not None:
            return record if final is None else record._with(final)
        if final is None:
            raise RunNotFoundError(
                f"{directory} has no results of a run: neither {RECORD_FILE} nor {REPORT_FILE}"
            )
        return cls(
            job_id=final.job_id,
            status=SUCCEEDED,
            spec=final.spec,
            final=final,
            dataset=final.dataset,
            environment={**final.versions, **final.kernels},
        )

    def write(self, directory: Path) -> Path:
        """Write ``run.json`` to a directory, and return its path.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / RECORD_FILE
        write_whole(path, encode(self if self.final is None else self._without_final()))
        return path

    def _without_final(self) -> Self:
        attempts = [replace(each, report=None) for each in self.attempts]
        return replace(self, final=None, dataset=None, attempts=attempts)

    def _with(self, final: JobReport) -> Self:
        reports = {each.epoch: each for each in final.history}
        attempts = [
            replace(each, report=reports.get(each.epoch)) if each.status == SUCCEEDED else each
            for each in self.attempts
        ]
        return replace(self, final=final, dataset=final.dataset, attempts=attempts)


def communication_share(reports: Iterable[EpochReport]) -> float | None:
    """Return the share of communication in the ranks' time of epochs; None if unknown.

    Epochs that have none, of earlier versions, do not count.
    """
    known = [
        (each.communication_share, sum(each.executor_seconds))
        for each in reports
        if each.communication_share is not None
    ]
    seconds = sum(length for _, length in known)
    return sum(share * length for share, length in known) / seconds if seconds else None


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return read_document(content, kind, path.name, str(path))
