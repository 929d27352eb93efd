"""The head of an epoch's page: its attempts, what became of the shown one, and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stepml.console.addresses import epoch_address, job_address
from stepml.console.board import Board
from stepml.console.widgets.ending import RetryDialog
from stepml.console.widgets.facts import Tiles
from stepml.console.widgets.failure_box import FailureBox
from stepml.console.widgets.tags import Tag, button, link
from stepml.deployment.consoles import execution_url
from stepml.records.execution import EpochAttempt
from stepml.reports.attempt_head import attempt_tiles, attempt_words
from stepml.reports.run_record import RunRecord
from stepml.reports.status_words import status_word


class EpochHead:
    """The head.

    Parameters
    ----------
    board : Board
    name : str
        Of the job.
    epoch : int
    """

    def __init__(self, board: Board, name: str, epoch: int) -> None:
        self._job, self._epoch = name, epoch
        self._ways()
        with Tag("div") as self._box:
            with Tag("p", classes="job-status"):
                self._status = Tag("span", role="status")
            self._attempts = _Attempts(name, epoch)
            self._failure = FailureBox(name)
            self._tiles = Tiles()
            self._retry = _Retry(board, name, epoch)
            with Tag("p", classes="small long"):
                self._arn = Tag("span")
                self._link = Tag("a", "in AWS's console", "beside", rel="noreferrer")
        self.hide()

    def hide(self) -> None:
        """Show only the ways to the job and the other epochs."""
        self._box.set_visibility(False)

    def show(
        self, record: RunRecord, attempt: EpochAttempt, attempts: Sequence[EpochAttempt]
    ) -> None:
        """Show an attempt; ``attempts`` are all at this epoch."""
        self._box.set_visibility(True)
        epochs = {each.epoch for each in record.attempts}
        self._before.set_visibility(self._epoch - 1 in epochs)
        self._after.set_visibility(self._epoch + 1 in epochs)
        self._status.say(f"● {attempt_words(attempt, len(attempts))}")
        self._status.classes(replace=f"status {attempt.status}")
        self._attempts.show(attempts, attempt)
        failure = attempt.failure
        self._failure.show(replace(failure, epoch=None) if failure else None)
        self._tiles.show(attempt_tiles(record, attempt))
        self._retry.show(record)
        arn = attempt.execution.arn
        self._arn.say(f"execution {arn}")
        self._link.set_visibility(not record.is_local)
        self._link.put(href=execution_url(arn))

    def _ways(self) -> None:
        name, epoch = self._job, self._epoch
        with Tag("nav", classes="ways", aria_label="Job and epochs"):
            link(f"Job {name}", job_address(name))
            self._before = link(f"Epoch {epoch - 1}", epoch_address(name, epoch - 1), rel="prev")
            self._after = link(f"Epoch {epoch + 1}", epoch_address(name, epoch + 1), rel="next")
        self._before.set_visibility(False)
        self._after.set_visibility(False)


class _Retry:
    """A button that trains the epoch again, and those after it."""

    def __init__(self, board: Board, name: str, epoch: int) -> None:
        self._epoch = epoch
        self._is_here = False
        self._dialog = RetryDialog(board, name)
        with Tag("div", classes="buttons", role="group", aria_label="Actions"):
            self._button = button("", self._open)

    def show(self, record: RunRecord) -> None:
        """Resume a job that has failed here; train any other one again from this epoch."""
        failure = record.failure
        self._is_here = is_here = failure is not None and failure.epoch == self._epoch
        self._button.say(f"{'Retry' if is_here else 'Train again'} from epoch {self._epoch}…")
        self._button.classes(replace="main" if is_here else "")

    async def _open(self) -> None:
        if self._is_here:
            await self._dialog.open(next_epoch=self._epoch)
        else:
            await self._dialog.open(self._epoch)


class _Attempts:
    """Links to the attempts at the epoch, if there are several."""

    def __init__(self, name: str, epoch: int) -> None:
        self._job, self._epoch = name, epoch
        self._nav = Tag("nav", classes="ways", aria_label="Attempts at the epoch")
        self._links: list[Tag] = []

    def show(self, attempts: Sequence[EpochAttempt], shown: EpochAttempt) -> None:
        self._nav.set_visibility(len(attempts) > 1)
        with self._nav:
            self._links += [self._link(each) for each in attempts[len(self._links) :]]
        for tag, each in zip(self._links, attempts, strict=False):
            tag.say(f"Attempt {each.number}: {status_word(each.status)}")
            tag.put(aria_current="page" if each.number == shown.number else None)

    def _link(self, attempt: EpochAttempt) -> Tag:
        return link("", epoch_address(self._job, self._epoch, attempt=attempt.number))
