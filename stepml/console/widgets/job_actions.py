"""The actions on a job: stop it, start it again with changes, download its report."""

from __future__ import annotations

from stepml.console.addresses import new_address
from stepml.console.apart import apart
from stepml.console.board import Board
from stepml.console.defects import defect
from stepml.console.jobs_board import JobNow
from stepml.console.widgets.ending import RetryDialog, StopDialog
from stepml.console.widgets.notices import Notice
from stepml.console.widgets.tags import Tag, button, download, link
from stepml.records.execution import SUCCEEDED
from stepml.reports.run_page import FILE


class JobActions:
    """The buttons of a job's page.

    Parameters
    ----------
    board : Board
    job : str
        The job's name.
    """

    def __init__(self, board: Board, job: str) -> None:
        self._board, self._job = board, job
        self._retry = RetryDialog(board, job)
        self._stop = StopDialog(board, job, lambda: self._retry_button.run_method("focus"))
        self._first_epoch: int | None = None
        with Tag("div", classes="buttons", role="group", aria_label="Actions"):
            self._stop_button = button("Stop…", self._stop.open, "risky")
            self._retry_button = button("Retry…", self._open_retry)
            self._again = link("Start again with changes", new_address(job), "as-button")
            self._report_button = button("Download the report", self._report)
        self._notice = Notice()

    def show(self, now: JobNow) -> None:
        """Offer what can be done with the job as it is."""
        is_running, succeeded = now.record.is_running, now.record.status == SUCCEEDED
        self._stop_button.set_visibility(is_running)
        self._retry_button.say("Retry from an epoch…" if is_running or succeeded else "Retry…")
        is_wrong = now.record.failure is not None and now.record.failure.needs_change
        helps = not (is_running or succeeded or is_wrong)
        self._retry_button.classes(replace="main" if helps else "")
        self._again.classes(replace="as-button main" if is_wrong else "as-button")
        # Without an epoch, nothing of such a job could be retried.
        self._first_epoch = max(now.look.finished, 1) if is_running or succeeded else None

    async def _open_retry(self) -> None:
        await self._retry.open(self._first_epoch)

    async def _report(self) -> None:
        self._report_button.put(disabled=True)
        self._notice.going("Making the report")
        try:
            page = await apart(lambda: self._board.client.named(self._job).report().html)
        except Exception as error:
            self._notice.failed(str(defect(error)))
        else:
            self._notice.clear()
            download(page, f"{self._job}-{FILE}", "text/html")
        finally:
            self._report_button.put(disabled=False)
