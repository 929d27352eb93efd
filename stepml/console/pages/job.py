"""One job: how far it is, how it learns, where time and money go, and why an attempt failed."""

from __future__ import annotations

from nicegui import ui

from stepml.console.addresses import JOB, JOBS
from stepml.console.board import Board
from stepml.console.frame import frame
from stepml.console.jobs_board import job_feed
from stepml.console.live import live
from stepml.console.widgets.job_head import JobHead


def register(board: Board) -> None:
    """Serve the view."""

    @ui.page(JOB)
    def view(name: str) -> None:
        with frame(board, name, JOBS):
            live(job_feed(board, name), f"the job {name}", JobHead(name).show)
