"""The possible faults of a job, and their distribution over as few jobs as possible.

An undisturbed job shows the points at which the functions write. The possible faults of a point
depend on the written value. At every point, the process is killed before, during and after the
write; the algorithms and channels share the work of all other faults.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from typing import Any

# After these the state machine calls the function again, a bounded number of times.
FATAL = frozenset({"kill", "exit", "unavailable", "hang", "memory", "short of time"})
# After these an epoch may be repeated.
LOSSES = frozenset({"damage", "lose", "clear", "restart"})
# The clean-up behind the job goes on only when the job goes on, too.
LATE = "until redriven"
# These outlive their invocation.
COPIES = frozenset({"duplicate", "late copy"})

EXCHANGED = frozenset({"contribution", "aggregate", "shared model"})
SERVER_CALLS = frozenset({"push", "push_and_wait", "reset", "forget", "delete"})
# Differ by algorithm and channel.
TRAINING = frozenset({"executor", "merger", "epoch_merger", "evaluator", "reducer"})

_KINDS = (
    (r"/probe/", "probe"),
    (r"/exchange/.*/c/", "contribution"),
    (r"/exchange/.*/a/", "aggregate"),
    (r"/exchange/.*/model$", "shared model"),
    (r"/exchange/.*/turn/", "turn"),
    (r"/shared/", "mark"),
    (r"/fences/", "attempt fence"),
    (r"/ranks/", "own state"),
    (r"/tallies/", "tally"),
    (r"/snapshots/", "snapshot"),
    (r"/progress/", "progress"),
    (r"/pieces/.*\.json", "summary"),
    (r"/pieces/", "piece"),
    (r"/manifest\.json", "manifest"),
    (r"/strata-", "strata"),
    (r"\.moments", "moments"),
    (r"/workers-", "shard"),
    (r"/([a-z_]+)\.[a-z]+$", r"\1"),
)


@dataclass(frozen=True)
class Point:
    """A place in a job: a call of a handler, or one of its writes."""

    function: str
    epoch: int | None
    part: int | None  # rank, chunk or range
    write: int | None = None  # its number in the invocation; None: the call
    operation: str = ""
    kind: str = ""  # of the first key

    @property
    def task(self) -> tuple[str, int | None, int | None]:
        """The Task of this point in the state machine."""
        return self.function, self.epoch, self.part

    @property
    def place(self) -> tuple[str, int | None, str, str]:
        """A key that is equal in every epoch, and in every rank with the same role."""
        return self.function, self.write, self.operation, self.kind


@dataclass(frozen=True)
class Fault:
    """A fault at a point."""

    point: Point
    moment: str  # enter, before, during, after, leave
    action: str
    times: int = 1
    skips: int = 0  # passages of the point before the first strike

    @property
    def name(self) -> str:
        """A name unique among the faults of its job; a file name."""
        where = [self.point.function, self.point.epoch, self.point.part, self.point.write]
        return "-".join(
            str(each) for each in [*where, self.moment, self.action] if each is not None
        ).replace(" ", "-")

    @property
    def is_certain(self) -> bool:
        """Whether the job reaches the point at any speed.

        The clean-up behind an attempt has nothing to write if a redriven job was faster.
        """
        return self.point.function != "cleanup" or self.point.epoch is None

    def planned(self) -> dict[str, Any]:
        """Return the fault in the injector's format."""
        return asdict(self.point) | {
            "id": self.name,
            "moment": self.moment,
            "action": self.action,
            "times": self.times,
            "skips": self.skips,
        }


@dataclass
class StruckJob:
    """The faults of one job: each is reached, and the state machine survives them all."""

    heals: bool  # losses within an epoch; otherwise each uses up one of an epoch's 2 attempts
    faults: list[Fault] = field(default_factory=list)

    def takes(self, fault: Fault) -> bool:
        """Return whether there is room for another fault."""
        return all(self._get_on(fault, other) for other in self.faults)

    def _get_on(self, one: Fault, other: Fault) -> bool:
        both_lose = one.action in LOSSES and other.action in LOSSES
        if both_lose and not self.heals and one.point.epoch == other.point.epoch:
            return False
        if self.heals and _pauses_all(one, other):
            return False
        if one.point.task != other.point.task:
            return True
        if one.point == other.point and one.moment == other.moment:
            return False
        return not (_ends(one) and _ends(other)) and not (_skips(one, other) or _skips(other, one))


def points(writes: Iterable[dict[str, Any]]) -> list[Point]:
    """Return the points of a job from the ``writes`` that the injector recorded."""
    found: dict[Point, None] = {}
    for each in writes:
        task = each["function"], each["epoch"], each["part"]
        found[Point(*task)] = None
        found[Point(*task, each["write"], each["operation"], kind_of(each["keys"][0]))] = None
    return [*found]


def kind_of(key: str) -> str:
    """Return the kind of the value under ``key``."""
    for pattern, kind in _KINDS:
        match = re.search(pattern, key)
        if match is not None:
            return match.expand(kind)
    raise AssertionError(f"nobody knows what {key} is")


