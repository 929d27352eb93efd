"""The worker processes of `benchmarks.bench_exchange`."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import numpy as np

from benchmarks.floor import BLOCK_BYTES, MOST_BYTES, Floor
from comm import InFlight, Message, Workers, chunking_of
from comm.chunking import Chunking
from comm.shared_model import SharedModel
from stepml.job.step import Step
from storage import Storage, open_channel
from storage.metered import MeteredStorage
from storage.wrapper import Wrapper

WARM_UP_ROUNDS = 3
COUNTED_ROUNDS = 3
ASYNC_S = 1.0
COMPUTE_S = 0.02  # between a worker's changes of the shared model
WAIT_S = 300.0  # for a worker's report, or for all at a barrier

Spell = tuple[float, float]  # when something began and ended, by a clock that all processes share


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement."""

    channel: str
    pattern: str
    value_bytes: int
    world_size: int
    rounds: int

    @property
    def prefix(self) -> str:
        """Return the prefix of all keys of the case."""
        return f"jobs/bench/{self.pattern}-{self.value_bytes}-{self.world_size}/"

    def chunking(self, channel: Storage) -> Chunking:
        """Return how the vector is cut."""
        return chunking_of(self.pattern, self.world_size, self.value_bytes, channel)


@dataclass(slots=True)
class Report:
    """One worker's report of a case."""

    spells: list[Spell] = field(default_factory=list)  # steps, or changes of the shared model
    floors: dict[int, list[Spell]] = field(default_factory=dict)  # by the size of blocks
    requests: float = 0.0  # a step
    value_bytes: float = 0.0  # a step, sent and received
    tries: int = 0  # of all its changes
    staleness: float = 0.0  # mean of all workers' changes


