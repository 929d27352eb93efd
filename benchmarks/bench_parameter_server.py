"""Measure a synchronous step with a parameter server, over Thrift and gRPC, and over Redis.

Four worker processes push a vector and pull the sum, like functions in gradient averaging; the sum
is checked and added in rank order. A step is timed from the first worker's call to the last one's
return. The contestants take turns, so a slow machine slows all of them. The floor
(`benchmarks.raw_exchange`) sends the same bytes through raw sockets and does nothing else.

The last line is one worker that pushes a model of 75 MB and pulls it back, compared with the same
model as Thrift's ``list<double>`` (`benchmarks.list_of_doubles`).

    python benchmarks/bench_parameter_server.py [--sizes 1KB,12MB] [--targets] [--json FILE]

Figures are medians in ms, with the smallest in brackets, and as multiples of the floor. Run it on
an idle machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import list_of_doubles
from benchmarks.choices import some_of
from benchmarks.ending import ended
from benchmarks.exchange_figures import short
from benchmarks.parameter_server_workers import Case, Places, WorkerProcesses
from benchmarks.raw_exchange import RawServer
from comm import Message
from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.addresses import Credentials
from ps_server.protocol.calls import JobSettings, Target, encode_in_parts
from stepml.job.channels import CHANNELS
from stepml.job.step import Step
from tests.support.parameter_servers import parameter_server
from tests.support.servers import redis_server

WORLD_SIZE = 4
CONTESTANTS = ("thrift", "grpc", "redis")
SIZES = {"1KB": 2**10, "1MB": 2**20, "12MB": 12 * 2**20, "100MB": 100 * 2**20}
ROUNDS = {"1KB": 300, "1MB": 60, "12MB": 15, "100MB": 5}
MODEL_BYTES = 75 * 2**20
MODEL_ROUNDS = 5
LIST_ROUNDS = 1
WAIT_S = 300.0
MEMORY_MB = 4096  # of the server


@dataclass(frozen=True, slots=True)
class Steps:
    """The figures of one contestant's steps with vectors of one size."""

    contestant: str
    size: str
    ms: list[float]
    floor_ms: float
    redis_ms: float | None

    @property
    def median_ms(self) -> float:
        return statistics.median(self.ms)

    @property
    def misses(self) -> list[str]:
        """Return a message for each missed target."""
        if self.contestant != "thrift":
            return []
        limits = {"1KB": [(1.0, "1 ms")], "12MB": [(1.5 * self.floor_ms, "1.5 × the floor")]}
        if self.redis_ms is not None:
            limits["12MB"].append((self.redis_ms, "Redis"))
        return [
            f"{self.size} over Thrift: {self.median_ms:.3g} ms, target ≤ {name} ({most:.3g} ms)"
            for most, name in limits.get(self.size, ())
            if self.median_ms > most
        ]


@dataclass(frozen=True, slots=True)
class Model:
    """A model of 75 MB, pushed and pulled by one worker."""

    ms: list[float]
    list_ms: list[float]

    @property
    def factor(self) -> float:
        return statistics.median(self.list_ms) / statistics.median(self.ms)

    @property
    def misses(self) -> list[str]:
        """Return a message for each missed target."""
        miss = f"75 MB: {self.factor:.1f} × faster than list<double>, target ≥ 20"
        return [miss] if self.factor < 20 else []


@contextmanager
def services(options: argparse.Namespace) -> Iterator[Places]:
    """Run the services of all contestants."""
    transports = [name for name in ("thrift", "grpc") if name in options.contestants]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        floor = context.Process(target=serve_floor, args=(theirs,), daemon=True)
        floor.start()
        stack.callback(floor.terminate)
        server = stack.enter_context(
            parameter_server(directory, transports=transports, memory_mb=MEMORY_MB)
        )
        if "redis" in options.contestants:
            redis = stack.enter_context(redis_server(directory))
            os.environ[CHANNELS["redis"].variable] = redis.url
        urls = {name: server.url(name) for name in transports}
        urls.setdefault("thrift", server.url("thrift"))
        yield Places(received(ours), server.token, urls, "redis" in options.contestants)


