"""The asynchronous exchange over a parameter server, which changes the model as updates arrive.

A rank pushes a change, or a gradient if the server runs the optimiser, and pulls the model in the
same round trip. The model says which updates of each rank are in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial

import numpy as np

from comm.exchange import SharedModelExchange, SharedState, Workers, watch_nothing
from comm.wire import Message, Vector, message_bytes
from ps_server.client.jobs import JobClient, Push
from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.calls import JobSettings, Received, Target, encode_in_parts
from ps_server.protocol.refusals import StepForgotten, UnknownJob
from stepml.job.errors import SharedModelLostError
from stepml.job.step import Step
from stepml.job.stopwatch import timed
from storage.base import Clock


@dataclass
class ServerSharedModel(SharedModelExchange):
    """One rank's access to the shared model of an epoch, over a parameter server."""

    workers: Workers  # its prefix belongs to one attempt at the epoch
    epoch: int
    rank: int
    client: ParameterClient
    _: KW_ONLY
    max_staleness: int | None = None  # updates that a rank may be ahead of the slowest
    server_update: str = ""  # JSON of a `ServerUpdate`; empty: ranks push changes
    timeout_s: float = 180.0  # the longest wait for an answer, or for ranks that are behind
    watch: Callable[[], None] = watch_nothing  # called each second of a wait; it raises to end it
    clock: Clock = time

    def __post_init__(self) -> None:
        self._job = JobClient(self.client, self.workers.prefix, self.watch, self.clock)
        self._settings = partial(
            shared_settings,
            self.workers.world_size,
            max_staleness=self.max_staleness,
            server_update=self.server_update,
        )

    def create(self, vector: Vector, n_totals: int = 0) -> None:
        message = encode_in_parts(Message(vector, np.zeros(n_totals)))
        settings = self._settings(vector, n_totals)
        self._job.push(Step(self.epoch), self.rank, message, settings)

    def pull(self) -> SharedState:
        try:
            with timed("transfer"):
                return self._job.pull(Step(self.epoch), self.rank, self._parse)
        except (UnknownJob, StepForgotten) as error:
            raise self._lost() from error

    def push(
        self,
        sequence: int,
        pulled: SharedState,
        change: Callable[[Vector], None],
        totals: Sequence[float] = (),
    ) -> SharedState:
        changed = np.array(pulled.vector)
        change(changed)
        changed -= pulled.vector
        return self._push(sequence, pulled, changed, totals)

    def push_gradient(
        self, sequence: int, pulled: SharedState, gradient: Vector, totals: Sequence[float] = ()
    ) -> SharedState:
        return self._push(sequence, pulled, gradient, totals)

    def has_lost_updates(self, state: SharedState) -> bool:
        settings = self._settings(state.vector, len(state.totals))
        return self._job.register(settings).is_restored

    def release(self) -> None:
        self._job.delete()

    def _push(
        self, sequence: int, pulled: SharedState, vector: Vector, totals: Sequence[float]
    ) -> SharedState:
        def name(rank: int) -> str:
            assert self.max_staleness is not None  # otherwise there is no wait
            return f"rank {rank}'s update {sequence - self.max_staleness} of epoch {self.epoch}"

        step, message = Step(self.epoch, sequence), Message(vector, np.array(totals, np.float64))
        target = Target(self.workers.prefix, step, self.rank, based_on=pulled.version)
        push = Push(target, encode_in_parts(message), name)
        try:
            with timed("transfer"):
                return self._job.push_and_wait(push, self.timeout_s, self._parse)
        except UnknownJob as error:
            raise self._lost() from error
        except StepForgotten as error:
            raise SharedModelLostError(
                f"the channel has lost updates of epoch {self.epoch}: {error}"
            ) from error

    def _lost(self) -> SharedModelLostError:
        return SharedModelLostError(f"the channel has lost the shared model of epoch {self.epoch}")

    def _parse(self, received: Received) -> SharedState:
        return SharedState.of(received.message("the shared model"), self.workers.world_size)


def shared_settings(
    world_size: int,
    vector: Vector,
    n_totals: int,
    *,
    max_staleness: int | None = None,
    server_update: str = "",
) -> JobSettings:
    """Return the settings of an asynchronous job whose model is like ``vector``."""
    n_trailer = SharedState.trailer_size(world_size, n_totals)
    return JobSettings(
        world_size,
        message_bytes(vector.size, vector.dtype, n_trailer),
        rule="asynchronous" if max_staleness is None else "stale_synchronous",
        max_staleness=max_staleness or 0,
        server_update=server_update,
    )
