"""The parts of a function's time in an epoch, and its requests to services.

The share of communication is that of Jiang et al. (SIGMOD 2021, section 5): the time that ranks
spend on exchanging, out of all their time once they have started.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import astuple, replace

MOST_RANKS_LISTED = 40  # in a report of an epoch; of more ranks it has quantiles
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
Role = Literal["rank", "merger", "evaluator", "reducer"]
Part = Literal["load", "compute", "encode", "wait", "transfer", "merge", "snapshot", "other"]


class Parts(Struct, frozen=True, omit_defaults=True):
    """The seconds of a function by what it did; they add up to its time after its start."""

    load: float = 0.0  # plan, state and shard, from the durable store; the user's own code
    compute: float = 0.0  # gradients, steps, evaluation
    encode: float = 0.0  # arrays to messages and back, checksums
    wait: float = 0.0  # for peers
    transfer: float = 0.0  # values to and from the channel, and durable results
    merge: float = 0.0  # additions of contributions
    snapshot: float = 0.0  # progress that is saved for a next call
    other: float = 0.0  # looks whether the job goes on, and everything else

    @property
    def seconds(self) -> float:
        """All of them together."""
        return float(sum(astuple(self)))

    @property
    def communication_s(self) -> float:
        """Those for the exchange with other ranks."""
        return self.encode + self.wait + self.transfer + self.merge


class Traffic(Struct, frozen=True, omit_defaults=True):
    """Requests of a function to a service."""

    requests: int = 0
    sent_bytes: int = 0  # of values, without keys and protocol
    received_bytes: int = 0


class FunctionTimes(Struct, frozen=True, omit_defaults=True):
    """One function in an epoch: a rank, a merger of a chunk, an evaluator of a slice, the reducer.

    Of a rank that was called again, start is that of its first call, and parts are sums: of calls
    that returned, not of those that were killed.
    """

    role: Role
    index: int  # rank, chunk or slice; 0 for the reducer
    start: float  # seconds from the start of the epoch's attempt to the first line of the handler
    parts: Parts  # of the reducer: until it writes the report
    is_cold: bool = False  # a sandbox was started for it
    init: float = 0.0  # seconds of `start` in which this sandbox loaded its code
    calls: int = 1  # of its Task: retries follow pauses, crashes and throttling
    cost_usd: float = 0.0  # estimated; in it …
    requests_usd: float = 0.0  # … its requests to services
    lost_usd: float = 0.0  # … and earlier calls, which have failed
    traffic: dict[str, Traffic] = field(default_factory=dict)  # by service: s3, redis, …


def together(earlier: FunctionTimes, last: FunctionTimes) -> FunctionTimes:
    """Return the times of a function that was called again: of its first start, and of all calls.

    The number of calls and the costs are those of ``last``, which has the earlier ones in them.
    """
    services = {*earlier.traffic, *last.traffic}
    none = Traffic()
    return replace(
        last,
        start=earlier.start,
        is_cold=earlier.is_cold,
        init=earlier.init,
        parts=Parts(*map(sum, zip(astuple(earlier.parts), astuple(last.parts), strict=True))),
        traffic={
            name: sum_of_traffic(each.traffic.get(name, none) for each in (earlier, last))
            for name in sorted(services)
        },
    )


def sum_of_traffic(each: Iterable[Traffic]) -> Traffic:
    """Return the traffic of several functions or storages together."""
    columns = zip(*map(astuple, each), strict=True)
    return Traffic(*map(sum, columns))


def communication_share(ranks: Iterable[Parts]) -> float:
    """Return the share of communication in the ranks' time after their start; 0 without any."""
    known = list(ranks)
    seconds = sum(each.seconds for each in known)
    return sum(each.communication_s for each in known) / seconds if seconds else 0.0
