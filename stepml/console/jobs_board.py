"""The facts of jobs, which pages share: the list, and single jobs with their epochs."""

from __future__ import annotations

from dataclasses import dataclass

from stepml.client.client import Client
from stepml.client.job_list import JobListing
from stepml.client.job_watch import JobLook, JobWatch
from stepml.client.run_progress import progress_of
from stepml.console.board import Board
from stepml.console.feeds import Feed
from stepml.console.jobs_shown import Asked
from stepml.job.parts import FunctionTimes
from stepml.records.execution import SUCCEEDED
from stepml.reports.run_progress import RunProgress
from stepml.reports.run_record import RunRecord

REDRIVE_S = 10.0  # between two looks at a job that has ended, but may be redriven
SEARCH_S = 5.0  # between two searches among all jobs
AT_ONCE_S = 0.05  # until the next part of what is not whole


@dataclass(frozen=True, slots=True)
class JobNow:
    """A job at one moment."""

    look: JobLook  # without news, the same object
    progress: RunProgress  # with the time so far

    @property
    def record(self) -> RunRecord:
        """The record of the job."""
        return self.look.record

    @property
    def arn(self) -> str:
        """The ARN of its execution."""
        return self.look.state.execution.arn

    @property
    def name(self) -> str:
        """The job's id."""
        return self.record.job_id


def jobs_feed(board: Board, asked: Asked | None = None) -> Feed[JobListing]:
    """Return the feed of the newest jobs, or of those that are asked for."""
    wanted = asked or Asked()

    def pause_s(listing: JobListing) -> float:
        if not listing.is_whole:
            return AT_ONCE_S
        return max(SEARCH_S, board.poll_s) if wanted.name else board.poll_s

    return board.feed(
        ("jobs", wanted),
        lambda: board.jobs.look(wanted.limit, wanted.status, wanted.name),
        pause_s,
    )


def job_feed(board: Board, name: str) -> Feed[JobNow]:
    """Return the feed of the job with this name."""

    def pause_s(now: JobNow) -> float | None:
        if not now.look.is_whole:
            return AT_ONCE_S
        if now.record.is_running:
            return board.poll_s
        return None if now.record.status == SUCCEEDED else REDRIVE_S

    return board.feed(_key(name), _Reader(board.client, name).read, pause_s)


def functions_feed(board: Board, name: str, epoch: int) -> Feed[list[FunctionTimes]]:
    """Return the feed of the functions of a finished epoch, which are read once."""
    return board.feed(
        ("functions", name, epoch),
        lambda: board.client.named(name).functions_of(epoch),
        lambda _: None,
    )


def refresh_job(board: Board, name: str, arn: str) -> None:
    """Read a job and the states of its execution now, as this console has changed them."""
    board.refresh(_key(name))
    board.refresh(("executions", arn))


def _key(name: str) -> tuple[str, str]:
    return "job", name


class _Reader:
    """Reads a job again and again; only what is new is read."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self._name = client, name
        self._watch: JobWatch | None = None

    def read(self) -> JobNow:
        self._watch = self._watch or JobWatch(self._client.named(self._name))
        look = self._watch.look()
        is_running = look.record.is_running
        progress = progress_of(look.snapshot) if is_running else RunProgress.of_record(look.record)
        return JobNow(look, progress)
