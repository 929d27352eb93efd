"""The channel of a job over the parameter server, which merges by itself."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_hex

import msgspec
import numpy as np

from comm import InFlightExchange, Message, OrchestratedExchange, SharedModelExchange, Workers
from comm.exchange import watch_nothing
from comm.wire import message_bytes
from lambdas.attempts.fences import Attempted
from lambdas.attempts.timing import STANDARD
from lambdas.channels.base import GoesOn, JobChannel, OnWait, never
from ps_server.client.exchange import ServerInFlight, ServerOrchestrated
from ps_server.client.jobs import JobClient
from ps_server.client.shared_model import ServerSharedModel, shared_settings
from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.addresses import URL_VARIABLE, Credentials
from ps_server.protocol.calls import JobSettings, ServerUpdate
from stepml.job import keys
from stepml.job.algorithms import GradientAveraging
from stepml.job.channels import PARAMETER_SERVER
from stepml.job.errors import NotAvailableError
from stepml.job.spec_base import settled
from stepml.job.step import Step
from stepml.ml.models.base import Floats

_TIMEOUT_S = 15.0  # of silence; a rank that hangs so long can still save its progress

_clients: dict[int, ParameterClient] = {}  # by thread; a function has one


@dataclass(frozen=True, slots=True)
class ServerChannel(JobChannel):
    """The exchanges of `ps_server.client`."""

    start_s: float  # longest wait for the first answer: the server may be starting

    def orchestrated(
        self, chunks: int = 1, *, watch: OnWait = watch_nothing
    ) -> OrchestratedExchange:
        compression = self.spec.exchange.compression
        return ServerOrchestrated(
            self.workers, cached_client(), compression=compression, watch=watch
        )

    def in_flight(
        self,
        task: Attempted,
        rank: int,
        n_parameters: int,
        *,
        watch: OnWait = watch_nothing,
    ) -> InFlightExchange:
        return ServerInFlight(
            self.workers,
            rank,
            cached_client(),
            compression=self.spec.exchange.compression,
            attempt=task.attempt,
            watch=watch,
        )

    def shared(
        self,
        task: Attempted,
        rank: int,
        n_updates: int,
        *,
        timeout_s: float = STANDARD.wait_s,
        watch: OnWait = watch_nothing,
    ) -> SharedModelExchange:
        return ServerSharedModel(
            self.workers_of(task.attempt),
            task.epoch,
            rank,
            cached_client(),
            max_staleness=self.spec.exchange.max_staleness,
            server_update=self._server_update(n_updates),
            timeout_s=timeout_s,
            watch=watch,
        )

    def clear(self, goes_on: GoesOn = never) -> None:
        if not goes_on():
            self._job().delete()
            # Of a caller that was killed.
            JobClient(cached_client(), keys.probe_prefix(self.prefix)).delete()

    def clear_attempt(self, attempt: str) -> None:
        JobClient(cached_client(), keys.attempt_prefix(self.prefix, attempt)).delete()

    def clear_epoch(self, epoch: int) -> None:
        self._job().reset(epoch)

    def keep_contributions(self, epoch: int, goes_on: GoesOn = never) -> None:
        """Do nothing: the server has nothing else, as finished epochs are released."""

    def require_answer(self) -> None:
        client = cached_client()
        JobClient(client, "").call(client.ping, time.monotonic() + self.start_s)
        # Another copy of the caller tries it with another name.
        alone = Workers(f"{keys.probe_prefix(self.prefix)}{token_hex(4)}/", world_size=1)
        probe = ServerOrchestrated(alone, client)
        probe.contribute(Step(1), 0, Message(np.zeros(1, np.float32), np.zeros(1)))
        probe.sum(Step(1))
        JobClient(client, alone.prefix).delete()

    def require_room_for_sums(self, contribution: Callable[[], Message]) -> None:
        message, compression = contribution(), self.spec.exchange.compression
        dtype = message.vector.dtype
        if compression == "float16" and dtype == np.float32:
            dtype = np.dtype(np.float16)
        size = message_bytes(message.vector.size, dtype, message.trailer.size)
        self._require_room(JobSettings(self.spec.workers, size, compression=compression))

    def require_room_for_model(self, parameters: Floats, n_totals: int, n_updates: int) -> None:
        self._require_room(
            shared_settings(
                self.spec.workers,
                parameters,
                n_totals,
                max_staleness=self.spec.exchange.max_staleness,
                server_update=self._server_update(n_updates),
            )
        )

    def _require_room(self, settings: JobSettings) -> None:
        # Ranks use other names: each attempt of an asynchronous job has its own.
        probe = JobClient(cached_client(), self.prefix + "room/")
        probe.register(settings)
        probe.delete()

    def _server_update(self, n_updates: int) -> str:
        """Return the JSON of the optimiser that the server runs; empty: it runs none."""
        if self.spec.exchange.server_update == "none":
            return ""
        algorithm = self.spec.algorithm
        assert isinstance(algorithm, GradientAveraging)  # refuse_combinations
        update = ServerUpdate(algorithm, settled(self.spec.stop.max_epochs), n_updates)
        return msgspec.json.encode(update).decode()

    def _job(self) -> JobClient:
        return JobClient(cached_client(), self.prefix)


def cached_client() -> ParameterClient:
    """Return this thread's connection; warm functions reuse it."""
    thread = threading.get_ident()
    if thread not in _clients:
        try:
            _clients[thread] = ParameterClient(
                os.environ[URL_VARIABLE], Credentials.of_environment(), _TIMEOUT_S
            )
        except ValueError as error:
            raise NotAvailableError(f"exchange.channel {PARAMETER_SERVER!r}: {error}") from error
    return _clients[thread]
