"""No job waits for somebody who has gone home, and jobs share an account's functions."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.faults.campaign import Campaign, Strike
from tests.faults.placements import Fault, Point, points
from tests.faults.settings import Setting
from tests.faults.stack import FaultyStack, deploy_faulty
from tests.support.running_aws import eventually, running_aws

FUNCTIONS = 6  # at once
SETTINGS = [
    Setting("gradient_averaging", "redis", "reduce"),
    Setting("gradient_averaging", "memcached", "reduce_scatter"),
    Setting("gradient_averaging", "parameter_server", "reduce"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStack]:
    directory = tmp_path_factory.mktemp("liveness")
    with running_aws(directory / "state", concurrency=FUNCTIONS) as aws:
        yield deploy_faulty(aws, directory)


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    running = Campaign()
    yield running
    running.close()


def last_snapshot(found: list[Point], epoch: int) -> Point:
    """Return the place at which rank 0 makes the end of an epoch durable."""
    mine = [p for p in found if p.kind == "snapshot" and (p.epoch, p.part) == (epoch, 0)]
    return max(mine, key=lambda point: point.write or 0)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.channel)
def test_a_rank_that_dies_last_with_its_channel_waits_for_nobody(
    campaign: Campaign, stack: FaultyStack, setting: Setting
) -> None:
    place = last_snapshot(points(campaign.writes(setting, stack)), epoch=2)
    fault = Fault(place, "before", "die when told")
    strike = Strike(f"{setting.name}-late", setting, [fault], stack)
    running = campaign.submit(strike)
    peers = {f"executor-2-{rank}" for rank in (1, 2)}
    eventually(lambda: stack.notes(strike.name, "left").keys(), peers.issubset)
    (server,) = [each.pid for each in stack.aws.caches() if each.name == setting.channel]
    assert server is not None
    os.kill(server, signal.SIGKILL)
    (stack.directory / strike.name / "lost").touch()
    outcome = running.result()
    assert not outcome.complaints()


def test_two_jobs_get_through_with_functions_for_one(stack: FaultyStack) -> None:
    """Each needs 4 of 6 functions: without turns both hold three, and wait for the fourth."""
    setting, rows = SETTINGS[0], stack.upload_rows(100)
    job = setting.job(rows, epochs=8) | {"workers": 4}
    started = [stack.start(job, f"shared-{number}") for number in range(2)]
    ended = [stack.ended(each) for each in started]
    assert [each["status"] for each in ended] == ["SUCCEEDED", "SUCCEEDED"]
    assert stack.bits("shared-0") == stack.bits("shared-1")
    assert stack.left_behind("shared-0") == stack.left_behind("shared-1") == []
