"""Jobs over a parameter server, in the order of the state machines: refused, killed, ended."""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import pytest

from comm import Message
from lambdas.channels.server import cached_client
from ps_server.client import jobs as job_client
from ps_server.client.exchange import ServerInFlight
from ps_server.protocol.addresses import TOKEN_VARIABLE, URL_VARIABLE
from ps_server.protocol.calls import JobSettings, Target, encode_in_parts
from stepml.job.errors import (
    DamagedValueError,
    ExecutorPausedError,
    MissingContributionError,
    NotAvailableError,
    PeerFailedError,
    ReplayLostError,
    ReplicasDivergedError,
    SharedModelLostError,
    StorageDeniedError,
    StorageUnavailableError,
)
from stepml.job.step import Step
from tests.support.jobs import Job, contents
from tests.support.parameter_servers import ParameterServerProcess
from tests.unit.lambdas.test_asynchronous import applied
from tests.unit.lambdas.test_replicas import KilledError, batches, plenty, run
from tests.unit.lambdas.test_stopping import clean_up, ended, settle

SERVER = {"channel": "parameter_server"}
SHARED = SERVER | {"pattern": "async"}
GRADIENTS = {"name": "gradient_averaging", "batch_size": 16}  # 4 batches of each of 3 ranks
N_BATCHES = 4


def job_of(algorithm: str = "gradient_averaging", exchange: Any = SERVER, **spec: Any) -> Job:
    batch = {} if algorithm == "admm" else {"batch_size": 16}
    job = Job(algorithm={"name": algorithm} | batch, exchange=exchange, **spec)
    job.initialised()
    return job


def undisturbed(algorithm: str = "gradient_averaging", epochs: int = 1) -> Job:
    job = Job("whole", algorithm=job_of(algorithm, {}).spec["algorithm"])
    job.initialised()
    for epoch in range(1, epochs + 1):
        job.epoch(epoch)
    return job


def held(server: ParameterServerProcess) -> int:
    """Return the number of steps that the server holds for all jobs."""
    with server.client() as client:
        return sum(each.steps for each in client.statistics().jobs)


def n_jobs(server: ParameterServerProcess) -> int:
    with server.client() as client:
        return len(client.statistics().jobs)


def kill_once(monkeypatch: pytest.MonkeyPatch, rank: int, batch: int) -> None:
    """End a rank's function before it contributes to a batch."""
    all_reduce, killed = ServerInFlight.all_reduce, []

    def killing(self: ServerInFlight, step: Step, message: Message, into: Any = None) -> Message:
        if (self.rank, step.batch) == (rank, batch) and not killed:
            killed.append(rank)
            raise KilledError
        return all_reduce(self, step, message, into)

    monkeypatch.setattr(ServerInFlight, "all_reduce", killing)


def test_a_deployment_without_a_server_says_so_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    job = Job(exchange=SERVER)
    with pytest.raises(NotAvailableError, match="this deployment has no parameter server"):
        job.prepare()
    assert contents(job.storage) == {}


@pytest.mark.parametrize("url", ["tcp://[::1]:1", "grpc://127.0.0.1:7071", "thrift://192.0.2.1:1"])
def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(URL_VARIABLE, url)
    job = Job(exchange=SERVER)
    with pytest.raises(NotAvailableError) as refused:
        job.prepare()
    told = f"exchange.channel 'parameter_server': {URL_VARIABLE}: expected thrifts://host:port"
    assert str(refused.value).startswith(told)
    assert repr(url) in str(refused.value)
    assert contents(job.storage) == {}


def test_a_server_that_does_not_answer_is_found_before_anything_is_written(
    server: ParameterServerProcess,
) -> None:
    server.kill()
    job = Job(exchange=SERVER)
    job.channels = dataclasses.replace(job.channels, server_start_s=0.2)
    with pytest.raises(StorageUnavailableError, match="the parameter server does not answer"):
        job.prepare()
    assert contents(job.storage) == {}


