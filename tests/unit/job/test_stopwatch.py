"""The parts of a function's time: each second counts once, and survives its way in a few bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from stepml.job.packed_times import pack_times, unpack_times
from stepml.job.parts import FunctionTimes, Parts, Traffic, communication_share
from stepml.job.stopwatch import Stopwatch, measuring, note_message, timed
from tests.support.clocks import HandClock

NAMES = Parts.__struct_fields__
LONGEST = 54
seconds = st.floats(0, 20_000)
numbers = st.integers(0, 2**45)
traffics = st.builds(Traffic, numbers, numbers, numbers)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 3), st.booleans()), max_size=30))
def test_the_innermost_part_counts_and_all_add_up(steps: list[tuple[str, int, bool]]) -> None:
    clock, expected, open_blocks = HandClock(), dict.fromkeys(NAMES, 0), []
    stopwatch = Stopwatch(clock.monotonic)
    with measuring(stopwatch):
        for name, lasting, ends_one in steps:
            if ends_one and open_blocks:
                open_blocks.pop()[1].__exit__(None, None, None)
            block = timed(name)  # type: ignore[arg-type]
            block.__enter__()
            open_blocks.append((name, block))
            clock.sleep(lasting)
            expected[name] += lasting
        parts = stopwatch.parts()
    assert list(astuple(parts)) == [expected[name] for name in NAMES]
    assert parts.seconds == clock.now


def test_time_outside_of_blocks_is_other_also_after_an_error() -> None:
    clock = HandClock()
    stopwatch = Stopwatch(clock.monotonic)
    with measuring(stopwatch):
        with pytest.raises(KeyError), timed("compute"), timed("transfer"):
            clock.sleep(2)
            raise KeyError
        clock.sleep(3)
    assert stopwatch.parts() == Parts(transfer=2, other=3)


def test_without_a_stopwatch_nothing_counts() -> None:
    with timed("compute") as block:
        note_message("s3", sent=1)
    assert (block.stopwatch, block.before) == (None, None)


def test_messages_count_by_service() -> None:
    stopwatch = Stopwatch()
    with measuring(stopwatch):
        note_message("a", sent=3)
        note_message("a", received=4)
        note_message("b")
    assert stopwatch.messages == {"a": Traffic(2, 3, 4), "b": Traffic(1)}


@given(
    st.builds(Parts, *[seconds] * len(NAMES)),
    seconds,
    seconds,
    st.integers(1, 255),
    traffics,
    traffics,
)
def test_packed_times_are_short_and_keep_three_digits(
    parts: Parts, start: float, init: float, calls: int, durable: Traffic, channel: Traffic
) -> None:
    given_times = FunctionTimes(
        "rank",
        7,
        start,
        parts,
        init=init,
        calls=calls,
        cost_usd=0.01,
        requests_usd=0.004,
        traffic={"s3": durable, "redis": channel},
    )
    text = pack_times(given_times, "redis")
    assert len(text) == LONGEST
    found = unpack_times(text, "rank", 7, 0.01, "redis")
    assert found is not None
    assert astuple(found.parts) == pytest.approx(astuple(parts), rel=1e-3, abs=1e-4)
    assert [found.start, found.init] == pytest.approx([start, init], rel=1e-3, abs=1e-4)
    assert (found.calls, found.requests_usd) == (calls, pytest.approx(0.004, rel=1e-3))
    for name, before in (("s3", durable), ("redis", channel)):
        after = found.traffic.get(name, Traffic(0, before.sent_bytes, before.received_bytes))
        assert astuple(after) == pytest.approx(astuple(before), rel=1e-5)


@given(st.integers(0, 2**19 - 1), st.integers(0, 2**19 - 1))
def test_small_numbers_are_exact(sent: int, received: int) -> None:
    times = FunctionTimes("rank", 0, 0.0, Parts(), traffic={"s3": Traffic(1, sent, received)})
    found = unpack_times(pack_times(times, "s3"), "rank", 0, 0.0, "s3")
    assert found is not None
    assert found.traffic == times.traffic


def test_results_of_earlier_versions_have_no_times() -> None:
    assert unpack_times("", "rank", 0, 0.1, "s3") is None


def test_the_share_of_communication_is_that_of_all_ranks() -> None:
    ranks = [Parts(compute=1, wait=1), Parts(load=1, transfer=0.5, merge=0.25, encode=0.25)]
    assert communication_share(ranks) == 0.5
    assert communication_share([]) == 0
