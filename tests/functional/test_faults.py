"""Whole executions under faults at chosen positions: not a bit of the model may change.

An undisturbed job shows where the functions write. Then the same job meets faults at every one of
these places: the process is killed before, during and after each write, and at the beginning and
the end of each call; services refuse, answer late or not at all; calls are repeated; values in the
channel are damaged or lost. The state machine's own retries, and one redrive after they are used
up, must bring each job to the same model, and nothing may remain of the faults.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign, Outcome, Strike, summary
from tests.faults.chaos import Soak, survive
from tests.faults.placements import Fault, Planner, Point
from tests.faults.settings import (
    EPOCHS,
    NETWORK_SETTINGS,
    SETTINGS,
    Setting,
    all_settings,
    number_of,
)
from tests.faults.stack import FaultyStack, busy, deploy_faulty
from tests.faults.themes import BRIEF, NEEDED, THEMES, Ground
from tests.support.running_aws import RunningAws, eventually, running_aws

pytestmark = pytest.mark.timeout(600)

# Number of faults at each place besides kills; the jobs share all possible ones.
EXTRAS = int(os.environ.get("STEPML_FAULT_EXTRAS", "1"))
ENOUGH = 200
NARROW = {"Timeout": 4, "MemorySize": 256}
UNDER_FIRE = [
    Setting("model_averaging", "redis", "reduce_scatter"),
    Setting("gradient_averaging", "memcached", "reduce_scatter"),
    Setting("gradient_averaging", "parameter_server", "reduce"),
]
# STEPML_FAULT_SETTINGS=all: every algorithm, channel and pattern, in about half an hour.
ARE_ALL = os.environ.get("STEPML_FAULT_SETTINGS") == "all"
CASES = [
    (theme, setting)
    for theme in THEMES
    for setting in (all_settings() if ARE_ALL else SETTINGS)
    if theme != "objects" or number_of(setting) < len(NEEDED)
]
if not ARE_ALL and find_spec("torch"):
    CASES += product(BRIEF, NETWORK_SETTINGS)
ON_REDIS = [setting for setting in SETTINGS if setting.channel == "redis"]

Struck = dict[tuple[str, Setting], list[Future[Outcome]]]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def aws(directory: Path) -> Iterator[RunningAws]:
    with running_aws(directory / "state", concurrency=200) as running:
        yield running


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest) -> Iterator[Campaign]:
    running = Campaign()
    yield running
    running.close()
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\n" + summary(running.outcomes))


@pytest.fixture(scope="module")
def stack(aws: RunningAws, directory: Path) -> FaultyStack:
    return deploy_faulty(aws, directory)


@pytest.fixture(scope="module")
def narrow_stack(aws: RunningAws, directory: Path) -> FaultyStack:
    return deploy_faulty(aws, directory, name="narrow", **NARROW)


@pytest.fixture(scope="module")
def struck(
    campaign: Campaign,
    stack: FaultyStack,
    narrow_stack: FaultyStack,
    request: pytest.FixtureRequest,
) -> Struck:
    """The running jobs of all selected tests."""
    ground = Ground(campaign, stack, narrow_stack, Planner(EXTRAS))
    plans = {
        (theme, setting): [*(THEMES | BRIEF)[theme](ground, setting)]
        for theme, setting in asked_for(request.session.items)
    }
    return {of: [campaign.submit(strike) for strike in strikes] for of, strikes in plans.items()}


def asked_for(items: list[pytest.Item]) -> list[tuple[str, Setting]]:
    """Return the parameters of a session's tests."""
    found = [getattr(item, "callspec", None) for item in items]
    given = [each.params for each in found if each is not None]
    return [(each["theme"], each["setting"]) for each in given if "theme" in each]


@pytest.mark.parametrize(
    ("theme", "setting"), CASES, ids=lambda value: getattr(value, "name", value)
)
def test_faults_change_no_bit(struck: Struck, theme: str, setting: Setting) -> None:
    outcomes = [each.result() for each in struck[theme, setting]]
    complaints = [line for each in outcomes for line in each.complaints()]
    assert not complaints, "\n".join(complaints)


def test_there_are_enough_faults(campaign: Campaign, struck: Struck) -> None:
    placements = {
        (outcome.strike.setting, fault)
        for outcome in campaign.outcomes
        for fault in outcome.strike.faults
        if fault.name in outcome.struck
    }
    assert len(placements) >= ENOUGH


# Below, one job after another: its faults might strike other jobs, too.


