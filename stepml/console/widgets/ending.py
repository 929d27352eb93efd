"""Stops and resumes jobs: says what that will do, asks, does it once, and goes to the result."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from stepml.client.run import Run
from stepml.console.addresses import job_address, number_in
from stepml.console.apart import apart
from stepml.console.board import Board
from stepml.console.defects import defect
from stepml.console.jobs_board import refresh_job
from stepml.console.widgets.dialog import Dialog
from stepml.console.widgets.facts import Lines
from stepml.console.widgets.inputs import Input
from stepml.reports.retry_words import retry_sentences, stop_sentences

CAUSE = "by a person in the console of StepML"


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
        stopped = await apart(lambda: self._run().stop(CAUSE))
        refresh_job(self._board, self._job, stopped.state.execution.arn)

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
        self._said: str | None = None  # the name of the new execution, as it was explained
        self._dialog = Dialog(f"Retry {job}?", "Retry", "Retrying the job", self._retry)
        with self._dialog.body:
            self._plan = Lines()
            self._epoch_input = Input(
                "Train again from epoch (optional)", self._choose_epoch, type="number", min=1
            )
            self._name_input = Input(
                "Name of the new execution (optional)", self._choose_name, type="text"
            )

    async def open(self, epoch: int | None = None) -> None:
        """Say what will happen, and ask; ``epoch`` is the first one to train again."""
        self._epoch, self._name = epoch, None
        self._epoch_input.show("" if epoch is None else str(epoch))
        self._name_input.show("")
        self._plan.show([])
        self._dialog.open()
        await self._explain()

    async def _choose_epoch(self, text: str) -> None:
        # What is no number is refused as the epoch 0 is: it does not mean all epochs.
        self._epoch = (number_in(text) or 0) if text else None
        await self._explain()

    async def _choose_name(self, text: str) -> None:
        self._name = text or None
        await self._explain()

    async def _explain(self) -> None:
        epoch, name = self._epoch, self._name
        self._said = None

        def lines() -> list[str]:
            plan = self._run().retry_plan(epoch, name)
            if is_wanted():
                self._said = None if plan.how == "redriven" else plan.name
            return retry_sentences(plan)

        def is_wanted() -> bool:
            return (epoch, name) == (self._epoch, self._name)

        await _explain(self._dialog, self._plan, lines, is_wanted)

    async def _retry(self) -> None:
        # With that name, it begins only once, also if an answer is lost.
        epoch, name = self._epoch, self._said
        now = await apart(lambda: self._run().retry(epoch, name))
        refresh_job(self._board, now.name, now.arn)
        if now.name != self._job:
            ui.navigate.to(job_address(now.name))

    def _run(self) -> Run:
        return self._board.client.named(self._job)


async def _explain(
    dialog: Dialog,
    plan: Lines,
    read: Callable[[], list[str]],
    is_wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Show what will happen, or why it cannot; nothing if something else is wanted by then."""
    dialog.wait("Reading what it will do")
    lines, refusal = list[str](), ""
    try:
        lines = await apart(read)
    except Exception as error:
        refusal = str(defect(error))
    if is_wanted():
        plan.show(lines)
        dialog.decide(refusal)
