"""Harnesses for suites of exchanges over a storage or a parameter server."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

from comm import (
    InFlight,
    InFlightExchange,
    Message,
    Orchestrated,
    OrchestratedExchange,
    SharedModel,
    SharedModelExchange,
    Workers,
)
from comm.chunking import Chunking
from comm.wire import encode
from ps_server.client.exchange import ServerInFlight, ServerOrchestrated
from ps_server.client.shared_model import ServerSharedModel
from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.calls import JobSettings, Target, encode_in_parts
from ps_server.protocol.refusals import UnknownJob
from stepml.job.step import Step
from storage import Storage
from tests.support.parameter_servers import ParameterServerProcess, open_client

WAIT_S = 240.0  # more than any machine needs


class Harness(ABC):
    """Creates the exchanges of ranks, each with a connection of its own."""

    n_steps = 2_000  # in a test of many

    @abstractmethod
    def in_flight(
        self,
        ours: Workers,
        rank: int,
        *,
        chunks: int = 1,
        mergers: int = 0,
        frontier: str = "",
        **settings: Any,
    ) -> InFlightExchange:
        """Return a rank's exchange; ``mergers``, if not 0, is the number of ranks that merge."""

    @abstractmethod
    def orchestrated(
        self, ours: Workers, *, chunks: int = 1, compression: Any = "none"
    ) -> OrchestratedExchange: ...

    @abstractmethod
    def shared(
        self, ours: Workers, epoch: int, rank: int, **settings: Any
    ) -> SharedModelExchange: ...

    @abstractmethod
    def publish(self, ours: Workers, step: Step, rank: int, message: Message) -> None:
        """Contribute for a rank that does not run (any more)."""

    @abstractmethod
    def has_contributed(self, ours: Workers, step: Step, rank: int, chunks: int = 1) -> bool:
        """Return whether all is published that ``rank`` contributes to the chunks of others."""

    @abstractmethod
    def lose_everything(self) -> None:
        """Lose all exchanged values."""

    @abstractmethod
    def left_behind(self) -> list[str]:
        """Return the stored names of all jobs, at least one for each step."""

    def wait_for_contribution(self, ours: Workers, step: Step, rank: int, chunks: int = 1) -> None:
        deadline = time.monotonic() + WAIT_S
        while not self.has_contributed(ours, step, rank, chunks):
            assert time.monotonic() < deadline
            time.sleep(0.005)


class OverStorage(Harness):
    """The exchanges of `comm`."""

    def __init__(self, channel: Storage, name: str = "") -> None:
        self.channel = channel
        # A step on an emulated AWS takes as long as many steps on the others.
        self.n_steps = 60 if name in ("s3", "dynamodb") else 2_000

    def in_flight(
        self,
        ours: Workers,
        rank: int,
        *,
        chunks: int = 1,
        mergers: int = 0,
        frontier: str = "",
        **settings: Any,
    ) -> InFlightExchange:
        return InFlight(
            ours,
            rank,
            self.channel,
            chunking=Chunking(chunks, mergers or min(chunks, ours.world_size)),
            frontier=frontier or None,
            **settings,
        )

    def orchestrated(
        self, ours: Workers, *, chunks: int = 1, compression: Any = "none"
    ) -> OrchestratedExchange:
        return Orchestrated(ours, self.channel, chunks=chunks, compression=compression)

    def shared(self, ours: Workers, epoch: int, rank: int, **settings: Any) -> SharedModelExchange:
        return SharedModel(ours, epoch, rank, self.channel, **settings)

    def publish(self, ours: Workers, step: Step, rank: int, message: Message) -> None:
        self.channel.publish(ours.contribution(step, rank, 0), encode(message))

    def has_contributed(self, ours: Workers, step: Step, rank: int, chunks: int = 1) -> bool:
        others = [c for c in range(chunks) if c % min(chunks, ours.world_size) != rank]
        names = {ours.contribution(step, rank, chunk) for chunk in others}
        return self.channel.find_many([*names]) == names

    def lose_everything(self) -> None:
        self.channel.clear("jobs/")

    def left_behind(self) -> list[str]:
        return [*self.channel.list("jobs/")]


class OverServer(Harness):
    """The exchanges of `ps_server`, over one transport; it does not cut vectors."""

    n_steps = 500

    def __init__(self, server: ParameterServerProcess, transport: str) -> None:
        self.server = server
        self.transport = transport
        self._clients: list[ParameterClient] = []
        self.client = self.connect()
        self.client.delete("jobs/")

    def connect(self, url: str | None = None) -> ParameterClient:
        """Return another connection, which `close` ends."""
        address = url or self.server.url(self.transport)
        client = open_client(address, self.server.credentials, WAIT_S)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def in_flight(
        self,
        ours: Workers,
        rank: int,
        *,
        chunks: int = 1,
        mergers: int = 0,
        frontier: str = "",
        **settings: Any,
    ) -> InFlightExchange:
        return ServerInFlight(ours, rank, self.connect(), attempt=frontier, **settings)

    def orchestrated(
        self, ours: Workers, *, chunks: int = 1, compression: Any = "none"
    ) -> OrchestratedExchange:
        return ServerOrchestrated(ours, self.connect(), compression=compression)

    def shared(self, ours: Workers, epoch: int, rank: int, **settings: Any) -> SharedModelExchange:
        return ServerSharedModel(ours, epoch, rank, self.connect(), **settings)

    def publish(self, ours: Workers, step: Step, rank: int, message: Message) -> None:
        given = encode_in_parts(message)
        self.client.register(ours.prefix, JobSettings(ours.world_size, given.size))
        self.client.push(Target(ours.prefix, step, rank), given)

    def has_contributed(self, ours: Workers, step: Step, rank: int, chunks: int = 1) -> bool:
        try:
            return rank in self.client.exists(ours.prefix, step).ranks
        except UnknownJob:
            return False

    def lose_everything(self) -> None:
        self.client.delete("jobs/")

    def left_behind(self) -> list[str]:
        jobs = self.client.statistics().jobs
        return [f"{job.job} {number}" for job in jobs for number in range(job.steps)]