def serve_floor(ports: Connection) -> None:
    """Run the floor's server, in a process of its own."""
    server = RawServer()
    ports.send(server.port)
    server.serve()


def received(connection: Connection) -> int:
    """Return the port that a process reports."""
    if not connection.poll(WAIT_S):
        raise TimeoutError("a process of the benchmark does not start")
    return int(connection.recv())


def measure_steps(places: Places, options: argparse.Namespace) -> Iterator[Steps]:
    """Yield the figures of steps, and print them as they come."""
    workers = WorkerProcesses(WORLD_SIZE, places)
    print(f"{'floor':>20}" + "".join(f"{name:>20}" for name in options.contestants))
    for size in options.sizes:
        by_contestant = workers.run(Case(SIZES[size], options.rounds or ROUNDS[size]))
        floor_ms = statistics.median(by_contestant["floor"])
        redis = by_contestant.get("redis")
        redis_ms = statistics.median(redis) if redis else None
        figures = [
            Steps(name, size, by_contestant[name], floor_ms, redis_ms)
            for name in options.contestants
        ]
        floor = f"{short(floor_ms)} ({short(min(by_contestant['floor']))})"
        cells = [
            f"{short(each.median_ms)} ({short(min(each.ms))}) {each.median_ms / floor_ms:.3g}×"
            for each in figures
        ]
        print(f"{size:6}{floor:>14}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
        yield from figures
    workers.close()


def measure_model(places: Places, list_rounds: int) -> Model:
    """Return the figures of a large model, and print them."""
    vector = np.random.default_rng(0).normal(size=MODEL_BYTES // 4).astype(np.float32)
    ours, job = [], "jobs/bench/model/"
    with ParameterClient(places.urls["thrift"], Credentials(places.token)) as client:
        message = Message(vector, np.zeros(0))
        client.register(job, JobSettings(1, encode_in_parts(message).size))
        for number in range(1, MODEL_ROUNDS + 2):
            began = time.perf_counter()
            client.push(Target(job, Step(1, number), 0), encode_in_parts(message))
            pulled = client.pull(Target(job, Step(1, number), 0)).message("the model").vector
            ours.append(1000 * (time.perf_counter() - began))
            if not np.array_equal(pulled, vector):
                raise ValueError("the server returned other numbers")
            client.forget(job, Step(1, number))
        client.delete(job)
    context = multiprocessing.get_context("spawn")
    connection, theirs = context.Pipe()
    process = context.Process(target=list_of_doubles.serve, args=(theirs,), daemon=True)
    process.start()
    port = received(connection)
    theirs_s = list_of_doubles.push_and_pull_s(port, vector, list_rounds)
    process.join(WAIT_S)
    model = Model(ours[1:], [1000 * seconds for seconds in theirs_s])
    print(
        f"\n75 MB, pushed and pulled by one worker: {short(statistics.median(model.ms))} ms; as "
        f"list<double>:\n{short(statistics.median(model.list_ms))} ms, {model.factor:.0f} × as long"
    )
    return model


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    for name, choices in (("contestants", CONTESTANTS), ("sizes", tuple(SIZES))):
        text = f"some of {','.join(choices)}"
        parser.add_argument(f"--{name}", type=some_of(choices), default=[*choices], help=text)
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each size")
    parser.add_argument("--no-model", action="store_true", help="skip the model of 75 MB")
    parser.add_argument("--targets", action="store_true", help="fail if a target is missed")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure, print tables, write JSON."""
    options = options_of()
    figures: list[Steps | Model] = []
    with services(options) as places:
        figures += measure_steps(places, options)
        if not options.no_model:
            figures.append(measure_model(places, LIST_ROUNDS))
    return ended(options, figures)


if __name__ == "__main__":
    sys.exit(main())
