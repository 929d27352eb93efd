"""One epoch: the graph of its execution, its ranks, and the log of each of their calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nicegui import ui

from stepml.console.addresses import EPOCH, JOBS, number_in
from stepml.console.board import Board
from stepml.console.executions_board import AttemptNow, attempt_feed
from stepml.console.frame import frame
from stepml.console.jobs_board import JobNow, functions_feed, job_feed
from stepml.console.live import Follower, live
from stepml.console.widgets.attempt_view import AttemptView
from stepml.console.widgets.epoch_head import EpochHead
from stepml.console.widgets.notices import Notice
from stepml.console.widgets.tags import Tag
from stepml.console.widgets.timeline import Timeline
from stepml.console.widgets.trail import Choice
from stepml.job.parts import FunctionTimes
from stepml.job.reports import EpochReport
from stepml.records.execution import EpochAttempt
from stepml.reports.run_record import RunRecord


def register(board: Board) -> None:
    """Serve the view."""

    @ui.page(EPOCH)
    def view(
        name: str,
        epoch: int,
        attempt: str = "",
        state: str = "",
        visit: str = "",
        call: str = "",
        execution: str = "",
        sort: str = "",
    ) -> None:
        asked = Asked(number_in(attempt), Choice.parsed(state, visit, call, execution), sort)
        with frame(board, f"Epoch {epoch} of {name}", JOBS):
            shown = _View(board, name, epoch, asked)
            live(job_feed(board, name), f"the job {name}", shown.show)


@dataclass(frozen=True, slots=True)
class Asked:
    """The settings of the page's address."""

    attempt: int | None
    choice: Choice
    sorted_by: str


class _View:
    """The page; it follows the job, and the attempt that it shows."""

    def __init__(self, board: Board, name: str, epoch: int, asked: Asked) -> None:
        self._board, self._job, self._epoch, self._asked = board, name, epoch, asked
        self._attempt: EpochAttempt | None = None
        self._head = EpochHead(board, name, epoch)
        self._missing = Notice()
        self._follower: Follower[AttemptNow] = Follower("the epoch's execution")
        self._times = _Times(board, name)

    def show(self, now: JobNow) -> None:
        attempts = [each for each in now.record.attempts if each.epoch == self._epoch]
        found = [each for each in attempts if self._asked.attempt in (None, each.number)]
        if not found:
            self._head.hide()
            self._times.hide()
            if now.look.is_whole:
                self._missing.empty(_missing(now.record, self._epoch, self._asked.attempt))
            return
        self._missing.clear()
        self._show(now.record, found[-1], attempts)

    def _show(
        self, record: RunRecord, attempt: EpochAttempt, attempts: Sequence[EpochAttempt]
    ) -> None:
        self._head.show(record, attempt, attempts)
        if self._attempt is not None and self._attempt.execution != attempt.execution:
            self._asked = Asked(None, Choice(), "")  # of the attempt before
        self._attempt = attempt
        feed = partial(attempt_feed, self._board, self._job, attempt)
        make = partial(self._made, attempt)
        self._follower.follow(attempt.execution.arn, feed, make)
        self._times.show(attempt)

    def _made(self, attempt: EpochAttempt) -> Callable[[AttemptNow], object]:
        asked = self._asked
        view = AttemptView(
            self._board,
            self._job,
            attempt,
            is_asked_for=asked.attempt is not None,
            choice=asked.choice,
            sorted_by=asked.sorted_by,
        )
        return view.show


class _Times:
    """The timeline of the functions, of an attempt that has a report."""

    def __init__(self, board: Board, job: str) -> None:
        self._board, self._job = board, job
        with Tag("section") as self._section:
            Tag("h2", "Time of the ranks")
            self._follower: Follower[list[FunctionTimes]] = Follower("the times of the functions")
        self.hide()

    def hide(self) -> None:
        self._section.set_visibility(False)

    def show(self, attempt: EpochAttempt) -> None:
        report = attempt.report
        self._section.set_visibility(report is not None)
        if report is not None:
            feed = partial(functions_feed, self._board, self._job, report.epoch)
            self._follower.follow(attempt.execution.arn, feed, partial(_timeline, report))


def _timeline(report: EpochReport) -> Callable[[list[FunctionTimes]], object]:
    timeline = Timeline()
    return partial(timeline.show, report)


def _missing(record: RunRecord, epoch: int, number: int | None) -> str:
    known = {each.epoch for each in record.attempts}
    if epoch in known:
        return f"Epoch {epoch} has no attempt {number}."
    last = f"The last one so far is epoch {max(known)}." if known else "It has none so far."
    return f"This job has no epoch {epoch}. {last}"
