"""The progress of a run, as its card in a notebook shows it, while it runs and afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from stepml.job.reports import EpochReport
from stepml.records.failures import Failure
from stepml.reports import job_facts
from stepml.reports.epoch_limits import most_epochs
from stepml.reports.figures import cost, count, duration
from stepml.reports.run_head import judged_rows, status_words, warning_texts
from stepml.reports.run_record import RunRecord, communication_share


@dataclass(frozen=True, slots=True)
class RunProgress:
    """One run at one moment."""

    job_id: str
    status: str  # for people: running, converged, failed …
    colour: str  # good, bad or note
    is_running: bool
    job: str = ""  # model, algorithm, workers and channel, in a phrase
    phase: str = ""  # of a running job, in words: partitioning 2/4 ranges
    done: int = 0  # finished epochs, or parts of a phase before them …
    total: int | None = None  # … and their number, at most; None: unknown
    epochs: Sequence[EpochReport] = ()
    seconds: float | None = None  # so far
    cost_usd: float | None = None  # of the whole job; None: as its last epoch says
    rows: str = "validation"  # on which it is judged
    retried: Sequence[Failure] = ()  # attempts at epochs that failed
    failure: Failure | None = None  # that ended the job
    reason: str = ""  # why it ended
    notes: Sequence[str] = ()  # warnings, waits

    @classmethod
    def of_record(cls, record: RunRecord) -> Self:
        """Return the progress of a run that has ended, or is not followed further."""
        status, colour = status_words(record)
        epochs, spec = record.epochs, record.spec
        retried = [each.failure for each in record.failed_attempts if each.failure is not None]
        if record.failure is not None and retried:
            retried.pop()  # the last attempt is that which ended the job
        return cls(
            job_id=record.job_id,
            status=status,
            colour=colour,
            is_running=record.is_running,
            job="" if spec is None else job_facts.in_short(spec),
            done=len(epochs),
            total=most_epochs(record.job, record.dataset) if record.is_running else None,
            epochs=epochs,
            seconds=record.seconds,
            cost_usd=record.cost_usd,
            rows=judged_rows(record),
            retried=retried,
            failure=record.failure,
            reason=record.final.reason if record.final is not None else "",
            notes=warning_texts(record),
        )

    @property
    def share(self) -> float | None:
        """The finished share of the epochs or of the phase, 0 to 1; None if it is unknown."""
        if not self.is_running:
            return 1.0
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def figures(self) -> list[str]:
        """Epochs, time, cost and communication so far, each in a few words."""
        n_epochs = len(self.epochs)
        of = f" of {self.total}" if self.total and n_epochs == self.done else ""
        trained = f"epoch {n_epochs}{of}" if self.is_running else count(n_epochs, "epoch")
        share = communication_share(self.epochs)
        usd = self.cost_usd
        if usd is None and self.epochs:
            usd = self.epochs[-1].total_cost_usd
        found = [
            trained if n_epochs else "",
            "" if self.seconds is None else duration(self.seconds),
            "" if usd is None else f"$ {cost(usd)}",
            "" if share is None else f"communication {share:.0%}",
        ]
        return [each for each in found if each]
