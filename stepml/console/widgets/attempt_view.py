"""The execution of an attempt at an epoch: its graph, and the iterations of its Maps."""

from __future__ import annotations

from stepml.client.invocations import InvocationLog
from stepml.console.addresses import epoch_address
from stepml.console.board import Board
from stepml.console.executions_board import (
    FAILED,
    AttemptNow,
    events_feed,
    failed_visit,
    log_feed,
    losses_feed,
)
from stepml.console.feeds import Feed
from stepml.console.live import Follower
from stepml.console.widgets.execution_view import ExecutionView
from stepml.console.widgets.iteration_tables import IterationTables
from stepml.console.widgets.tags import Tag, push_address, replace_address
from stepml.console.widgets.trail import Choice, Events, Ways
from stepml.records.execution import EpochAttempt
from stepml.records.visits import Attempt, Visit


class AttemptView:
    """The view.

    Parameters
    ----------
    board : Board
    job : str
        The job's name.
    attempt : EpochAttempt
    is_asked_for : bool
        Whether the address of the page has the number of the attempt.
    choice : Choice
        As the address has it when the page is opened.
    sorted_by : str
        Likewise; as of `Table`.
    """

    def __init__(
        self,
        board: Board,
        job: str,
        attempt: EpochAttempt,
        *,
        is_asked_for: bool,
        choice: Choice,
        sorted_by: str,
    ) -> None:
        self._board, self._job, self._attempt = board, job, attempt
        self._number = attempt.number if is_asked_for else None
        self._sorted_by = sorted_by
        self._now: AttemptNow | None = None
        ways = Ways(lambda _: None, self._events, self._log)
        title = f"The states of epoch {attempt.epoch}"
        Tag("h2", "States")
        self._view = ExecutionView(title, ways, self._address, choice, self._choose)
        with self._view.below:
            Tag("h2", "Iterations")
            own = attempt.execution.name
            self._tables = IterationTables(self._view.trail, own, sorted_by, self._sort)
            self._losses: Follower[dict[int, float]] = Follower("the losses of the ranks")

    def show(self, now: AttemptNow) -> None:
        """Show the execution as it is now; where it failed is chosen if nothing else is."""
        self._now = now
        if self._view.choice == Choice() and now.epoch.seen.status in FAILED:
            self._view.choice = failed_visit(now)
        self._view.show(now.machine, now.visits_in)
        self._draw_tables()
        feed = losses_feed(self._board, self._job, self._attempt, now)
        if feed is not None:
            self._losses.follow("losses", lambda: feed, lambda: self._draw_tables)

    def _choose(self, choice: Choice) -> None:
        push_address(self._address(choice))
        self._draw_tables()

    def _draw_tables(self, losses: dict[int, float] | None = None) -> None:
        if self._now is not None:
            self._tables.show(self._now.epoch.maps, self._view.choice, losses)

    def _address(self, choice: Choice) -> str:
        return epoch_address(
            self._job,
            self._attempt.epoch,
            attempt=self._number,
            **choice.settings,
            sort=self._sorted_by,
        )

    def _sort(self, sorted_by: str) -> None:
        self._sorted_by = sorted_by
        replace_address(self._address(self._view.choice))

    def _arn(self, execution: str) -> str:
        groups = self._now.groups if self._now is not None else {}
        return groups.get(execution, self._attempt.execution.arn)

    def _events(self, execution: str, visit: Visit) -> Feed[Events]:
        return events_feed(self._board, self._arn(execution), visit)

    def _log(self, execution: str, visit: Visit, call: Attempt) -> Feed[InvocationLog]:
        return log_feed(self._board, self._job, self._arn(execution), visit, call)
