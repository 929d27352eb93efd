"""Stops and resumes jobs: says what that will do, asks, does it once, and goes to the result."""

from __future__ import annotations

from stepml.console.apart import apart
from stepml.console.board import Board
from stepml.console.jobs_board import refresh_job
from stepml.console.widgets.dialog import Dialog
from stepml.console.widgets.tags import Tag

CAUSE = "by a person in the console of StepML"


class StopDialog:
    """Asks whether a job shall be stopped, and stops it.

    Parameters
    ----------
    board : Board
    job : str
        The job's name.
    """

    def __init__(self, board: Board, job: str) -> None:
        self._board, self._job = board, job
        self._dialog = Dialog(
            f"Stop {job}?", "Stop the job", "Stopping the job", self._stop, is_risky=True
        )
        with self._dialog.body:
            Tag("p", "Its executions end at once, its functions at their next batch or wait.")
            Tag("p", "Finished epochs are kept: the job can be resumed after them.")

    def open(self) -> None:
        """Ask."""
        self._dialog.open()

    async def _stop(self) -> None:
        await apart(lambda: self._board.client.named(self._job).stop(CAUSE))
        refresh_job(self._board, self._job)
