"""Paces the requests of a program that asks again and again, such as the console.

AWS throttles the requests of a whole account. A program that is paced stays below a share of that,
so that commands, functions and state machines have the rest. The clocks of botocore's own
retries come after it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from stepml.records.errors import ServiceRefusedError

MOST_WAIT_S = 10.0  # for a turn


@dataclass(frozen=True, slots=True)
class Share:
    """The requests that a program may send to an operation of a service."""

    per_second: float
    at_once: int  # after a pause


# Half of what AWS allows an account in its large regions: see the Step Functions quotas, and those
# of CloudWatch Logs. Others are not limited, or only asked for when a person does something.
SHARES: Mapping[tuple[str, str], Share] = {
    ("stepfunctions", "DescribeExecution"): Share(7.5, 150),
    ("stepfunctions", "GetExecutionHistory"): Share(10, 200),
    ("stepfunctions", "ListExecutions"): Share(2.5, 100),
    ("stepfunctions", "DescribeStateMachine"): Share(5, 50),
    ("stepfunctions", "DescribeStateMachineForExecution"): Share(5, 50),
    ("logs", "FilterLogEvents"): Share(5, 10),
    ("logs", "GetLogEvents"): Share(5, 10),
}


class Pacing:
    """Lets requests wait until it is their turn. Several threads, and clients, may share one.

    Parameters
    ----------
    shares : mapping, optional
        The shares by service, as boto3 names it, and operation.
    clock, sleep : callable, optional
        The time in seconds, and a pause.

    Attributes
    ----------
    sent : Counter
        The number of requests so far by service and operation, also of those without a share.
    """

    def __init__(
        self,
        shares: Mapping[tuple[str, str], Share] = SHARES,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._turns = {key: _Turns(share, clock) for key, share in shares.items()}
        self._sleep = sleep
        self.sent: Counter[tuple[str, str]] = Counter()

    def attach(self, client: Any) -> None:
        """Pace the requests of a client of boto3."""
        name = f"before-call.{client.meta.service_model.service_id.hyphenize()}"
        client.meta.events.register(name, self._before_call, unique_id="stepml-pacing")

    def wait(self, service: str, operation: str) -> None:
        """Wait until a request may be sent.

        Raises
        ------
        ServiceRefusedError
            The wait would be longer than `MOST_WAIT_S`.
        """
        key = service, operation
        turns = self._turns.get(key)
        pause_s = 0.0 if turns is None else turns.reserve(MOST_WAIT_S)
        if pause_s is None:
            assert turns is not None
            raise ServiceRefusedError(
                "ThrottlingException",
                f"{operation}: this program asks at most {turns.share.per_second:g} times a "
                "second, so that the account's other programs are not throttled; it is asked "
                "for more now",
            )
        if pause_s:
            self._sleep(pause_s)
        self.sent[key] += 1

    def _before_call(self, model: Any, **_: Any) -> None:
        self.wait(model.service_model.service_name, model.name)


class _Turns:
    """A bucket of tokens; a request that finds none takes one of those that come later."""

    def __init__(self, share: Share, clock: Callable[[], float]) -> None:
        self.share = share
        self._clock = clock
        self._tokens, self._at = float(share.at_once), clock()
        self._taking = Lock()

    def reserve(self, most_s: float) -> float | None:
        """Take a turn and return the seconds until it; None if it is too far away to take."""
        with self._taking:
            now = self._clock()
            new = (now - self._at) * self.share.per_second
            self._tokens, self._at = min(self._tokens + new, float(self.share.at_once)), now
            pause_s = max(0.0, (1 - self._tokens) / self.share.per_second)
            if pause_s > most_s:
                return None
            self._tokens -= 1
            return pause_s
