"""Requests that wait for their turn."""

from __future__ import annotations

import pytest

from stepml.client import connect
from stepml.client.pacing import MOST_WAIT_S, SHARES, Pacing, Share
from stepml.records.errors import ExecutionNotFoundError, ServiceRefusedError
from tests.support.clocks import HandClock
from tests.support.moto_stack import MotoStack

DESCRIBE = ("stepfunctions", "DescribeExecution")
AWS = {"DescribeExecution": 15, "GetExecutionHistory": 20, "ListExecutions": 5}  # a second


def paced(clock: HandClock, share: Share) -> Pacing:
    return Pacing({DESCRIBE: share}, clock.monotonic, clock.sleep)


@pytest.mark.parametrize(("per_second", "at_once"), [(5.0, 1), (7.5, 4), (0.5, 10)])
def test_requests_are_at_most_so_many_at_once_and_a_second(per_second: float, at_once: int) -> None:
    clock = HandClock()
    pacing = paced(clock, Share(per_second, at_once))
    for _ in range(at_once + 20):
        pacing.wait(*DESCRIBE)

    assert clock.now == pytest.approx(20 / per_second)
    assert pacing.sent[DESCRIBE] == at_once + 20


def test_a_pause_gives_back_no_more_turns_than_there_are_at_once() -> None:
    clock = HandClock()
    pacing = paced(clock, Share(2, 3))
    clock.now = 1000
    for _ in range(4):
        pacing.wait(*DESCRIBE)

    assert clock.now == pytest.approx(1000.5)


def test_a_turn_that_is_far_away_is_refused_and_not_taken() -> None:
    clock = HandClock()
    pacing = Pacing({DESCRIBE: Share(1, 1)}, clock.monotonic, lambda _: None)  # many threads
    for _ in range(1 + int(MOST_WAIT_S)):
        pacing.wait(*DESCRIBE)
    for _ in range(5):
        with pytest.raises(ServiceRefusedError, match=r"DescribeExecution: .* at most 1 times"):
            pacing.wait(*DESCRIBE)
    clock.now += 1
    pacing.wait(*DESCRIBE)

    assert pacing.sent[DESCRIBE] == 2 + int(MOST_WAIT_S)


def test_other_requests_are_only_counted() -> None:
    clock = HandClock()
    pacing = paced(clock, Share(1, 1))
    for _ in range(9):
        pacing.wait("s3", "GetObject")

    assert (clock.now, pacing.sent[("s3", "GetObject")]) == (0, 9)


@pytest.mark.parametrize("operation", AWS)
def test_half_of_the_quota_is_left(operation: str) -> None:
    assert SHARES[("stepfunctions", operation)].per_second <= AWS[operation] / 2


def test_all_clients_of_a_connection_wait_old_and_new_ones(stack: MotoStack) -> None:
    clock = HandClock()
    client = stack.client()
    client.connection.client("stepfunctions")
    pacing = paced(clock, Share(1, 1))
    client.connection.pace(pacing)
    other = connect(stack.endpoint_url)
    other.pace(pacing)
    for connection in (client.connection, other):
        client.connection = connection
        with pytest.raises(ExecutionNotFoundError):
            client.find("absent")

    assert (clock.now, pacing.sent[DESCRIBE]) == (1, 2)