def happenings(place: Point, channel: str) -> dict[str, Sequence[str]]:
    """Return the possible faults of a point, by moment; the first one matters most."""
    if place.write is None:
        copies = ["duplicate"] if place.function in TRAINING else []
        late = ["late copy"] if place.function in TRAINING else []
        pause = ["short of time"] if place.function == "executor" else []
        others = [*late, "throttled", *pause, *copies, "refused", "exit", "unavailable"]
        return {"enter": ["kill", *others], "leave": ["kill", "exit"]}
    if place.operation in SERVER_CALLS:
        return {"before": ["kill", "unavailable", "delay"], "after": ["kill", "unavailable"]}
    is_on_s3 = place.kind not in EXCHANGED or channel == "s3"
    lost = place.kind in EXCHANGED | {"snapshot"} and place.operation != "delete_many"
    return {
        "before": ["kill", "unavailable", "delay", *(["clear"] if lost else [])],
        "during": ["kill", "cut", *(["slow down"] if is_on_s3 else [])],
        "after": ["kill", "unavailable", *(["damage", "lose", "clear"] if lost else []), "exit"],
    }


class Planner:
    """Chooses faults for one algorithm on one channel after another.

    Parameters
    ----------
    extras : int
        Number of faults at each place besides kills, and number of losses.
    """

    def __init__(self, extras: int = 1) -> None:
        self._extras = extras
        self._turns: dict[Any, Iterator[tuple[str, str]]] = {}
        self._done: set[tuple[Any, str, str]] = set()  # of points that are equal in all jobs

    def plan(self, found: Sequence[Point], channel: str, *, in_flight: bool) -> list[StruckJob]:
        """Return jobs whose faults strike every place of ``found`` that other jobs lack.

        The functions that do not train are equal for all algorithms. Their faults fill the room
        in these jobs; the rest waits for the next algorithm.
        """
        jobs: list[StruckJob] = []
        places = _by_place(found)
        for candidates in places:
            if candidates[0].function in TRAINING:
                may = happenings(candidates[0], channel)
                for moment, action in self._chosen(candidates[0].place, may):
                    faults = [Fault(point, moment, action) for point in candidates]
                    if not _put(jobs, faults):
                        jobs.append(StruckJob(heals=in_flight, faults=faults[:1]))
        for candidates in places:
            if candidates[0].function not in TRAINING:
                self._fill(jobs, candidates, happenings(candidates[0], channel))
        return jobs

    def _chosen(self, place: Any, may: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
        for moment, actions in may.items():
            yield moment, actions[0]
        others = [(moment, action) for moment, actions in may.items() for action in actions[1:]]
        for alike in (
            [each for each in others if each[1] in LOSSES],
            [each for each in others if each[1] not in LOSSES],
        ):
            yield from islice(self._turn(place, alike), min(self._extras, len(alike)))

    def _turn(self, place: Any, actions: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """Return an iterator over ``actions`` that begins at another place each time."""
        key = (place, *actions)
        if key not in self._turns:
            self._turns[key] = islice(cycle(actions or [("", "")]), len(self._turns) % 7, None)
        return self._turns[key]

    def _fill(
        self,
        jobs: Sequence[StruckJob],
        candidates: Sequence[Point],
        may: Mapping[str, Sequence[str]],
    ) -> None:
        for moment, actions in may.items():
            for action in actions:
                what = candidates[0].place, moment, action
                if what not in self._done and _put(
                    jobs, [Fault(point, moment, action) for point in candidates]
                ):
                    self._done.add(what)


def _by_place(found: Iterable[Point]) -> list[list[Point]]:
    """Group equal points; each group begins in another epoch or rank."""
    alike: dict[Any, list[Point]] = defaultdict(list)
    for point in found:
        alike[point.place].append(point)
    return [
        candidates[number % len(candidates) :] + candidates[: number % len(candidates)]
        for number, candidates in enumerate(alike.values())
    ]


def _put(jobs: Iterable[StruckJob], faults: Sequence[Fault]) -> bool:
    """Add one of the equivalent ``faults`` to the job with most room for it."""
    for job in sorted(jobs, key=lambda job: len(job.faults)):
        for fault in faults:
            if job.takes(fault):
                job.faults.append(fault)
                return True
    return False


def _pauses_all(one: Fault, other: Fault) -> bool:
    """Return whether one fault ends the calls of all ranks before the other is reached."""
    is_same_map = one.point.task[:2] == other.point.task[:2] == ("executor", one.point.epoch)
    return is_same_map and "short of time" in (one.action, other.action)


def _ends(fault: Fault) -> bool:
    return fault.action in FATAL | LOSSES


def _skips(fault: Fault, other: Fault) -> bool:
    """Return whether the call after ``fault`` may skip the work that ``other`` strikes."""
    if not _ends(fault) or other.moment == "enter":
        return False
    return other.moment == "leave" or (other.point.write or 0) >= (fault.point.write or 0)
