"""Whole executions under faults, each placed by position: not a bit of the model may change.

A job that nothing strikes tells where the functions write. Then the same job is struck, at every
one of these places: the process is killed before, during and after each write, at the beginning
and at the end of each call; services refuse, answer late or not at all; calls are made twice;
what lies in the channel is damaged or lost. The state machine's own retries, and one redrive where
they are used up, have to bring each job to the same model, and nothing may be left of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.faults.campaign import SETTINGS, Campaign, Setting, summary
from tests.faults.stack import deploy_faulty
from tests.running_aws import running_aws

pytestmark = pytest.mark.timeout(600)

# What happens at each place besides kills: so many of all that may; the jobs take turns.
EXTRAS = int(os.environ.get("STEPML_FAULT_EXTRAS", "1"))
ENOUGH = 200


@pytest.fixture(scope="module")
def campaign(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Campaign]:
    directory = tmp_path_factory.mktemp("faults")
    with running_aws(directory / "state", concurrency=100) as aws:
        running = Campaign(deploy_faulty(aws, directory), EXTRAS)
        try:
            running.begin(asked_for(request.session.items))
            yield running
        finally:
            running.close()
            capture = request.config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled():
                print("\n" + summary(running.outcomes))


def asked_for(items: list[pytest.Item]) -> list[Setting]:
    """Return the settings that the tests of a session are about."""
    parameters = [getattr(item, "callspec", None) for item in items]
    named = [each.params.get("setting") for each in parameters if each is not None]
    return [setting for setting in SETTINGS if setting in named]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_faults_at_every_place_change_no_bit(campaign: Campaign, setting: Setting) -> None:
    complaints = [line for each in campaign.outcomes_of(setting) for line in each.complaints()]
    assert not complaints, "\n".join(complaints)


def test_there_are_enough_faults(campaign: Campaign) -> None:
    assert sum(len(outcome.struck) for outcome in campaign.outcomes) >= ENOUGH
