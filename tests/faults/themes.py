"""The faults of a setting's jobs, one kind after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tests.faults.campaign import Campaign, Strike
from tests.faults.placements import LATE, TRAINING, Fault, Planner, Point, points
from tests.faults.settings import EPOCHS, Setting, number_of
from tests.faults.stack import FaultyStack

STOPS = 2  # jobs of each setting that are stopped
# Objects that a job needs again, of which each is damaged and lost once: they are alike in all
# settings that have them. Only the third and the fourth setting have "own state".
NEEDED = (
    (("state", "damage"), ("training_plan", "lose")),
    (("scale", "damage"), ("report", "lose")),
    (("own state", "damage"), ("state", "lose")),
    (("own state", "lose"), ("training_plan", "damage")),
    (("scale", "lose"), ("report", "damage")),
)
# Objects that a job makes again, with the action and the function that writes them; one job each.
DERIVED = (
    (("manifest", "damage", "plan_shards"), ("shard", "lose", "assemble")),
    (("piece", "damage", "partition"), ("summary", "lose", "partition")),
    (("moments", "damage", "assemble"), ("shard", "damage", "assemble")),
)
# Places in the clean-up behind a job: number of the write, moment and action.
CLEANING = (
    (0, "before", "kill"),
    (0, "during", "kill"),
    (0, "after", "kill"),
    (1, "before", "kill"),
    (1, "after", "kill"),
    (2, "before", "kill"),
    (2, "after", "kill"),
    (None, "enter", LATE),
    (1, "before", LATE),
    (2, "before", LATE),
    (0, "after", "damage"),
    (0, "after", "lose"),
    (1, "during", "cut"),
    (1, "after", "unavailable"),
    (None, "enter", "duplicate"),
    (None, "leave", "exit"),
)


@dataclass(frozen=True)
class Ground:
    """The stacks on which jobs run."""

    campaign: Campaign
    roomy: FaultyStack
    narrow: FaultyStack  # its functions have little time and memory
    planner: Planner

    def points(self, setting: Setting) -> list[Point]:
        """Return the points of a job of ``setting``."""
        return points(self.campaign.writes(setting, self.roomy))


Theme = Callable[[Ground, Setting], Iterator[Strike]]


def places(ground: Ground, setting: Setting) -> Iterator[Strike]:
    """Place a fault at every point."""
    jobs = ground.planner.plan(ground.points(setting), setting.channel, in_flight=setting.in_flight)
    for number, job in enumerate(jobs):
        yield Strike(f"{setting.name}-places-{number}", setting, job.faults, ground.roomy)


def some_places(ground: Ground, setting: Setting) -> Iterator[Strike]:
    """Place faults at as many points as one job has room for."""
    yield from islice(places(ground, setting), 1)


def limits(ground: Ground, setting: Setting) -> Iterator[Strike]:
    """Let functions hang until their time is over, and take more memory than they have.

    The first write is reached by all calls: on a busy machine, the time of one may be over before
    a later one, and the next call has less to write.
    """
    found = ground.points(setting)
    hang, memory = "hang", "memory"
    faults = [
        Fault(_write(found, "executor", 1, part=1), "before", hang),
        Fault(_write(found, "reducer", 1), "after", hang),
        Fault(_call(found, "executor", 2, part=2), "enter", memory),
        Fault(_write(found, "reducer", 2), "before", memory),
        Fault(_write(found, "executor", 3, part=0), "after", hang),
        Fault(_write(found, "executor", 3, part=1), "after", memory),
    ]
    others = ["prepare", "partition", "assemble", "initialise", "finalise"]
    function = others[number_of(setting) % len(others)]
    faults.append(Fault(_write(found, function, None), "after", hang))
    yield Strike(f"{setting.name}-limits", setting, faults, ground.narrow)


def stops(ground: Ground, setting: Setting) -> Iterator[Strike]:
    """Stop the job; its functions continue. The clean-up meets a fault, too."""
    writes = [point for point in ground.points(setting) if point.write is not None]
    found = [point for point in writes if point.function != "prepare"]  # it would be refused then
    step, first = len(found) // STOPS, number_of(setting)
    for number in range(STOPS):
        point = found[(number * step + first) % len(found)]
        moment = ("before", "after")[(number + first) % 2]
        yield Strike(
            f"{setting.name}-stop-{number}",
            setting,
            [Fault(point, moment, "stop"), *_in_cleaning(point, STOPS * first + number)],
            ground.roomy,
            ends="ABORTED",
        )


def failures(ground: Ground, setting: Setting) -> Iterator[Strike]:
    """Fail with errors that no retrier names, until the execution fails, too."""
    found, mine = ground.points(setting), number_of(setting)
    functions = [*dict.fromkeys(point.function for point in found)]
    alike = [name for name in functions if name not in TRAINING]
    trains = [name for name in functions if name in TRAINING]
    # Those that do not train are equal for all algorithms: each fails once.
    for name in (trains[mine % len(trains)], *alike[mine : mine + 1]):
        writes = [p for p in found if p.function == name and p.write is not None]
        fault = Fault(writes[mine % len(writes)], ("before", "after")[mine % 2], "fail")
        if name in TRAINING:  # its epoch is retried, and reaches the same place
            fault = Fault(_write(found, name, 1 + mine % EPOCHS), "before", "fail", times=2)
        yield Strike(
            f"{setting.name}-fails-{name.replace('_', '-')}",
            setting,
            [fault],
            ground.roomy,
            ends="FAILED",
            says="nobody expects this",
        )


def objects(ground: Ground, setting: Setting) -> Iterator[Strike]:
    """Damage and lose objects of the durable store, then restore them."""
    found, mine = ground.points(setting), number_of(setting)
    for kind, action in NEEDED[mine]:
        point = next((p for p in found if p.kind == kind and p.epoch in (None, 1, 2)), None)
        assert point, f"jobs of {setting.name} have no {kind}"
        yield Strike(
            f"{setting.name}-{action}-{kind.replace('_', '-').replace(' ', '-')}",
            setting,
            [Fault(point, "after", action)],
            ground.roomy,
            ends="FAILED",
            says={"damage": "DamagedValueError", "lose": "KeyNotFoundError"}[action],
            is_mended=True,
        )
    if mine < len(DERIVED):
        yield _made_again(ground, setting, DERIVED[mine])


BRIEF: dict[str, Theme] = {"some_places": some_places}
THEMES: dict[str, Theme] = {
    "places": places,
    "limits": limits,
    "stops": stops,
    "failures": failures,
    "objects": objects,
}


def _made_again(
    ground: Ground, setting: Setting, derived: Sequence[tuple[str, str, str]]
) -> Strike:
    found = ground.points(setting)
    faults = [
        Fault(next(p for p in found if (p.kind, p.function) == (kind, function)), "after", action)
        for kind, action, function in derived
    ]
    name = f"{setting.name}-makes-{derived[0][0]}-again"
    return Strike(name, setting, faults, ground.roomy, ends="SUCCEEDED")


def _in_cleaning(point: Point, number: int) -> Iterator[Fault]:
    """Return faults of the clean-up behind a job that ends at ``point``, and behind its attempt.

    Finalise goes on, and behind a job that has a report, there may be nothing to clean.
    """
    if point.function == "finalise":
        return
    write, moment, action = CLEANING[number % len(CLEANING)]
    yield Fault(Point("cleanup", None, None, write), moment, action)
    if point.epoch is not None:
        yield Fault(Point("cleanup", point.epoch, None, 0), ("before", "after")[number % 2], "kill")


def _call(
    found: Sequence[Point], function: str, epoch: int | None, part: int | None = None
) -> Point:
    return next(p for p in found if p.task == (function, epoch, part) and p.write is None)


def _write(
    found: Sequence[Point], function: str, epoch: int | None, part: int | None = None
) -> Point:
    return next(
        p
        for p in found
        if p.function == function
        and epoch in (None, p.epoch)
        and part in (None, p.part)
        and p.write is not None
    )
