"""The cost of an epoch, estimated at list prices by the functions themselves.

Counted: executors, mergers and reducer (memory × time, invocations), their requests to the durable
store and to channels that are paid by the request (s3, dynamodb), and the transitions of the state
machines. The time of mergers is computed, not measured.

Not counted: failed attempts of ranks and epochs, retried states; the start of functions, the
reducer's work after its report; nodes of Redis and Memcached and the parameter server, which cost
by the hour; preparing the data, the final report; storage, logs, data transfer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from lambdas.attempts.workforce import Workforce
from lambdas.environment import memory_mb
from stepml.job.channels import CHANNELS
from stepml.job.prices import (
    GET_USD,
    PUT_USD,
    TRANSITION_USD,
    Tariff,
    function_usd,
)
from stepml.job.tasks import ExecutorResult
from storage import DurableStorage, Storage
from storage.metered import MeteredChannel, MeteredDurableStorage

DIGITS = 8  # of a dollar in results: those of 1,600 ranks must fit into a state
PUTS = ("save", "publish", "compare_and_save", "list")
GETS = ("load", "find")

PARENT_STATES = 2  # RunEpoch, Converged?
EPOCH_STATES = 4  # IsWide?, RunExecutors or RunGroups, IsMergedInChunks?, Reduce
CHUNK_STATES = 2  # MergeChunks, IsEvaluatedApart?
SLICE_STATES = 2  # Merge, EvaluateSlices
GROUP_STATES = 2  # RunGroup, and RunExecutors in its child
ENDS = 2  # of an execution: the examples on the price page count its start and its end

# Of a merger: some requests around its work, and the values of all ranks.
MERGER_S = 0.2
MERGER_BYTES_S = 50e6
MERGER_GETS = 5


class BilledStorage(MeteredDurableStorage):
    """The durable store and the channel of one invocation, on one bill."""

    def __init__(self, inner: DurableStorage) -> None:
        super().__init__(inner)
        self._channel: MeteredChannel | None = None

    def beside(self, channel: Storage, tariff: Tariff) -> Storage:
        """Return ``channel`` with its requests on this bill."""
        if self._channel is None:
            self._channel = MeteredChannel(channel, tariff)
        return self._channel

    @property
    def cost_usd(self) -> float:
        """Cost of all requests so far."""
        puts = sum(self.requests[name] for name in PUTS)
        gets = sum(self.requests[name] for name in GETS) + self.late_publishes
        channel = 0.0 if self._channel is None else channel_usd(self._channel)
        return puts * PUT_USD + gets * GET_USD + channel


def channel_usd(channel: MeteredChannel) -> float:
    """Return the cost of the requests to a channel.

    A deletion is charged by the size of the deleted value, which is unknown then: it is counted
    with the write. A value written by compare_and_save replaces another, so it adds no deletion.
    """
    tariff, written = channel.tariff, channel.written_units
    lasting = _writes(tariff) * (written["save"] + written["publish"])
    write_units = lasting + written["compare_and_save"]
    return write_units * tariff.write_usd + channel.read_units * tariff.read_usd


@dataclass(frozen=True, slots=True)
class Invocation:
    """One invocation of a function, from the start of its handler."""

    storage: BilledStorage
    began: float  # by time.monotonic

    @classmethod
    def begin(cls, storage: DurableStorage) -> Self:
        """Return the invocation that begins now; its requests must go through its `storage`."""
        return cls(BilledStorage(storage), time.monotonic())

    @property
    def seconds(self) -> float:
        """Time since it began."""
        return time.monotonic() - self.began

    def cost_usd(self, seconds: float | None = None) -> float:
        """Return its cost so far; ``seconds`` replaces the measured time."""
        worked = self.seconds if seconds is None else seconds
        return round(function_usd(worked, memory_mb()) + self.storage.cost_usd, DIGITS)


def epoch_usd(
    executors: list[ExecutorResult],
    reducer_usd: float,
    n_chunks: int,
    contribution_bytes: int,
    channel: str,
    slices_usd: Sequence[float] = (),
) -> float:
    """Return the cost of an epoch.

    Parameters
    ----------
    executors : list of ExecutorResult
        With the cost of each rank.
    reducer_usd : float
        Cost of the reducer's invocation so far.
    n_chunks : int
        Chunks, each with a merger; 0: the reducer merges.
    contribution_bytes : int
        Size of each rank's contribution to all mergers together.
    channel : str
        As in ``exchange.channel``.
    slices_usd : sequence of float
        Cost of each function that evaluates a slice of the validation rows.
    """
    n_ranks = len(executors)
    chunk_bytes = contribution_bytes // max(1, n_chunks)
    ranks_usd = sum(result.cost_usd for result in executors)
    mergers_usd = n_chunks * merger_usd(n_ranks, chunk_bytes, channel)
    transitions_usd = n_transitions(n_ranks, n_chunks, len(slices_usd)) * TRANSITION_USD
    report_usd = PUT_USD  # it is written once its cost is known
    functions_usd = ranks_usd + mergers_usd + reducer_usd + sum(slices_usd)
    return round(functions_usd + report_usd + transitions_usd, DIGITS)


def merger_usd(n_ranks: int, chunk_bytes: int, channel: str) -> float:
    """Return the approximate cost of merging a chunk; mergers have the reducer's memory."""
    seconds = MERGER_S + n_ranks * chunk_bytes / MERGER_BYTES_S
    merging = 0.0
    if tariff := CHANNELS[channel].tariff:
        written = _writes(tariff) * tariff.write_units(chunk_bytes) * tariff.write_usd
        merging = written + n_ranks * tariff.read_units(chunk_bytes) * tariff.read_usd
    return function_usd(seconds, memory_mb()) + MERGER_GETS * GET_USD + merging


def _writes(tariff: Tariff) -> int:
    """Return the number of charges for a value, with its deletion."""
    return 2 if tariff.charges_deletions else 1


def n_transitions(n_ranks: int, n_chunks: int, n_slices: int = 0) -> int:
    """Return the transitions of an epoch in all state machines, if nothing is retried."""
    groups = len(Workforce(n_ranks, n_ranks).groups)
    merging = CHUNK_STATES + n_chunks if n_chunks else 0
    evaluation = SLICE_STATES + n_slices if n_slices else 0
    epoch = EPOCH_STATES + ENDS + n_ranks + merging + evaluation
    return PARENT_STATES + epoch + groups * (GROUP_STATES + ENDS)
