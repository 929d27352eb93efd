"""One rank of `benchmarks.bench_neural`: the same steps by StepML and by torch's DDP, in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from comm import InFlight, InFlightExchange, Message, Workers, chunking_of
from comm.wire import decode, encode
from ps_server.client.exchange import ServerInFlight
from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.addresses import Credentials
from stepml.job import networks
from stepml.job.algorithms import GradientAveraging as Spec
from stepml.job.models import Neural
from stepml.job.step import Step
from stepml.ml.algorithms import RankEpoch, RankProgress
from stepml.ml.algorithms.gradient_averaging import GradientAveraging
from stepml.ml.algorithms.peers import AllReduce
from stepml.ml.models import NeuralClassifier, build_model
from stepml.ml.neural.layout import ChannelScale
from storage import open_channel

WORLD_SIZE = 2
WAIT = timedelta(seconds=300)
SIDE, N_CLASSES = 28, 10
MEAN, DEVIATION = 72.9, 90.0  # of the pixels
RATE, MOMENTUM = 0.01, 0.9
REDIS = {"redis": "reduce", "redis, scattered": "reduce_scatter"}  # patterns
WARM_UP_ROUNDS, SPLIT_STEPS = 1, 5

Spell = tuple[float, float]  # when something began and ended, by a clock that all processes share
Act = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Case:
    """One network, with batches of one size."""

    name: str
    network: networks.Network
    batch_size: int  # of each rank
    steps: int  # of a contestant before the next one's turn
    rounds: int
    compression: Any = "none"

    @property
    def n_steps(self) -> int:
        """The steps of a contestant in all."""
        return (WARM_UP_ROUNDS + self.rounds) * self.steps + SPLIT_STEPS


@dataclass(frozen=True, slots=True)
class Places:
    """The addresses of the contestants."""

    meeting: str  # a file by which the processes find each other
    server_url: str
    token: str


@dataclass(slots=True)
class Split:
    """The milliseconds of a step: medians."""

    compute: float
    encode: float  # and decode the sum, with the checksums
    wait: float  # for the slower rank
    transfer: float  # the rest, in which rank 0 or the server adds


@dataclass(slots=True)
class Report:
    """One rank's report of a case."""

    n_parameters: int
    spells: dict[str, list[Spell]] = field(default_factory=dict)  # of turns, by contestant
    cpu_s: dict[str, list[float]] = field(default_factory=dict)  # of them, in this process
    splits: dict[str, Split] = field(default_factory=dict)


def race(case: Case, rank: int, places: Places) -> Report:
    """Take part in a case, in a process of its own."""
    torch.set_num_threads(1)
    meeting = f"file://{places.meeting}-{case.name}-{case.compression}"
    dist.init_process_group(
        "gloo", init_method=meeting, rank=rank, world_size=WORLD_SIZE, timeout=WAIT
    )
    try:
        return _race(case, rank, places)
    finally:
        dist.destroy_process_group()


def _race(case: Case, rank: int, places: Places) -> Report:
    model = network_of(case.network)
    X, y = images(case.n_steps * case.batch_size, rank)
    theirs = training_loop(DistributedDataParallel(deepcopy(model.bound.module)), case, X, y)
    ours = {
        name: Ours(case, rank, X, y, exchange)
        for name, exchange in _exchanges(case, rank, places, model.n_parameters).items()
    }
    report = Report(model.n_parameters)
    contestants: dict[str, Act] = {"ddp": lambda: next(theirs)}
    contestants |= {name: each.step for name, each in ours.items()}
    for name, act in [*contestants.items()] * (WARM_UP_ROUNDS + case.rounds):
        dist.barrier()
        began, cpu_began = time.perf_counter(), time.process_time()
        for _ in range(case.steps):
            act()
        report.spells.setdefault(name, []).append((began, time.perf_counter()))
        report.cpu_s.setdefault(name, []).append(time.process_time() - cpu_began)
    for measured in (*report.spells.values(), *report.cpu_s.values()):
        del measured[:WARM_UP_ROUNDS]
    report.splits = {name: each.split() for name, each in ours.items()}
    return report


def _exchanges(
    case: Case, rank: int, places: Places, n_parameters: int
) -> dict[str, InFlightExchange]:
    prefix, redis = f"jobs/bench/{case.name}-{case.compression}/", open_channel("redis")
    client = ParameterClient(places.server_url, Credentials(places.token))
    by_name: dict[str, InFlightExchange] = {
        name: InFlight(
            Workers(f"{prefix}{name}/", WORLD_SIZE),
            rank,
            redis,
            chunking=chunking_of(pattern, WORLD_SIZE, 4 * n_parameters, redis),
            compression=case.compression,
        )
        for name, pattern in REDIS.items()
    }
    workers = Workers(f"{prefix}server/", WORLD_SIZE)
    by_name["server"] = ServerInFlight(workers, rank, client, compression=case.compression)
    return by_name