def test_a_wrong_token_is_found_before_anything_is_written(
    server: ParameterServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "another token, as long as one")
    job = Job(exchange=SERVER)
    with pytest.raises(StorageDeniedError, match="the parameter server refuses the token"):
        job.prepare()
    assert contents(job.storage) == {}


@pytest.mark.parametrize("rank", [0, 2])
def test_near_one_ranks_deadline_all_stop_and_go_on_together(
    server: ParameterServerProcess, rank: int
) -> None:
    job = job_of()
    clocks = [plenty] * 3
    clocks[rank] = batches(900, 900, 900, 10)
    assert run(job, clocks) == [None] * 3
    job.epoch(1)
    job.epoch(2)
    assert job.state_bits(2) == undisturbed(epochs=2).state_bits(2)
    assert held(server) == 0


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("batch", [1, 3, N_BATCHES])
def test_a_rank_that_is_killed_and_called_again_changes_no_bit(
    server: ParameterServerProcess, monkeypatch: pytest.MonkeyPatch, rank: int, batch: int
) -> None:
    job = job_of()
    kill_once(monkeypatch, rank, batch)
    with ThreadPoolExecutor(3) as threads:
        others = [other for other in range(3) if other != rank]
        waiting = [threads.submit(job.execute, 1, other) for other in others]
        with pytest.raises(KilledError):
            job.execute(1, rank)
        again = threads.submit(job.execute, 1, rank)
        results = [each.result() for each in (*waiting, again)]
    job.reduce(1, results)
    assert job.state_bits(1) == undisturbed().state_bits(1)
    assert held(server) == 0


def test_a_rank_that_is_killed_with_the_server_begins_again_with_its_peers(
    server: ParameterServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of()
    kill_once(monkeypatch, rank=2, batch=3)
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(job.execute, 1, rank) for rank in (0, 1)]
        with pytest.raises(KilledError):
            job.execute(1, 2)
        with server.client() as client:
            while client.exists(job.exchanged(), Step(1, 3)).ranks != (0, 1):
                time.sleep(0.01)
        server.kill()
        server.start()
        with pytest.raises(ReplayLostError, match="rank 2 waits for epoch 1, batch 1"):
            job.execute(1, 2)
        for each in waiting:
            with pytest.raises(PeerFailedError, match="rank 2 failed: ReplayLostError"):
                each.result()
    job.retries = 1
    job.epoch(1)
    assert job.state_bits(1) == undisturbed().state_bits(1)


@pytest.mark.parametrize("algorithm", ["model_averaging", "admm"])
def test_contributions_that_a_killed_server_lost_are_missing_and_made_again(
    server: ParameterServerProcess, algorithm: str
) -> None:
    job = job_of(algorithm)
    job.execute(1, 0)
    job.execute(1, 1)
    server.kill()
    server.start()
    job.execute(1, 2)
    with pytest.raises(MissingContributionError, match="to epoch 1 from rank 0, 1"):
        job.reduce(1)
    job.retries = 1
    job.epoch(1)
    assert job.state_bits(1) == undisturbed(algorithm).state_bits(1)


@pytest.mark.parametrize("algorithm", ["admm", "gradient_averaging"])
@pytest.mark.parametrize("n_numbers", [1, 1000])
def test_a_job_that_another_version_registered_begins_again(
    server: ParameterServerProcess, algorithm: str, n_numbers: int
) -> None:
    """Ranks of another version have contributed more or fewer numbers."""
    expected = undisturbed(algorithm).state_bits(1)
    job = job_of(algorithm)
    other = encode_in_parts(Message(np.zeros(n_numbers, np.float32), np.zeros(2)))
    with server.client() as client:
        client.register(job.exchanged(), JobSettings(3, other.size))
        client.push(Target(job.exchanged(), Step(1), 0), other)
    with pytest.raises(DamagedValueError, match=r"refuses: job .* is registered with"):
        job.execute(1, 1)
    job.retries += 1
    job.epoch(1)
    assert job.state_bits(1) == expected


