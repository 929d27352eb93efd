"""The asynchronous exchange over a parameter server, which changes the model as updates arrive.

A rank pushes a change, or a gradient if the server runs the optimiser, and pulls the model in the
same round trip. The model says which updates of each rank are in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from comm.exchange import SharedModelExchange, SharedState, Workers
from comm.wire import Message, Vector, message_bytes
from ps_server.client.jobs import JobClient, Push, nothing
from ps_server.protocol.calls import JobSettings, Received
from ps_server.protocol.clients import ParameterClient, encode_in_parts
from ps_server.protocol.refusals import StepForgotten, UnknownJob
from stepml.job.errors import SharedModelLostError
from stepml.job.step import Step
from storage.base import Clock


class ServerSharedModel(SharedModelExchange):
    """One rank's access to the shared model of an epoch, over a parameter server.

    Parameters
    ----------
    workers : Workers
        Its prefix belongs to one attempt at the epoch.
    epoch, rank, client, clock
    max_staleness : int, optional
        Updates that a rank may be ahead of the slowest; None: no limit.
    server_update : str
        JSON of the `ServerUpdate` that turns gradients into steps; empty: ranks push changes.
    timeout_s : float
        Longest wait for an answer, or for ranks that are behind.
    watch : callable
        Called about once a second while this rank waits; it raises to end the wait.
    """

    def __init__(
        self,
        workers: Workers,
        epoch: int,
        rank: int,
        client: ParameterClient,
        *,
        max_staleness: int | None = None,
        server_update: str = "",
        timeout_s: float = 180.0,
        watch: Callable[[], None] = nothing,
        clock: Clock = time,
    ) -> None:
        self._workers = workers
        self._epoch = epoch
        self._rank = rank
        self._max_staleness = max_staleness
        self._server_update = server_update
        self._timeout_s = timeout_s
        self._job = JobClient(client, workers.prefix, watch, clock)

    def create(self, vector: Vector, n_totals: int = 0) -> None:
        message = encode_in_parts(Message(vector, np.zeros(n_totals)))
        settings = self._settings(vector, n_totals)
        self._job.push(Step(self._epoch), self._rank, message, settings)

    def pull(self) -> SharedState:
        try:
            return self._job.pull(Step(self._epoch), self._rank, self._parse)
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

    def abandon(self) -> None:
        self._job.delete()

    def _push(
        self, sequence: int, pulled: SharedState, vector: Vector, totals: Sequence[float]
    ) -> SharedState:
        def name(rank: int) -> str:
            assert self._max_staleness is not None  # otherwise there is no wait
            return f"rank {rank}'s update {sequence - self._max_staleness} of epoch {self._epoch}"

        step, message = Step(self._epoch, sequence), Message(vector, np.array(totals, np.float64))
        push = Push(step, self._rank, encode_in_parts(message), name, based_on=pulled.version)
        try:
            return self._job.push_and_wait(push, self._timeout_s, self._parse)
        except UnknownJob as error:
            raise self._lost() from error
        except StepForgotten as error:
            raise SharedModelLostError(
                f"the channel has lost updates of epoch {self._epoch}: {error}"
            ) from error

    def _lost(self) -> SharedModelLostError:
        return SharedModelLostError(f"the channel has lost the shared model of epoch {self._epoch}")

    def _settings(self, vector: Vector, n_totals: int) -> JobSettings:
        return shared_settings(
            self._workers.world_size,
            vector,
            n_totals,
            max_staleness=self._max_staleness,
            server_update=self._server_update,
        )

    def _parse(self, received: Received) -> SharedState:
        return SharedState.of(received.message("the shared model"), self._workers.world_size)


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
