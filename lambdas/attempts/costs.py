"""The cost of a job, counted at list prices by the functions themselves.

Each function's result carries the cost of its call, so the reducer knows that of all others, and
nothing is stored for it. Counted: all functions with their start (memory × time, calls), their
requests to the durable store and to channels that are paid by the request (s3, dynamodb), the
transitions of the state machines; failed calls and attempts, as far as `lambdas.calls` knows them.

Not counted: nodes of Redis and Memcached and the parameter server, which cost by the hour; storage,
logs, data transfer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Self

from lambdas.attempts import transitions
from lambdas.calls import Call, current_call, lost_seconds
from lambdas.environment import bucket, memory_mb
from stepml.job.channels import DURABLE
from stepml.job.parts import Traffic, sum_of_traffic
from stepml.job.prices import (
    GET_USD,
    INVOCATION_USD,
    PUT_USD,
    TRANSITION_USD,
    Tariff,
    function_usd,
)
from stepml.job.stopwatch import measuring
from stepml.job.tasks import DataState, ReducerTask, Spent, Task
from storage import DurableStorage, Storage
from storage.metered import MeteredChannel, MeteredDurableStorage

DIGITS = 8  # of a dollar in results: those of 1,600 ranks must fit into a state
PUTS = ("save", "publish", "compare_and_save", "list")
GETS = ("load", "find")
CHECK_S = 0.2  # of the function that looks at the data before a second attempt
# Of Finalise, roughly.
FINAL_S = 1.0
FINAL_PUTS, FINAL_GETS = 9, 8
CLEARING_LISTS = 4  # progress, rank states, snapshots, marks


class BilledStorage(MeteredDurableStorage):
    """The durable store and the channel of one invocation, on one bill."""

    def __init__(self, inner: DurableStorage) -> None:
        super().__init__(inner)
        self._channel: MeteredChannel | None = None
        self._channel_name = ""
        self._buckets: list[MeteredDurableStorage] = []

    def beside(self, name: str, channel: Storage, tariff: Tariff | None) -> Storage:
        """Return the channel called ``name`` with its requests on this bill."""
        if self._channel is None:
            self._channel, self._channel_name = MeteredChannel(channel, tariff), name
        return self._channel

    def reading(self, bucket: DurableStorage) -> DurableStorage:
        """Return another bucket with its requests on this bill."""
        self._buckets.append(MeteredDurableStorage(bucket))
        return self._buckets[-1]

    @property
    def services(self) -> dict[str, Traffic]:
        """All requests so far, by service."""
        found = {DURABLE: sum_of_traffic(each.traffic for each in (self, *self._buckets))}
        if self._channel is not None:
            found[self._channel_name] = self._channel.traffic
        return found

    @property
    def cost_usd(self) -> float:
        """Cost of all requests so far."""
        channel = 0.0 if self._channel is None else channel_usd(self._channel)
        return sum(map(requests_usd, (self, *self._buckets))) + channel


def requests_usd(storage: MeteredDurableStorage) -> float:
    """Return the cost of the requests to a bucket."""
    puts = sum(storage.requests[name] for name in PUTS)
    gets = sum(storage.requests[name] for name in GETS) + storage.late_publishes
    return puts * PUT_USD + gets * GET_USD


def channel_usd(channel: MeteredChannel) -> float:
    """Return the cost of the requests to a channel.

    A deletion is charged by the size of the deleted value, which is unknown then: it is counted
    with the write. A value written by compare_and_save replaces another, so it adds no deletion.
    """
    tariff, written = channel.tariff, channel.written_units
    if tariff is None:
        return 0.0
    lasting = _writes(tariff) * (written["save"] + written["publish"])
    write_units = lasting + written["compare_and_save"]
    return write_units * tariff.write_usd + channel.read_units * tariff.read_usd


@dataclass(frozen=True, slots=True)
class Invocation:
    """The bill of one call of a function."""

    storage: BilledStorage
    call: Call
    retries: int  # calls of the same state before, which have failed
    lost_s: float  # their time

    @classmethod
    def begin(cls, storage: DurableStorage, task: Task | None = None) -> Self:
        """Return the bill of the current call; its requests must go through its `storage`."""
        call, billed, task = current_call(), BilledStorage(storage), task or Task()
        call.requests_usd = lambda: billed.cost_usd
        return cls(
            billed, call, task.retries, lost_seconds(task.retries, task.entered_at, call.init_s)
        )

    @property
    def seconds(self) -> float:
        """Time since it began."""
        return self.call.seconds

    @property
    def traffic(self) -> dict[str, Traffic]:
        """Its requests to services so far, by service."""
        found = self.storage.services | self.call.stopwatch.messages
        return {name: each for name, each in found.items() if each.requests}

    def measured(self) -> AbstractContextManager[None]:
        """Return a context whose time the stopwatch of the call counts."""
        return measuring(self.call.stopwatch)

    def bucket(self, name: str) -> DurableStorage:
        """Return any bucket with its requests on this bill."""
        return self.storage.reading(bucket(name))

    def cost_usd(self, then_usd: float = 0.0) -> float:
        """Return the cost so far, for the result of the call.

        ``then_usd`` is the price of requests that are still to come.
        """
        carried = self.call.cost_usd + then_usd
        self.call.carried_usd = carried
        return round(carried + self.retried_usd, DIGITS)

    def spent(self) -> Spent:
        """Return the cost as the result of the call."""
        return Spent(cost_usd=self.cost_usd())

    @property
    def retried_usd(self) -> float:
        """The cost of the failed calls; their requests are taken to be as many a second."""
        usd = self.retries * TRANSITION_USD
        if not self.lost_s:
            return usd
        share = min(self.retries, self.lost_s / max(self.seconds, 0.001))
        calls_usd = (self.retries - 1) * INVOCATION_USD + function_usd(self.lost_s, memory_mb())
        return usd + calls_usd + share * self.storage.cost_usd


def preparation_costs(data: DataState, own_usd: float) -> dict[str, float]:
    """Return the cost of a job before its first epoch, by state.

    ``own_usd`` is that of the last function. Prepare has the costs of data that were made in vain.
    """
    found = {
        "Prepare": data.spent_usd,
        "CheckModel": data.checked.cost_usd,
        "PartitionData": sum(data.partitioned),
        "PlanShards": data.planned.cost_usd,
        "AssembleShards": sum(data.assembled),
        "InitialiseModel": own_usd,
        "transitions": transitions.of_preparation(data) * TRANSITION_USD,
    }
    return {state: round(usd, DIGITS) for state, usd in found.items() if usd}


class EpochBill(NamedTuple):
    """The cost of an epoch, in US dollars."""

    total_usd: float
    states_usd: float  # in it: transitions of the state machines …
    again_usd: float  # … and of earlier attempts: data made again, and looks at them


def epoch_bill(
    task: ReducerTask, reducer_usd: float, n_chunks: int, slices_usd: Sequence[float] = ()
) -> EpochBill:
    """Return the cost of an epoch.

    Parameters
    ----------
    task : ReducerTask
        With the costs of the ranks and of those who merged chunks.
    reducer_usd : float
        Cost of the reducer's calls, up to its report.
    n_chunks : int
        Chunks, each with a merger; 0: the reducer merges.
    slices_usd : sequence of float
        Cost of each function that evaluates a slice of the validation rows.
    """
    attempts, again = earlier_attempts(task.attempt), task.again
    n_transitions = transitions.of_epoch(
        len(task.executors),
        n_chunks,
        len(slices_usd),
        earlier_attempts=attempts,
        restored=again.ranges,
    )
    merged_usd = sum(each[0] if isinstance(each, tuple) else each for each in task.merged)
    others_usd = sum(result.cost_usd for result in task.executors) + merged_usd
    again_usd = sum(again.ranges) + again.published.cost_usd + attempts * check_usd()
    functions_usd = others_usd + again_usd + reducer_usd + sum(slices_usd)
    states_usd = n_transitions * TRANSITION_USD
    return EpochBill(round(functions_usd + states_usd, DIGITS), states_usd, again_usd)


def final_usd(n_epochs: int) -> float:
    """Return the approximate cost of Finalise, for which a budget must leave room."""
    requests_usd = FINAL_PUTS * PUT_USD + (n_epochs + FINAL_GETS) * GET_USD
    return round(function_usd(FINAL_S, memory_mb()) + requests_usd + TRANSITION_USD, DIGITS)


def clearing_usd(channel: str) -> float:
    """Return the cost of the requests by which Finalise ends, from the report's own on."""
    lists = CLEARING_LISTS + (channel == DURABLE)
    return (1 + lists) * PUT_USD + GET_USD


def earlier_attempts(attempt: str) -> int:
    """Return the attempts at an epoch before this one, since the last redrive of the job."""
    number = attempt.rpartition(".")[0].rpartition("-t")[2]  # see ``RunEpoch`` for the names
    return int(number) if number.isdecimal() else 0


def check_usd() -> float:
    """Return the approximate cost of a look at the data before a second attempt."""
    return function_usd(CHECK_S, memory_mb()) + PUT_USD + 4 * GET_USD


def _writes(tariff: Tariff) -> int:
    """Return the number of charges for a value, with its deletion."""
    return 2 if tariff.charges_deletions else 1