class Worker:
    """One rank. Like a warm function, it reuses its connections for all cases."""

    def __init__(self, rank: int, barriers: Mapping[int, Barrier]) -> None:
        self._rank = rank
        self._barriers = barriers
        self._channels: dict[str, Storage] = {}

    def run(self, case: Case) -> Report:
        """Take part in a case."""
        if case.channel not in self._channels:
            self._channels[case.channel] = open_channel(case.channel)
        channel = self._channels[case.channel]
        if case.pattern == "async":
            report = self._change(case, channel)
        else:
            report = self._time(case, channel)
            self._count(case, channel, report)
        self._meet(case)
        if self._rank == 0:
            channel.clear(case.prefix)
        return report

    def _time(self, case: Case, channel: Storage) -> Report:
        """Time steps, each after its floors."""
        exchange, message = self._exchange(case, "timed", channel), self._message(case)
        floors, report = self._floors(case, channel), Report()
        report.floors = {block_bytes: [] for block_bytes in floors}
        for number in range(1, WARM_UP_ROUNDS + case.rounds + 1):
            for block_bytes, floor in floors.items():
                report.floors[block_bytes].append(self._timed(case, floor.run))
            step = Step(1, number)
            spell = self._timed(case, lambda step=step: exchange.all_reduce(step, message))
            report.spells.append(spell)
            if self._rank == 0 and number > 1:
                exchange.forget([Step(1, number - 1)])
        exchange.close()
        for spells in (report.spells, *report.floors.values()):
            del spells[:WARM_UP_ROUNDS]
        return report

    def _count(self, case: Case, channel: Storage, report: Report) -> None:
        """Count requests and bytes, in separate rounds so that counting takes no measured time."""
        metered, meter = with_meter(channel)
        exchange, message = self._exchange(case, "counted", metered), self._message(case)
        for number in range(1, WARM_UP_ROUNDS + COUNTED_ROUNDS + 1):
            self._meet(case)
            if number == WARM_UP_ROUNDS + 1:
                exchange.close()  # deletes the remaining keys of the rounds before
                before = counted(meter)
            exchange.all_reduce(Step(1, number), message)
            if self._rank == 0 and number > 1:
                exchange.forget([Step(1, number - 1)])
        exchange.close()
        requests, value_bytes = counted(meter)
        report.requests = (requests - before[0]) / COUNTED_ROUNDS
        report.value_bytes = (value_bytes - before[1]) / COUNTED_ROUNDS

    def _change(self, case: Case, channel: Storage) -> Report:
        """Change a shared model as often as time allows."""
        model = SharedModel(Workers(case.prefix, case.world_size), 1, self._rank, channel)
        change = self._message(case).vector
        if self._rank == 0:
            model.create(change)
        self._meet(case)
        report, state = Report(), model.pull()
        end = time.perf_counter() + ASYNC_S
        while time.perf_counter() < end:
            time.sleep(COMPUTE_S)
            sequence = len(report.spells) + 1
            began = time.perf_counter()
            state = model.push(sequence, state, lambda vector: np.add(vector, change, out=vector))
            report.spells.append((began, time.perf_counter()))
        report.tries = model.tries
        self._meet(case)
        state = model.pull()
        report.staleness = state.staleness_sum / state.version
        return report

    def _timed(self, case: Case, call: Callable[[], object]) -> Spell:
        self._meet(case)
        began = time.perf_counter()
        call()
        return began, time.perf_counter()

    def _meet(self, case: Case) -> None:
        self._barriers[case.world_size].wait(WAIT_S)

    def _exchange(self, case: Case, name: str, channel: Storage) -> InFlight:
        workers = Workers(f"{case.prefix}{name}/", case.world_size)
        return InFlight(workers, self._rank, channel, chunking=case.chunking(channel))

    def _message(self, case: Case) -> Message:
        numbers = np.random.default_rng(self._rank).normal(size=case.value_bytes // 4)
        return Message(numbers.astype(np.float32), np.array([1.0, 2.0]))

    def _floors(self, case: Case, channel: Storage) -> dict[int, Floor]:
        """Return floors with blocks of each size that makes a difference."""
        if case.channel not in MOST_BYTES:
            return {}
        chunks = case.chunking(channel).n_mergers
        most_bytes = min(-(-case.value_bytes // chunks), MOST_BYTES[case.channel])
        sizes = {min(block_bytes, most_bytes) for block_bytes in BLOCK_BYTES}
        floors = {size: self._floor(case, chunks, size) for size in sorted(sizes)}
        self._meet(case)  # everything is preloaded
        return floors

    def _floor(self, case: Case, chunks: int, block_bytes: int) -> Floor:
        port = int(os.environ[f"STEPML_{case.channel.upper()}_URL"].rpartition(":")[2])
        prefix = f"{case.prefix}floor-{block_bytes}/"
        floor = Floor(case.channel, port, prefix, self._rank, case.world_size)
        floor.preload(case.value_bytes, chunks, block_bytes)
        return floor


def with_meter(channel: Storage) -> tuple[Storage, MeteredStorage]:
    """Return a channel with a meter below all its wrappers, and the meter."""
    if not isinstance(channel, Wrapper):
        meter = MeteredStorage(channel)
        return meter, meter
    inner, meter = with_meter(channel.inner)
    return type(channel)(inner), meter


def counted(meter: MeteredStorage) -> tuple[int, int]:
    """Return requests and bytes so far."""
    return meter.requests.total(), meter.sent_bytes + meter.received_bytes


def work(rank: int, cases: Connection, barriers: Mapping[int, Barrier]) -> None:
    """Take part in all requested cases, in a process of its own."""
    worker = Worker(rank, barriers)
    try:
        while True:
            cases.send(worker.run(cases.recv()))
    except EOFError:  # no more cases
        return
    except Exception:
        traceback.print_exc()
        for barrier in barriers.values():  # the others must not wait for this one
            barrier.abort()


class WorkerProcesses:
    """The worker processes of one channel; their environment has its address."""

    def __init__(self, world_sizes: Sequence[int]) -> None:
        context = multiprocessing.get_context("spawn")
        # Referenced here: a barrier ends with its last owner, and processes take a while to start.
        self._barriers = barriers = {size: context.Barrier(size) for size in world_sizes}
        self._connections: list[Connection] = []
        self._processes = []
        for rank in range(max(world_sizes)):
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(rank, theirs, barriers), daemon=True)
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)

    def run(self, case: Case) -> list[Report]:
        """Return the workers' reports by rank."""
        connections = self._connections[: case.world_size]
        for connection in connections:
            connection.send(case)
        return [_received(connection, case) for connection in connections]

    def close(self) -> None:
        """End the processes."""
        for connection, process in zip(self._connections, self._processes, strict=True):
            connection.close()
            process.terminate()
            process.join(WAIT_S)


def _received(connection: Connection, case: Case) -> Report:
    if not connection.poll(WAIT_S):
        raise TimeoutError(f"no report within {WAIT_S:g} s of {case}")
    try:
        report: Report = connection.recv()
    except (EOFError, ConnectionError):
        raise RuntimeError(f"a worker failed at {case}") from None
    return report
