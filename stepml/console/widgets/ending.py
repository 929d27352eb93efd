"""Stops and resumes jobs: says what that will do, asks, does it once, and goes to the result."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from stepml.client.run import Run
from stepml.console.addresses import job_address, new_address, number_in
from stepml.console.apart import apart
from stepml.console.board import Board
from stepml.console.defects import defect
from stepml.console.jobs_board import refresh_job
from stepml.console.widgets.dialog import Dialog
from stepml.console.widgets.facts import Lines
from stepml.console.widgets.inputs import Input
from stepml.console.widgets.tags import link
from stepml.records.errors import RetryRefusedError
from stepml.records.retry_plan import RetryPlan
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
        self._wrong = ""  # what was typed instead of a number
        self._next: int | None = None
        self._said: RetryPlan | None = None
        self._dialog = Dialog(f"Retry {job}?", "Retry", "Retrying the job", self._retry)
        with self._dialog.body:
            self._plan = Lines()
            # No input for numbers: the browser hides from the page what is none.
            self._epoch_input = Input(
                "Train again from epoch (optional)",
                self._choose_epoch,
                type="text",
                inputmode="numeric",
            )
            self._name_input = Input(
                "Name of the new execution (optional)", self._choose_name, type="text"
            )
        with self._dialog.beside:
            self._again = link("Start again with changes", new_address(job))
        self._again.set_visibility(False)

    async def open(self, epoch: int | None = None, next_epoch: int | None = None) -> None:
        """Say what will happen, and ask.

        Parameters
        ----------
        epoch : int, optional
            The first one to train again.
        next_epoch : int, optional
            Instead: that at which the job failed, with which it goes on by itself.
        """
        self._epoch, self._name, self._wrong, self._next = epoch, None, "", next_epoch
        shown = next_epoch if epoch is None else epoch
        self._epoch_input.correct("" if shown is None else str(shown))
        self._name_input.correct("")
        self._plan.show([])
        self._again.set_visibility(False)
        self._dialog.open()
        await self._explain()

    async def _choose_epoch(self, text: str) -> None:
        self._epoch = whole_number(text)
        self._wrong = text if self._epoch is None else ""
        if self._epoch == self._next:  # it goes on: nothing is trained again
            self._epoch = None
        await self._explain()

    async def _choose_name(self, text: str) -> None:
        self._name = text or None
        await self._explain()

    async def _explain(self) -> None:
        wanted = epoch, name, wrong = self._epoch, self._name, self._wrong
        plans: list[RetryPlan] = []

        def lines() -> list[str]:
            choices = self._run().retry_choices
            if wrong:
                raise RetryRefusedError(f"epoch: expected 1 to {choices.most}, got {wrong}")
            plans.append(choices.plan(epoch, name))
            return retry_sentences(plans[0])

        def is_wanted() -> bool:
            return wanted == (self._epoch, self._name, self._wrong)

        refusal = await _explain(self._dialog, self._plan, lines, is_wanted)
        if is_wanted():
            needs_change = isinstance(refusal, RetryRefusedError) and refusal.needs_change
            self._again.set_visibility(needs_change)
            self._said = plans[0] if plans else None

    async def _retry(self) -> None:
        epoch, name, said = self._epoch, self._name, self._said
        if said is not None and said.how != "redriven":
            name = said.name  # which has the time in it at which it was said
        now = await apart(lambda: self._run().retry(epoch, name))
        refresh_job(self._board, now.name, now.arn)
        if now.name != self._job:
            ui.navigate.to(job_address(now.name))

    def _run(self) -> Run:
        return self._board.client.named(self._job)


def whole_number(text: str) -> int | None:
    """Return the number that a person has typed, also a negative one; None if it is none."""
    number = number_in(text.removeprefix("-"))
    return -number if number is not None and text.startswith("-") else number


async def _explain(
    dialog: Dialog,
    plan: Lines,
    read: Callable[[], list[str]],
    is_wanted: Callable[[], bool] = lambda: True,
) -> Exception | None:
    """Show what will happen, or why it cannot; nothing if something else is wanted by then.

    Returns
    -------
    Exception or None
        The refusal.
    """
    dialog.wait("Reading what it will do")
    lines, refusal = list[str](), None
    try:
        lines = await apart(read)
    except Exception as error:
        refusal = error
    if is_wanted():
        plan.show(lines)
        dialog.decide("" if refusal is None else str(defect(refusal)))
    return refusal