def test_replicas_that_differ_clear_the_epoch(server: ParameterServerProcess) -> None:
    job = job_of()
    results = job.execute_all(1)
    results[1] = msgspec.structs.replace(results[1], digest="0" * 32)
    assert held(server)
    with pytest.raises(ReplicasDivergedError):
        job.reduce(1, results)
    assert held(server) == 0
    job.epoch(1)
    assert job.state_bits(1) == undisturbed().state_bits(1)


@pytest.mark.parametrize("status", ["FAILED", "ABORTED"])
@pytest.mark.parametrize("algorithm", ["gradient_averaging", "model_averaging", "admm"])
def test_behind_a_job_the_server_is_cleared_but_for_what_a_redrive_can_use(
    server: ParameterServerProcess, algorithm: str, status: str
) -> None:
    job = job_of(algorithm)
    job.epoch(1)
    job.execute_all(2)
    clean_up(ended(status), job.storage, "bucket", settle)
    keeps = status != "ABORTED" and algorithm != "gradient_averaging"
    assert job.store.end_report.load().contributions == keeps
    assert (n_jobs(server), held(server)) == ((1, 1) if keeps else (0, 0))
    job.redrives = 1
    job.reduce(2, job.execute_all(2))
    assert job.state_bits(2) == undisturbed(algorithm, 2).state_bits(2)
    job.finalise(2)
    assert n_jobs(server) == 0


def test_a_job_ends_with_its_model_when_the_server_is_gone(
    server: ParameterServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_client, "PATIENCE_S", 0.2)
    job = job_of("model_averaging")
    job.epoch(1)
    server.kill()
    assert job.finalise(1).epochs == 1


def test_updates_that_a_restart_lost_are_told_and_not_missed(
    snapshotting_server: ParameterServerProcess,
) -> None:
    job = job_of(exchange=SHARED)
    job.execute(1, 0)
    job.execute(1, 1)
    with pytest.raises(ExecutorPausedError):
        job.execute(1, 2, batches(900, 900, 10))
    made = applied(job)
    assert made[:2] == [N_BATCHES] * 2
    assert 0 < made[2] < N_BATCHES
    snapshotting_server.stop()
    snapshotting_server.start()
    job.execute(1, 2)
    snapshotting_server.kill()
    snapshotting_server.start()
    report = job.reduce(1)
    assert report.lost_updates == N_BATCHES - made[2]
    assert n_jobs(snapshotting_server) == 0
    assert job.epoch(2).lost_updates is None


def test_an_asynchronous_epoch_that_is_lost_begins_again(
    server: ParameterServerProcess,
) -> None:
    job = job_of(exchange=SHARED)
    job.execute(1, 0)
    server.kill()
    server.start()
    with pytest.raises(SharedModelLostError):
        job.reduce(1)
    job.retries = 1
    assert job.epoch(1).lost_updates is None


def test_an_attempt_that_failed_gives_its_memory_to_the_next_one(
    server: ParameterServerProcess,
) -> None:
    job = job_of(exchange=SHARED)
    job.execute(1, 0)
    plan = job.partition_plan()
    given = {"job_id": "job", "run": plan.run, "epoch": 1}
    child = {"name": "job-e1-r0-t0", "input": msgspec.json.encode(given).decode()}
    clean_up(ended(**child), job.storage, "bucket", settle)
    assert n_jobs(server) == 0
    job.retries = 1
    job.epoch(1)


def test_a_stopped_asynchronous_job_leaves_nothing(server: ParameterServerProcess) -> None:
    job = job_of(exchange=SHARED)
    job.execute_all(1)
    clean_up(ended("ABORTED"), job.storage, "bucket", settle)
    assert n_jobs(server) == 0


def test_warm_functions_keep_their_connection(server: ParameterServerProcess) -> None:
    job = job_of("model_averaging")
    job.epoch(1)
    before = cached_client()
    job.epoch(2)
    assert cached_client() is before
