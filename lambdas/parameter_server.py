"""The parameter server of this deployment, as its functions use it."""

from __future__ import annotations

import os
import threading
import time

import msgspec
import numpy as np

from comm import Message
from comm.wire import message_bytes
from lambdas.plans import TrainingPlan
from ps_server.client.jobs import JobClient
from ps_server.client.opening import open_client
from ps_server.client.shared_model import shared_settings
from ps_server.protocol.addresses import URL_VARIABLE, Credentials
from ps_server.protocol.calls import JobSettings, ServerUpdate
from ps_server.protocol.clients import ParameterClient
from stepml.job import keys
from stepml.job.channels import PARAMETER_SERVER
from stepml.job.errors import NotAvailableError
from stepml.ml.algorithms import (
    AsynchronousAlgorithm,
    AsynchronousGradients,
    OrchestratedAlgorithm,
    RankProgress,
    build_algorithm,
)

CHANNEL = PARAMETER_SERVER
_LOOK_S = 10.0  # for a server that may be starting
_TIMEOUT_S = 15.0  # of silence; a rank that hangs so long can still save its progress

_kept: dict[int, ParameterClient] = {}  # by thread; a function has one


def is_configured() -> bool:
    """Return whether this deployment has a parameter server."""
    return bool(os.environ.get(URL_VARIABLE))


def kept_client() -> ParameterClient:
    """Return this thread's connection, which a warm function keeps."""
    thread = threading.get_ident()
    if thread not in _kept:
        try:
            _kept[thread] = open_client(
                os.environ[URL_VARIABLE], Credentials.of_environment(), timeout_s=_TIMEOUT_S
            )
        except ValueError as error:
            raise NotAvailableError(f"exchange.channel {CHANNEL!r}: {error}") from error
    return _kept[thread]


def close_kept() -> None:
    """End all connections."""
    while _kept:
        _kept.popitem()[1].close()


def require_answer() -> None:
    """Raise what the first exchange would fail of: no answer, or a refusal of the token."""
    client = kept_client()
    JobClient(client, "").call(client.ping, time.monotonic() + _LOOK_S)


def require_room(job_id: str, plan: TrainingPlan) -> None:
    """Raise `NotEnoughServerMemoryError` if the server has no room for the job now."""
    # Not under the name that ranks use: of asynchronous jobs, each attempt has one of its own.
    probe = JobClient(kept_client(), keys.exchange_prefix(job_id, plan.run) + "room/")
    probe.register(settings_of(plan))
    probe.delete()


def settings_of(plan: TrainingPlan) -> JobSettings:
    """Return what a job is registered with."""
    spec, model = plan.spec, plan.model()
    algorithm = build_algorithm(spec)
    parameters = np.zeros(model.n_parameters, np.float32)
    if isinstance(algorithm, AsynchronousAlgorithm):
        return shared_settings(
            spec.workers,
            parameters,
            algorithm.n_totals,
            max_staleness=spec.exchange.max_staleness,
            server_update=server_update(plan),
        )
    message = Message(parameters, RankProgress(parameters).loss)
    if isinstance(algorithm, OrchestratedAlgorithm):
        rank_epoch = plan.rank_epoch(epoch=1, rank=0)
        begun = algorithm.begin(model, algorithm.initial_state(model, parameters), {}, rank_epoch)
        message = Message(*algorithm.contribution(algorithm.rank_result(begun), rank_epoch))
    compression, dtype = spec.exchange.compression, message.vector.dtype
    if compression == "float16" and dtype == np.float32:
        dtype = np.dtype(np.float16)
    size = message_bytes(message.vector.size, dtype, message.trailer.size)
    return JobSettings(spec.workers, size, compression=compression)


def server_update(plan: TrainingPlan) -> str:
    """Return what the server is told of the optimiser that it runs; nothing, if it runs none."""
    algorithm = build_algorithm(plan.spec)
    if not (isinstance(algorithm, AsynchronousGradients) and algorithm.is_on_server):
        return ""
    n_updates = algorithm.n_updates(plan.shard_rows)
    update = ServerUpdate(algorithm.spec, algorithm.max_epochs, n_updates)
    return msgspec.json.encode(update).decode()
