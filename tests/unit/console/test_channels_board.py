"""The page of channels says what is up and what is in use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stepml.client.channel_usage import ChannelUsage, Usage
from stepml.client.job_list import JobListing
from stepml.client.listing import JobSummary
from stepml.console.channels_board import bytes_text, channel_rows, items_text, state_text
from stepml.job.channels import CHANNELS
from tests.support.moto_stack import MotoStack

THEN = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
NAMES = list(CHANNELS)


def rows(listing: JobListing | None, **usages: Usage) -> list[tuple[str, str, str]]:
    channels = [
        ChannelUsage(each, "somewhere" if name in usages else "", usages.get(name, Usage()))
        for name, each in CHANNELS.items()
    ]
    found = channel_rows(channels, listing)
    return [(items_text(each), bytes_text(each), each.remark or each.lacking) for each in found]


def test_numbers_have_their_time_and_what_is_unknown_is_a_dash() -> None:
    first, second, *_ = rows(
        None, **{NAMES[0]: Usage(1234, 2_000, THEN, "old"), NAMES[1]: Usage(remark="refused")}
    )
    assert first == ("1,234", "2.0 kB", "old, at 03:04 UTC")
    assert second == ("–", "–", "refused")


@pytest.mark.parametrize(
    ("place", "usage", "state"),
    [
        ("", Usage(), "absent"),
        ("somewhere", Usage(0, 0, THEN, is_up=True), "up"),
        ("somewhere", Usage(is_up=False), "not up"),
        ("somewhere", Usage(remark="refused"), "not known"),
    ],
)
def test_only_what_is_known_to_be_up_is_up(place: str, usage: Usage, state: str) -> None:
    (row,) = channel_rows([ChannelUsage(CHANNELS[NAMES[0]], place, usage)], None)
    assert state_text(row) == state


def test_a_channel_that_the_stack_lacks_says_what_is_missing() -> None:
    found = dict(zip(NAMES, rows(None), strict=True))
    for name, each in CHANNELS.items():
        if each.parameter:
            assert str(each.parameter) in found[name][2]


def test_running_jobs_stand_at_the_channel_that_they_use(stack: MotoStack) -> None:
    client = stack.client("endless")
    for number in (1, 2):
        client.run(
            {
                "data": {"uri": "data/x.csv"},
                "model": {"name": "logistic_regression"},
                "exchange": {"channel": NAMES[1]},
            },
            f"uses-{number}",
        )
    jobs: list[JobSummary] = client.jobs(100, "running")
    channels = [ChannelUsage(each, "somewhere", Usage()) for each in CHANNELS.values()]
    found = channel_rows(channels, JobListing(tuple(jobs)))
    assert sorted(found[1].jobs) == ["uses-1", "uses-2"]
    assert not any(each.jobs for each in (found[0], *found[2:]))
