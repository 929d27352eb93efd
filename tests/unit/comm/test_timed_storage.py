"""The time of a channel: looks in vain are waits, requests with values are transfers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from stepml.job.errors import WaitTimeoutError
from stepml.job.parts import Parts
from stepml.job.stopwatch import Stopwatch, measuring, timed
from storage.base import Buffer
from storage.testing.memory import MemoryStorage
from storage.timed import TimedStorage
from tests.support.clocks import HandClock

LOOK_S, SAVE_S, LATE_S = 1.0, 3.0, 40.0


class SlowStorage(MemoryStorage):
    """A storage whose requests take time by the clock of the test."""

    poll_start_s = poll_most_s = 2.0

    def __init__(self, clock: HandClock) -> None:
        super().__init__()
        self.clock = clock

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        self.clock.sleep(LOOK_S)
        return dict(super().load_many(keys))

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        self.clock.sleep(SAVE_S)
        return super().publish_many(values)


class WakingStorage(SlowStorage):
    """A storage that ends a wait when the value comes."""

    wakes_waiters = True

    def wait_each(self, keys: Sequence[str], **settings: Any) -> Iterator[tuple[str, Buffer]]:
        for key in keys:
            self.clock.sleep(LATE_S)
            yield key, b""


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def test_requests_are_transfers_and_the_caller_goes_on_with_its_own_part(clock: HandClock) -> None:
    stopwatch = Stopwatch(clock.monotonic)
    channel = TimedStorage(SlowStorage(clock))
    with measuring(stopwatch), timed("compute"):
        clock.sleep(10)
        channel.publish("k", b"value")
        channel.load_many(["absent"])
        clock.sleep(5)
    assert stopwatch.parts() == Parts(compute=15, transfer=SAVE_S + LOOK_S)


def test_looks_in_vain_are_part_of_a_wait(clock: HandClock) -> None:
    stopwatch = Stopwatch(clock.monotonic)
    channel = TimedStorage(SlowStorage(clock))
    looks = iter(range(3))
    watch = lambda: next(looks, None) is None and channel.inner.save("k", b"")  # noqa: E731
    with measuring(stopwatch):
        for _ in channel.wait_each(["k"], timeout_s=100, clock=clock, watch=watch):
            clock.sleep(7)  # the caller's
    # Three looks in vain with a pause behind each, and one that finds the value.
    assert stopwatch.parts() == Parts(wait=3 * (LOOK_S + 2), transfer=LOOK_S, other=7)


def test_a_wait_that_the_service_ends_has_a_round_trip(clock: HandClock) -> None:
    stopwatch = Stopwatch(clock.monotonic)
    channel = TimedStorage(WakingStorage(clock))
    with measuring(stopwatch):
        channel.publish("k", b"")
        assert [key for key, _ in channel.wait_each(["k", "l"], timeout_s=100)] == ["k", "l"]
    assert stopwatch.parts() == Parts(wait=2 * LATE_S - SAVE_S, transfer=2 * SAVE_S)


def test_a_wait_that_ends_in_vain_counts(clock: HandClock) -> None:
    stopwatch = Stopwatch(clock.monotonic)
    channel = TimedStorage(SlowStorage(clock))
    with measuring(stopwatch), pytest.raises(WaitTimeoutError):
        channel.wait_many(["k"], timeout_s=3, clock=clock)
    assert stopwatch.parts() == Parts(wait=clock.now)
