"""The epochs that a run has taken over from another one, whose job it resumes."""

from __future__ import annotations

from dataclasses import dataclass

from stepml.reports.figures import epochs_text
from stepml.reports.run_record import RunRecord


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The first epochs of a run, which another one has trained.

    Attributes
    ----------
    job : str
        The name of that run.
    epochs : int
        Their number, at least 1.
    """

    job: str
    epochs: int

    @property
    def which(self) -> str:
        """The epochs in words: ``epochs 1 to 3``."""
        return epochs_text(1, self.epochs)

    @property
    def whose(self) -> str:
        """Words before the name of the job: ``epochs 1 to 3 are those of``."""
        return f"{self.which} {'is that' if self.epochs == 1 else 'are those'} of"


def taken_over(record: RunRecord) -> TakenOver | None:
    """Return the epochs that a run has taken over; None if there are none, or none are known."""
    resumed = None if record.spec is None else record.spec.resumed
    if resumed is None:
        return None
    first = min((each.epoch for each in record.attempts), default=1)
    epochs = first - 1 if resumed.epoch is None else resumed.epoch
    return TakenOver(resumed.job, epochs) if epochs > 0 else None
