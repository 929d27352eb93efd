"""The worker processes of `benchmarks.bench_parameter_server`, one for each rank."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import numpy as np

from benchmarks.raw_exchange import RawRank
from comm import InFlight, Message, Workers
from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.addresses import Credentials
from ps_server.protocol.calls import JobSettings, Received, Target, encode_in_parts
from stepml.job.step import Step
from storage import open_channel
from tests.support.parameter_servers import open_client

WARM_UP_ROUNDS = 3
WAIT_S = 300.0  # for a worker's report, or for all at a barrier

Spell = tuple[float, float]  # when something began and ended, by a clock that all processes share
Act = Callable[[int], object]  # on a step


@dataclass(frozen=True, slots=True)
class Case:
    """Steps with vectors of one size; the contestants take turns."""

    value_bytes: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Places:
    """The addresses of the contestants."""

    floor_port: int
    token: str
    urls: dict[str, str] = field(default_factory=dict)  # of parameter servers, by transport
    with_redis: bool = True  # its address is in the environment


class Worker:
    """One rank."""

    def __init__(self, rank: int, world_size: int, places: Places, barrier: Barrier) -> None:
        self._rank, self._world_size, self._barrier = rank, world_size, barrier
        self._places = places
        credentials = Credentials(places.token)
        self._clients = {name: open_client(url, credentials) for name, url in places.urls.items()}
        self._redis = open_channel("redis") if places.with_redis else None

    def run(self, case: Case) -> dict[str, list[Spell]]:
        """Take part in a case; return this rank's part of each step, by contestant."""
        floor = RawRank(self._places.floor_port, case.value_bytes)
        # The timed part of a step, and its clean-up.
        contestants: dict[str, tuple[Act, Act]] = {
            "floor": (lambda _: floor.step(), lambda _: None)
        }
        numbers = np.random.default_rng(self._rank).normal(size=case.value_bytes // 4)
        message = Message(numbers.astype(np.float32), np.array([1.0, 2.0]))
        prefix = f"jobs/bench/{case.value_bytes}/"
        for name, client in self._clients.items():
            contestants[name] = self._on_server(client, f"{prefix}{name}/", message)
        if self._redis is not None:
            contestants["redis"] = self._on_redis(prefix, message)
        spells: dict[str, list[Spell]] = {name: [] for name in contestants}
        for number in range(1, WARM_UP_ROUNDS + case.rounds + 1):
            for name, (step, forget) in contestants.items():
                self._barrier.wait(WAIT_S)
                began = time.perf_counter()
                step(number)
                spells[name].append((began, time.perf_counter()))
                if self._rank == 0 and number > 1:
                    forget(number - 1)
        floor.close()
        self._barrier.wait(WAIT_S)
        if self._rank == 0:
            for client in self._clients.values():
                client.delete(prefix)
            if self._redis is not None:
                self._redis.clear(prefix)
        return {name: each[WARM_UP_ROUNDS:] for name, each in spells.items()}

    def _on_server(self, client: ParameterClient, job: str, message: Message) -> tuple[Act, Act]:
        size = encode_in_parts(message).size
        client.register(job, JobSettings(self._world_size, size))

        def step(number: int) -> Message:
            encoded = encode_in_parts(message)
            _, data = client.push_and_pull(
                Target(job, Step(1, number), self._rank), encoded, wait_s=30.0
            )
            if not isinstance(data, Received):
                raise data
            return data.message("the sum")

        return step, lambda number: client.forget(job, Step(1, number))

    def _on_redis(self, prefix: str, message: Message) -> tuple[Act, Act]:
        assert self._redis is not None
        exchange = InFlight(Workers(f"{prefix}redis/", self._world_size), self._rank, self._redis)

        def step(number: int) -> Message:
            return exchange.all_reduce(Step(1, number), message)

        return step, lambda number: exchange.forget([Step(1, number)])


def work(rank: int, world_size: int, places: Places, cases: Connection, barrier: Barrier) -> None:
    """Take part in all requested cases, in a process of its own."""
    worker = Worker(rank, world_size, places, barrier)
    try:
        while True:
            cases.send(worker.run(cases.recv()))
    except EOFError:  # no more cases
        return
    except Exception:
        traceback.print_exc()
        barrier.abort()  # the others must not wait for this one


class WorkerProcesses:
    """The worker processes."""

    def __init__(self, world_size: int, places: Places) -> None:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # inherited; NumPy reads it at its import
        context = multiprocessing.get_context("spawn")
        self._barrier = context.Barrier(world_size)
        self._connections: list[Connection] = []
        self._processes = []
        for rank in range(world_size):
            ours, theirs = context.Pipe()
            arguments = (rank, world_size, places, theirs, self._barrier)
            process = context.Process(target=work, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)

    def run(self, case: Case) -> dict[str, list[float]]:
        """Return the milliseconds of each step, from its first beginning to its last end."""
        for connection in self._connections:
            connection.send(case)
        reports: list[dict[str, list[Spell]]] = []
        for connection in self._connections:
            if not connection.poll(WAIT_S):
                raise TimeoutError(f"no report within {WAIT_S:g} s of {case}")
            reports.append(connection.recv())
        return {name: _durations_ms([report[name] for report in reports]) for name in reports[0]}

    def close(self) -> None:
        """End the processes."""
        for connection, process in zip(self._connections, self._processes, strict=True):
            connection.close()
            process.terminate()
            process.join(WAIT_S)


def _durations_ms(by_worker: list[list[Spell]]) -> list[float]:
    return [
        1000 * (max(stop for _, stop in spells) - min(start for start, _ in spells))
        for spells in zip(*by_worker, strict=True)
    ]
