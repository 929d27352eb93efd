"""The jobs of the stack, newest first."""

from __future__ import annotations

from nicegui import ui

from stepml.client.listing import JobSummary
from stepml.console.addresses import JOBS, job_address
from stepml.console.board import Board
from stepml.console.feeds import Feed
from stepml.console.frame import frame
from stepml.console.live import live
from stepml.console.widgets.table import Cell, Column, Table

MOST = 100
COLUMNS: list[Column[JobSummary]] = [
    Column("job", "Job", lambda job: Cell(job.name, job_address(job.name))),
    Column("status", "Status", lambda job: Cell.of_status(job.status)),
    Column("epochs", "Epochs", lambda job: Cell(str(job.epochs)), lambda job: job.epochs, True),
]


def register(board: Board) -> None:
    """Serve the view."""

    @ui.page(JOBS)
    def view() -> None:
        with frame(board, "Jobs", JOBS):
            table = Table(COLUMNS, lambda job: job.name, "Jobs, newest first")
            live(jobs_feed(board), "the jobs", table.show)


def jobs_feed(board: Board) -> Feed[list[JobSummary]]:
    """Return the feed of the newest jobs."""
    return board.feed("jobs", lambda: board.client.jobs(MOST), lambda _: board.poll_s)
