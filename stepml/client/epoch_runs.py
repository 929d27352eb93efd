"""One attempt at an epoch: its execution state by state, the iterations of its Maps, their logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from stepml.client.histories import History, Seen
from stepml.client.invocations import InvocationLog, rank_losses
from stepml.client.iterations import IterationRun, IterationRuns, Visits, iterations_of
from stepml.records.errors import InvalidArgumentError
from stepml.records.execution import EpochAttempt
from stepml.records.json_answers import json_object
from stepml.records.visits import Visit

if TYPE_CHECKING:
    from stepml.client.run_facts import RunFacts

RANKS = "RunExecutors"  # the Map of a group's execution
GROUPS = "RunGroups"  # the Map whose iterations are executions with ranks of their own
GROUPS_A_LOOK = 5  # of those that are known and still run


@dataclass(frozen=True, slots=True)
class MapRun:
    """One stay in a Map of an epoch."""

    visit: Visit
    iterations: tuple[IterationRun, ...]  # by index; of groups: all their ranks


@dataclass(frozen=True, slots=True)
class SeenEpoch:
    """An attempt at an epoch at one moment."""

    seen: Seen  # its execution
    maps: tuple[MapRun, ...]  # in the order of their begin


class EpochRun:
    """One attempt at an epoch of a job, whose execution is read state by state.

    Every property asks AWS, but only for what is new. See `Run.epoch`. Several threads may use one.

    Attributes
    ----------
    run : RunFacts
        The job.
    attempt : EpochAttempt
        Its facts, as they were when this object was made.
    n_attempts : int
        The number of attempts at the epoch then.
    history : History
        Of its execution.
    """

    def __init__(self, run: RunFacts, attempt: EpochAttempt, n_attempts: int = 1) -> None:
        self.run = run
        self.attempt = attempt
        self.n_attempts = n_attempts
        self.history = History(run.connection, attempt.execution.arn)
        self._groups: dict[str, tuple[History, Seen]] = {}  # by ARN, the last read one last
        self._looks = 0  # at running groups, which are left in this look
        self._looking = Lock()

    def __repr__(self) -> str:
        number = f"attempt={self.attempt.number}"
        return f"EpochRun({self.run.name!r}, epoch={self.attempt.epoch}, {number})"

    @property
    def epoch(self) -> int:
        """The number of the epoch, from 1."""
        return self.attempt.epoch

    @property
    def machine(self) -> dict[str, Any]:
        """The definition of the state machine when the attempt started."""
        return self.history.machine

    @property
    def visits(self) -> Visits:
        """Every stay in a state so far, in the order of their begin."""
        return Visits(self.history.whole().visits)

    @property
    def iterations(self) -> IterationRuns:
        """The iterations of all Maps so far: ranks first, then chunks and slices."""
        return IterationRuns([each for found in self.look().maps for each in found.iterations])

    def look(self) -> SeenEpoch:
        """Return the visits of the attempt so far; see `History.look` for errors.

        The ranks of many groups are read in turn: a look reads those of new groups, and of a few
        that were read before and still run. When the attempt has ended, it reads all.
        """
        with self._looking:
            seen = self.history.whole()
            maps = [each for each in seen.visits if each.kind == "Map"]
            self._looks = len(self._groups) if seen.ended else GROUPS_A_LOOK
            found = tuple(MapRun(each, self._iterations(seen, each)) for each in maps)
            return SeenEpoch(seen, found)

    def losses(self) -> dict[int, float]:
        """Return the training loss of each rank, as its function has logged it.

        Ranks that are called again after they have contributed log none.

        Raises
        ------
        AccessError
            CloudWatch Logs cannot be reached or refuses.
        """
        ranks = (each.attempts for each in self.iterations if each.unit == "rank")
        calls = [attempts[-1] for attempts in ranks if attempts]
        return rank_losses(self.run.connection, self.run.stack, calls)

    def logs(self, rank: int | IterationRun | Visit, attempt: int | None = None) -> InvocationLog:
        """Return the log lines of one invocation of this attempt, with Lambda's own about it.

        Parameters
        ----------
        rank : int, IterationRun or Visit
            A rank; or an iteration of any Map; or a visit of a Task, such as ``Reduce``.
        attempt : int, optional
            The number of the call, from 1; by default the last one.

        Raises
        ------
        InvalidArgumentError
            There is no such rank or call.
        AccessError
            CloudWatch Logs cannot be reached or refuses.
        """
        found = self._of_rank(rank) if isinstance(rank, int) else rank
        attempts = found.attempts
        if attempt is not None and not 1 <= attempt <= len(attempts):
            raise InvalidArgumentError(f"attempt: expected 1 to {len(attempts)}, got {attempt!r}")
        if not attempts:
            return InvocationLog()
        chosen = attempts[-1 if attempt is None else attempt - 1]
        return self.run.invocation_log(chosen)

    def _of_rank(self, rank: int) -> IterationRun:
        ranks = [each for each in self.iterations if each.unit == "rank"]
        found = [each for each in ranks if each.item == rank]
        if not found:
            known = sorted(each.item for each in ranks if each.item is not None)
            expected = f"{known[0]} to {known[-1]}" if known else "a rank that has begun"
            raise InvalidArgumentError(f"rank: expected {expected}, got {rank!r}")
        return found[-1]

    def _iterations(self, seen: Seen, visit: Visit) -> tuple[IterationRun, ...]:
        if visit.state != GROUPS:
            return iterations_of(seen, visit)
        groups = {
            each.iteration: each for each in seen.visits if each.map_event == visit.first_event
        }
        known = {arn: self._group(arn) for arn in self._in_turn(map(_child, groups.values()))}
        ranks = list[IterationRun]()
        for index, numbers in enumerate(_numbers(visit)):
            group = groups.get(index)
            begun = known.get((_child(group) or "") if group is not None else "", ())
            ranks += begun or [_unbegun(seen, group, each) for each in numbers]
        return tuple(ranks)

    def _in_turn(self, children: Iterable[str | None]) -> list[str]:
        """Return the groups in the order in which they are read: the longest unread first."""
        order = {arn: number for number, arn in enumerate(self._groups)}
        return sorted((arn for arn in children if arn), key=lambda arn: order.get(arn, -1))

    def _group(self, arn: str) -> tuple[IterationRun, ...]:
        """Return the ranks of a group, read anew if it is its turn."""
        history, seen = self._groups.get(arn, (History(self.run.connection, arn), None))
        if seen is None or (not seen.ended and self._looks > 0):
            self._looks -= seen is not None
            self._groups.pop(arn, None)
            seen = history.whole()
        self._groups[arn] = history, seen
        maps = [each for each in seen.visits if each.kind == "Map"]
        return iterations_of(seen, maps[-1]) if maps else ()


def _child(group: Visit) -> str | None:
    """Return the execution of a group's last call, or None before it has one."""
    return group.attempts[-1].child if group.attempts else None


def _numbers(visit: Visit) -> list[list[int]]:
    """Return the ranks of each group of a Map, which its input lists."""
    groups = json_object(visit.input).get("groups")
    return groups if isinstance(groups, list) else []


def _unbegun(seen: Seen, group: Visit | None, rank: int) -> IterationRun:
    """Return a rank whose group has begun none."""
    is_over = group is not None and group.left_at is not None
    return IterationRun(
        RANKS, rank, "rank", rank, "ABORTED" if is_over else "WAITING", (), seen.arn
    )


def chosen_attempt(found: Sequence[EpochAttempt], epoch: int, number: int | None) -> EpochAttempt:
    """Return an attempt at an epoch by its number, or the last one.

    Raises
    ------
    InvalidArgumentError
        There is none.
    """
    if not found:
        raise InvalidArgumentError(f"epoch: expected one that has begun, got {epoch!r}")
    if number is None:
        return found[-1]
    if not 1 <= number <= len(found):
        raise InvalidArgumentError(f"attempt: expected 1 to {len(found)}, got {number!r}")
    return found[number - 1]
