"""The head of a job's page: its status, its phase, its most important numbers, its failure."""

from __future__ import annotations

from stepml.console.jobs_board import JobNow
from stepml.console.widgets.facts import Lines, Tiles
from stepml.console.widgets.failure_box import FailureBox
from stepml.console.widgets.tags import Tag
from stepml.console.widgets.taken_line import TakenLine
from stepml.reports.pages import time_text
from stepml.reports.run_card import SEPARATOR, retried_text
from stepml.reports.run_head import tiles
from stepml.reports.run_progress import RunProgress
from stepml.reports.run_record import RunRecord
from stepml.reports.status_words import status_word

MOST_RETRIED = 3
CONVERGED = "converged"


class JobHead:
    """The head; it shows a job at one moment after another.

    Parameters
    ----------
    name : str
        Of the job.
    """

    def __init__(self, name: str) -> None:
        with Tag("p", classes="job-status"):
            self._status = Tag("span", role="status")
            self._job = Tag("span", classes="soft")
        self._bar = Tag("progress", classes="job-bar", aria_label="Progress", max=1)
        self._line = Tag("p", classes="soft")
        self._taken = TakenLine()
        self._notes = Lines("note")
        self._failure = FailureBox(name)
        self._tiles = Tiles()

    def show(self, now: JobNow) -> None:
        """Show the job as it is now."""
        progress, record = now.progress, now.record
        self._status.say(f"● {status_word(record.status)}")
        self._status.classes(replace=f"status {record.status}")
        self._job.say(progress.job)
        self._bar.set_visibility(progress.is_running)
        self._bar.put(value=None if progress.share is None else f"{progress.share:.3f}")
        started = f"started {time_text(record.started_at)}" if record.started_at else ""
        words = [progress.phase, _epochs(progress), end_words(record), started]
        self._line.say(SEPARATOR.join(filter(None, words)))
        self._taken.show(record)
        retried = progress.retried[-MOST_RETRIED:]
        self._notes.show([*map(retried_text, retried), *progress.notes])
        self._failure.show(progress.failure)
        self._tiles.show([(each["name"], each["value"], each["note"]) for each in tiles(record)])


def end_words(record: RunRecord) -> str:
    """Return why a job has ended: ``converged: no improvement …``."""
    final = record.final
    if final is None or record.failure is not None:
        return ""
    return f"{final.decision}: {final.reason}" if final.decision == CONVERGED else final.reason


def _epochs(progress: RunProgress) -> str:
    if not progress.is_running or not progress.epochs or progress.total is None:
        return ""
    return f"epoch {progress.done} of {progress.total}"
