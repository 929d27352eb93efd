"""The facts of executions: those of a job and of its epochs, and the logs of their functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stepml.client.epoch_runs import EpochRun, SeenEpoch
from stepml.client.histories import History, Seen
from stepml.client.invocations import InvocationLog
from stepml.client.iterations import IterationRun
from stepml.client.job_histories import JobHistories
from stepml.console.board import Board
from stepml.console.feeds import Feed
from stepml.console.widgets.trail import Choice, Events
from stepml.graphs.machines import Machine, machine_of
from stepml.records.execution import EpochAttempt
from stepml.records.visits import Attempt, Visit

FAILED = frozenset({"FAILED", "TIMED_OUT"})
RANKS = ("RunExecutors", "RunGroups")  # the Maps of ranks
LossesFeed = Feed[dict[int, float]]
LOSSES_S = 5.0  # between two looks at lines that may still arrive
OLDER_S = 0.2  # until the next older page of a long history
REDRIVE_S = 10.0  # between two looks at an execution that has ended, but may be redriven
LATE_LOGS = timedelta(seconds=15)  # in which lines of an ended invocation may still arrive


@dataclass(frozen=True, slots=True)
class AttemptNow:
    """An attempt at an epoch at one moment."""

    machine: Machine
    epoch: SeenEpoch

    @property
    def visits(self) -> tuple[Visit, ...]:
        """Those of its own execution."""
        return self.epoch.seen.visits

    @property
    def groups(self) -> Mapping[str, str]:
        """The ARNs of the executions with ranks of their own, by name."""
        arns = {rank.execution for each in self.epoch.maps for rank in each.iterations}
        return {arn.rpartition(":")[2]: arn for arn in arns - {self.epoch.seen.arn, ""}}

    def visits_in(self, execution: str) -> tuple[Visit, ...]:
        """Return the visits of the execution with this name; "": of its own."""
        if not execution:
            return self.visits
        arn = self.groups.get(execution, "")
        ranks = [rank for each in self.epoch.maps for rank in each.iterations]
        return tuple(visit for each in ranks if each.execution == arn for visit in each.visits)


@dataclass(frozen=True, slots=True)
class ExecutionsNow:
    """The executions of a job at one moment: the first one, and those that continue it."""

    machines: tuple[Machine, ...]
    seen: tuple[Seen, ...]


def executions_feed(board: Board, arn: str) -> Feed[ExecutionsNow]:
    """Return the feed of the executions of the job whose first one has this ARN."""
    connection = board.client.connection
    histories = board.shared(("executions", arn), lambda: JobHistories(connection, arn))

    def read() -> ExecutionsNow:
        seen = histories.look()
        machines = (machine_of(histories.history(each.arn).machine) for each in seen)
        return ExecutionsNow(tuple(machines), seen)

    def pause_s(now: ExecutionsNow) -> float | None:
        if not all(each.is_whole for each in now.seen):
            return OLDER_S
        return REDRIVE_S if now.seen[-1].ended else board.poll_s

    return board.feed(("executions", arn), read, pause_s)


def attempt_feed(board: Board, name: str, attempt: EpochAttempt) -> Feed[AttemptNow]:
    """Return the feed of an attempt at an epoch of the job with this name."""
    run = _run(board, name, attempt)

    def read() -> AttemptNow:
        epoch = run.look()
        return AttemptNow(machine_of(run.machine), epoch)

    def pause_s(now: AttemptNow) -> float | None:
        return None if now.epoch.seen.ended else board.poll_s

    return board.feed(("attempt", attempt.execution.arn), read, pause_s)


def losses_feed(
    board: Board, name: str, attempt: EpochAttempt, now: AttemptNow
) -> LossesFeed | None:
    """Return the feed of the training losses of the ranks, by rank; None while they train."""
    ends = [each.visit.left_at for each in now.epoch.maps if each.visit.state in RANKS]
    if not ends or ends[-1] is None:
        return None
    run, end = _run(board, name, attempt), ends[-1]

    def pause_s(losses: dict[int, float]) -> float | None:
        return None if datetime.now(UTC) > end + LATE_LOGS else max(board.poll_s, LOSSES_S)

    return board.feed(("losses", attempt.execution.arn), run.losses, pause_s)


def failed_visit(now: AttemptNow) -> Choice:
    """Return the choice of the visit in which an attempt has failed, or of none."""
    ranks = [rank for each in now.epoch.maps for rank in each.iterations if rank.visits]
    failed = [each for each in ranks if each.status in FAILED]
    if failed:
        first = next((each for each in failed if not _is_of_a_peer(each)), failed[0])
        last, name = first.visits[-1], first.execution.rpartition(":")[2]
        return Choice(last.state, last.first_event, execution=name if name in now.groups else "")
    visit = next((each for each in reversed(now.visits) if each.status in FAILED), None)
    return Choice() if visit is None else Choice(visit.state, visit.first_event)


def _is_of_a_peer(iteration: IterationRun) -> bool:
    """Return whether a rank has failed only because another one had failed."""
    failure = iteration.failure
    return failure is not None and failure.rank not in (None, iteration.item)


def events_feed(board: Board, arn: str, visit: Visit) -> Feed[Events]:
    """Return the feed of a visit's events in the execution with this ARN."""
    history = board.shared(("history", arn), lambda: History(board.client.connection, arn))

    def read() -> Events:
        history.whole()
        return history.events(visit)

    key = ("events", arn, visit.first_event, visit.last_event)
    return board.feed(key, read, lambda _: None)


def log_feed(board: Board, name: str, arn: str, visit: Visit, call: Attempt) -> Feed[InvocationLog]:
    """Return the feed of the log of a call in a visit, in the execution with this ARN."""
    run = board.client.named(name)

    def pause_s(_: InvocationLog) -> float | None:
        is_over = call.ended_at and datetime.now(UTC) > call.ended_at + LATE_LOGS
        return None if is_over else board.poll_s

    key = ("log", arn, visit.first_event, call.number, call.ended_at)
    return board.feed(key, lambda: run.invocation_log(call), pause_s)


def _run(board: Board, name: str, attempt: EpochAttempt) -> EpochRun:
    arn = attempt.execution.arn
    return board.shared(("epoch", arn), lambda: EpochRun(board.client.named(name), attempt))
