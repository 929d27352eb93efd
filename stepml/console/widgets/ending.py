"""Stops and resumes jobs: says what that will do, asks, does it once, and goes to the result."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui
from nicegui.events import GenericEventArguments

from stepml.client.run import Run
from stepml.console.addresses import job_address
from stepml.console.apart import apart
from stepml.console.board import Board
from stepml.console.jobs_board import refresh_job
from stepml.console.widgets.dialog import Dialog
from stepml.console.widgets.facts import Lines
from stepml.console.widgets.tags import Tag
from stepml.job.errors import StepMLError
from stepml.reports.retry_words import retry_sentences, stop_sentences

CAUSE = "by a person in the console of StepML"
VALUE = "(event) => emit(event.target.value)"


class StopDialog:
    """Asks whether a job shall be stopped, and stops it.

    Parameters
    ----------
    board : Board
    job : str
        The job's name.
    on_done : callable
        Called when it has been stopped.
    """

    def __init__(self, board: Board, job: str, on_done: Callable[[], object]) -> None:
        self._board, self._job = board, job
        self._dialog = Dialog(
            f"Stop {job}?", "Stop the job", "Stopping the job", self._stop, True, on_done
        )
        with self._dialog.body:
            self._plan = Lines()

    async def open(self) -> None:
        """Say what will happen, and ask."""
        self._plan.show([])
        self._dialog.open()
        await _explain(self._dialog, self._plan, lambda: stop_sentences(self._run().stop_plan()))

    async def _stop(self) -> None:
        await apart(lambda: self._run().stop(CAUSE))
        refresh_job(self._board, self._job)

    def _run(self) -> Run:
        return self._board.client.named(self._job)


class RetryDialog:
    """Says what resuming a job will do, from an epoch that a person may choose, and does it.

    Parameters
    ----------
    board : Board
    job : str
        The job's name.
    """

    def __init__(self, board: Board, job: str) -> None:
        self._board, self._job = board, job
        self._epoch: int | None = None
        self._name: str | None = None
        self._dialog = Dialog(f"Retry {job}?", "Retry", "Retrying the job", self._retry)
        with self._dialog.body:
            self._plan = Lines()
            self._epoch_field = self._field("Train again from epoch (optional)", "number")
            self._epoch_field.put(min=1, step=1)
            self._name_field = self._field("Name of the new execution (optional)", "text")
        self._epoch_field.on("change", self._choose_epoch, js_handler=VALUE)
        self._name_field.on("change", self._choose_name, js_handler=VALUE)

    async def open(self, epoch: int | None = None) -> None:
        """Say what will happen, and ask; ``epoch`` is the first one to train again."""
        self._epoch, self._name = epoch, None
        self._epoch_field.put(value="" if epoch is None else str(epoch))
        self._name_field.put(value="")
        self._plan.show([])
        self._dialog.open()
        await self._explain()

    async def _choose_epoch(self, event: GenericEventArguments) -> None:
        text = str(event.args)
        self._epoch = int(text) if text.isdecimal() else None
        await self._explain()

    async def _choose_name(self, event: GenericEventArguments) -> None:
        self._name = str(event.args).strip() or None
        await self._explain()

    async def _explain(self) -> None:
        epoch, name = self._epoch, self._name

        def lines() -> list[str]:
            return retry_sentences(self._run().retry_plan(epoch, name))

        await _explain(self._dialog, self._plan, lines)

    async def _retry(self) -> None:
        epoch, name = self._epoch, self._name
        now = await apart(lambda: self._run().retry(epoch, name))
        refresh_job(self._board, self._job)
        if now.name != self._job:
            ui.navigate.to(job_address(now.name))

    def _run(self) -> Run:
        return self._board.client.named(self._job)

    @staticmethod
    def _field(label: str, kind: str) -> Tag:
        with Tag("div", classes="field"):
            named = Tag("label", label)
            made = Tag("input", type=kind, autocomplete="off")
            named.put(for_=made.html_id)
            return made


async def _explain(dialog: Dialog, plan: Lines, read: Callable[[], list[str]]) -> None:
    """Show what will happen, or why it cannot."""
    dialog.wait("Reading what it will do")
    try:
        lines = await apart(read)
    except StepMLError as error:
        plan.show([])
        dialog.refuse(str(error))
    else:
        plan.show(lines)
        dialog.clear()