class Ours:
    """The steps of gradient averaging in one epoch, as an executor takes them."""

    def __init__(self, case: Case, rank: int, X: Any, y: Any, exchange: InFlightExchange) -> None:
        self._exchange = TimedExchange(exchange, rank, case.compression)
        epoch = RankEpoch(1, rank, (len(X),) * WORLD_SIZE, seed=0)
        self._steps = steps_of(case, X, y, epoch, self._exchange)

    def step(self) -> None:
        next(self._steps)

    def split(self) -> Split:
        """Take the last steps with a barrier before each exchange, which tells waits apart."""
        exchange = self._exchange
        exchange.is_split = True
        compute: list[float] = []
        for _ in range(SPLIT_STEPS):
            dist.barrier()
            began = time.perf_counter()
            self.step()
            compute.append(time.perf_counter() - began - exchange.waits[-1] - exchange.takes[-1])
        encode_ms = _median_ms(exchange.encodes)
        return Split(
            _median_ms(compute),
            encode_ms,
            _median_ms(exchange.waits),
            _median_ms(exchange.takes) - encode_ms,
        )


@dataclass(slots=True)
class TimedExchange:
    """The exchange of an epoch, with clocks."""

    inner: InFlightExchange
    rank: int
    compression: Any
    is_split: bool = False
    encodes: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    takes: list[float] = field(default_factory=list)

    def all_reduce(self, batch: int, vector: Any, trailer: Any, pause: bool) -> Message:
        message = Message(vector, trailer, pause)
        if not self.is_split:
            return self._reduced(batch, message)
        began = time.perf_counter()
        dist.barrier()
        met = time.perf_counter()
        aggregate = self._reduced(batch, message)
        done = time.perf_counter()
        self.waits.append(met - began)
        self.takes.append(done - met)
        dist.barrier()
        encoding = time.perf_counter()
        decode(encode(message, self.compression), "the sum")
        self.encodes.append(time.perf_counter() - encoding)
        # Nothing of this belongs to the step.
        self.waits[-1] += time.perf_counter() - done
        return aggregate

    def replay(self, batch: int) -> Message | None:
        return None

    def _reduced(self, batch: int, message: Message) -> Message:
        aggregate = self.inner.all_reduce(Step(1, batch), message, into=message.vector)
        if self.rank == 0 and batch > 1:
            self.inner.forget([Step(1, batch - 1)])
        return aggregate


def steps_of(
    case: Case, X: Any, y: Any, epoch: RankEpoch, exchange: AllReduce
) -> Iterator[RankProgress]:
    """Return the steps of an epoch."""
    spec = Spec(
        batch_size=case.batch_size,
        learning_rate=RATE,
        optimiser="sgd",
        momentum=MOMENTUM,
        schedule="constant",
    )
    algorithm, model = GradientAveraging(spec, max_epochs=1), network_of(case.network)
    state = algorithm.initial_state(model, model.initial_parameters(), lambda: (X, y))
    start = RankProgress(state.parameters, extras=state.extras)
    return algorithm.steps(model, start, X, y, epoch, exchange)


def training_loop(module: torch.nn.Module, case: Case, X: Any, y: Any) -> Iterator[None]:
    """Take the steps of a plain training loop on the same rows."""
    module.train()
    optimiser = torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM)
    for start in range(0, len(X), case.batch_size):
        rows = slice(start, start + case.batch_size)
        x = torch.from_numpy(X[rows]).float().reshape(-1, 1, SIDE, SIDE)
        x.sub_(MEAN).mul_(1 / DEVIATION)
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(x), torch.from_numpy(y[rows]).long())
        loss.backward()
        optimiser.step()
        yield


class Alone:
    """The exchange of a rank without peers, over no channel but with the same messages."""

    def all_reduce(self, batch: int, vector: Any, trailer: Any, pause: bool) -> Message:
        return decode(encode(Message(vector, trailer, pause)), "the sum")

    def replay(self, batch: int) -> Message | None:
        return None


def lone_steps(case: Case, X: Any, y: Any) -> None:
    """Take the steps of an epoch without peers."""
    epoch = RankEpoch(1, 0, (len(X),), seed=0)
    for _ in steps_of(case, X, y, epoch, Alone()):
        pass


def network_of(network: networks.Network) -> NeuralClassifier:
    """Return a model of images, as a job's plan makes it."""
    model = build_model(
        Neural(network=network, input_shape=(SIDE, SIDE)),
        SIDE * SIDE,
        tuple(float(label) for label in range(N_CLASSES)),
        channels=ChannelScale((MEAN,), (DEVIATION,)),
    )
    assert isinstance(model, NeuralClassifier)
    return model


def images(n_rows: int, seed: int) -> tuple[Any, Any]:
    """Return random images, as shards have them, and their classes."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (n_rows, SIDE * SIDE), dtype=np.uint8)
    return X, rng.integers(0, N_CLASSES, n_rows).astype(np.int32)


def _median_ms(seconds: Sequence[float]) -> float:
    return 1000 * statistics.median(seconds)