def run(
    campaign: Campaign,
    stack: FaultyStack,
    setting: Setting,
    what: str,
    *faults: Fault,
    **options: int,
) -> Outcome:
    """Run a job under faults; it must succeed."""
    outcome = campaign.run(Strike(f"{setting.name}-{what}", setting, faults, stack, options))
    assert not outcome.complaints(), "\n".join(outcome.complaints())
    return outcome


def at(epoch: int, rank: int, write: int | None = 0) -> Point:
    """Return a place in an executor."""
    return Point("executor", epoch, rank, write)


def errors(stack: FaultyStack, name: str) -> list[str]:
    """Return the errors of all Tasks of a job's epochs."""
    return [
        event["taskFailedEventDetails"]["error"]
        for epoch in stack.epochs(name)
        for event in stack.aws.events(epoch["executionArn"])
        if event["type"] == "TaskFailed"
    ]


@pytest.mark.parametrize("setting", ON_REDIS, ids=lambda setting: setting.algorithm)
def test_a_channel_that_restarts_changes_no_bit(
    campaign: Campaign, stack: FaultyStack, setting: Setting
) -> None:
    run(
        campaign,
        stack,
        setting,
        "restarts",
        Fault(at(1, 0), "before", "restart"),
        Fault(at(2, 1), "after", "restart"),
        Fault(Point("reducer", 3, None, 0), "before", "restart"),
    )


@pytest.mark.parametrize("setting", [SETTINGS[0], SETTINGS[-1]], ids=lambda setting: setting.name)
def test_ranks_pause_when_their_time_is_out(
    campaign: Campaign, narrow_stack: FaultyStack, setting: Setting
) -> None:
    """Functions have 4 s, but an epoch takes longer, because each batch takes a while."""
    slow = [Fault(at(epoch, rank, None), "enter", "slow") for epoch in (1, 2) for rank in (0, 1)]
    options = {"batch_size": 8, "epochs": 2}
    outcome = run(campaign, narrow_stack, setting, "pauses", *slow, **options)
    assert "ExecutorPausedError" in errors(narrow_stack, outcome.strike.name)


def test_ranks_that_cannot_catch_up_begin_the_epoch_again(
    campaign: Campaign, stack: FaultyStack
) -> None:
    setting = ON_REDIS[-1]
    fault = Fault(at(2, 1, write=6), "before", "clear and kill")
    outcome = run(campaign, stack, setting, "replay-lost", fault, batch_size=10)
    name = outcome.strike.name
    assert "ReplayLostError" in errors(stack, name)
    assert len([each for each in stack.epochs(name) if "-e2-" in each["name"]]) == 2


@pytest.mark.parametrize("setting", SETTINGS[-2:], ids=lambda setting: setting.name)
@pytest.mark.parametrize("epoch", [1, EPOCHS])
def test_late_copies_with_other_bits_make_no_difference(
    campaign: Campaign, stack: FaultyStack, setting: Setting, epoch: int
) -> None:
    copies = [Fault(at(epoch, rank, None), "enter", "late copy") for rank in (0, 1)]
    run(campaign, stack, setting, f"copies-{epoch}", *copies)


def test_jobs_come_through_with_fewer_functions_than_ranks(
    campaign: Campaign, directory: Path
) -> None:
    with running_aws(directory / "throttled-state", concurrency=2) as aws:
        # The machines assume room for all, so functions are refused.
        stack = deploy_faulty(aws, directory, name="throttled", concurrency=1000)
        outcome = run(campaign, stack, SETTINGS[0], "throttled", epochs=2)
        throttled = "Lambda.TooManyRequestsException"
        assert throttled in errors(stack, outcome.strike.name)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("setting", UNDER_FIRE, ids=lambda setting: setting.name)
def test_random_kills_change_no_bit(stack: FaultyStack, setting: Setting) -> None:
    soak = Soak(
        seed=0, seconds=5, epochs=8, pauses_s=(0.3, 1.2), channel_share=0.3, first="executor"
    )
    survival = survive(stack, setting, soak, stack.upload_rows(0), f"{setting.name}-soaked")
    assert not survival.verdict, survival
    assert survival.killed


def test_nothing_is_left_of_all_these_jobs(
    campaign: Campaign, aws: RunningAws, stack: FaultyStack, narrow_stack: FaultyStack
) -> None:
    eventually(lambda: busy(aws), lambda functions: not functions)
    for each in (stack, narrow_stack):
        assert each.unfinished_uploads() == []
        assert each.temporary_files() == []
    assert stack.redis_keys("jobs/") == []
