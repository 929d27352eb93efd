"""The graph of a job's execution; a long job has several, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from stepml.client.histories import Seen
from stepml.console.addresses import epoch_address
from stepml.console.board import Board
from stepml.console.executions_board import (
    FAILED,
    ExecutionsNow,
    events_feed,
    executions_feed,
    log_feed,
)
from stepml.console.live import live
from stepml.console.widgets.execution_view import ExecutionView
from stepml.console.widgets.tags import Tag, choice_link
from stepml.console.widgets.trail import Choice, Ways
from stepml.records.execution import EpochAttempt


class JobGraph:
    """The graph, live, with the panel of the chosen state.

    Parameters
    ----------
    board : Board
    job : str
        The job's name.
    arn : str
        Of its execution.
    address : callable
        Returns the address of the page with a choice; its ``execution`` is one of the job's.
    choice : Choice
        As the address has it when the page is opened.
    on_choose : callable
        Called when a person has chosen.
    """

    def __init__(
        self,
        board: Board,
        job: str,
        arn: str,
        address: Callable[[Choice], str],
        choice: Choice,
        on_choose: Callable[[Choice], object],
    ) -> None:
        self._board, self._job, self._arn = board, job, arn
        self._address, self._on_choose = address, on_choose
        self._asked = choice
        self._children: Mapping[str, str] = {}
        self._now: ExecutionsNow | None = None
        self._view: tuple[str, ExecutionView] | None = None  # of the execution with this ARN
        self._several = Tag("nav", classes="ways", aria_label="Executions of the job")
        self._links: dict[str, Tag] = {}  # by the name of an execution
        self._place = Tag("div")
        live(executions_feed(board, arn), "the states of the job", self.draw)

    def show(self, attempts: Sequence[EpochAttempt]) -> None:
        """Let the states lead to these attempts at epochs."""
        self._children = {
            each.execution.arn: epoch_address(self._job, each.epoch, attempt=each.number)
            for each in attempts
        }

    def _child_address(self, arn: str) -> str | None:
        return self._children.get(arn)

    def draw(self, now: ExecutionsNow) -> None:
        """Show the executions as they are now."""
        self._now = now
        names = [_name(each.arn) for each in now.seen]
        chosen = names.index(self._asked.execution) if self._asked.execution in names else -1
        self._show_links(names, names[chosen])
        seen = now.seen[chosen]
        if self._view is not None and not self._asked.execution and self._view[0] != seen.arn:
            self._asked = Choice()  # the execution that continues the job has visits of its own
        if self._view is None and self._asked == Choice():
            self._asked = _failed(seen)
        self._view_of(seen.arn).show(now.machines[chosen], lambda _: seen.visits)

    def _show_links(self, names: Sequence[str], chosen: str) -> None:
        self._several.set_visibility(len(names) > 1)
        known = list(self._links)
        if known != list(names[: len(known)]):  # a retry has another continuation
            self._several.clear()
            self._links.clear()
        with self._several:
            for number, name in enumerate(names[len(self._links) :], len(self._links) + 1):
                choice = Choice(execution=name)
                choose = partial(self.choose_execution, choice)
                made = choice_link(f"Execution {number}", self._address(choice), choose)
                self._links[name] = made
        for name, tag in self._links.items():
            tag.put(aria_current="true" if name == chosen else None)

    def choose_execution(self, choice: Choice) -> None:
        """Show the execution that a person has chosen."""
        self._asked = choice
        self._on_choose(choice)
        if self._now is not None:
            self.draw(self._now)

    def _view_of(self, arn: str) -> ExecutionView:
        if self._view is None or self._view[0] != arn:
            self._place.clear()
            with self._place:
                self._view = arn, self._new_view(arn)
        return self._view[1]

    def _new_view(self, arn: str) -> ExecutionView:
        execution = self._asked.execution
        ways = Ways(
            self._child_address,
            lambda _, visit: events_feed(self._board, arn, visit),
            lambda _, visit, call: log_feed(self._board, self._job, arn, visit, call),
        )
        return ExecutionView(
            f"The states of {self._job}",
            ways,
            lambda choice: self._address(replace(choice, execution=execution)),
            replace(self._asked, execution=""),
            lambda choice: self._on_choose(replace(choice, execution=execution)),
        )


def _failed(seen: Seen) -> Choice:
    """Return the choice of the state for which an execution has failed, or none."""
    if seen.status not in FAILED:
        return Choice()
    return next(
        (Choice(each.state) for each in seen.visits[::-1] if each.status in FAILED), Choice()
    )


def _name(arn: str) -> str:
    return arn.rpartition(":")[2]
