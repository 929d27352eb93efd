"""Measure the training of neural networks beside torch's DistributedDataParallel.

Two ranks, each a process with one thread, train the same network on the same batches of images
(28 × 28, one channel), in turn with DDP on gloo, over Redis (patterns reduce and reduce_scatter),
and over a parameter server. Nothing of Step Functions is between. A turn is timed from the first
rank's begin to the last one's end. Ratios to DDP are medians over rounds: neighbouring turns share
the load of the machine.

The split of a step is measured in extra steps, with a barrier before each exchange.

A cold start is the processor time of the imports of a function with torch, each in a process of its
own, beside that of `import torch`. Memory is the peak of a process that takes one step alone,
beside one that takes it with torch's own optimiser; then that of each function in jobs that train
ResNet-50 over every channel.

    python benchmarks/bench_neural.py [--cases mlp,resnet18] [--targets] [--json PATH]

Run it on an idle machine.
"""

from __future__ import annotations

import os

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # read at imports

import argparse
import multiprocessing
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.choices import some_of
from benchmarks.ending import ended
from benchmarks.exchange_figures import durations_ms, short
from benchmarks.neural_memory import JobPeaks, job_peaks
from benchmarks.neural_processes import ColdStart, Peaks, cold_start, peaks
from benchmarks.neural_race import WORLD_SIZE, Case, Places, Report, Split, race
from stepml.job import networks
from stepml.job.channels import CHANNELS
from tests.support.parameter_servers import parameter_server
from tests.support.servers import redis_server

CASES = (
    Case("mlp", networks.Mlp(), batch_size=1024, steps=8, rounds=10),
    Case("mobilenet", networks.Mobilenet(width=0.25), batch_size=128, steps=2, rounds=8),
    Case("resnet18", networks.Resnet18(), batch_size=32, steps=1, rounds=8),
)
IN_MEMORY = {"resnet18": networks.Resnet18(), "resnet50": networks.Resnet50()}
LEAST_RATIO = 0.85
SERVER_MB = 2048


@dataclass(frozen=True, slots=True)
class Speed:
    """The figures of one contestant with one network."""

    case: str
    batch_size: int
    n_parameters: int
    contestant: str
    images_s: float
    ratio: float  # to DDP
    cpu_ms: float  # of a step, in both ranks' processes
    split: Split | None

    @property
    def misses(self) -> list[str]:
        """Return a message for each missed target."""
        if self.ratio >= LEAST_RATIO:
            return []
        return [f"{self.case}, {self.contestant}: {self.ratio:.2f} × DDP, target ≥ {LEAST_RATIO}"]

    @staticmethod
    def heading() -> str:
        """Return the names of the columns."""
        return (
            f"{'':10} {'batch':>5} {'':16} {'images/s':>8} {'× DDP':>6} {'CPU ms':>6}   "
            "ms: compute encode wait transfer"
        )

    def row(self) -> str:
        """Return the figures as a line of the table."""
        row = (
            f"{self.case:10} {self.batch_size:5} {self.contestant:16} {self.images_s:8.0f} "
            f"{self.ratio:6.2f} {self.cpu_ms:6.0f}"
        )
        if self.split is None:
            return row
        return f"{row}   {' '.join(f'{short(each):>7}' for each in asdict(self.split).values())}"


def speeds(case: Case, reports: Sequence[Report]) -> Iterator[Speed]:
    """Join the ranks' reports."""
    turns = {
        name: durations_ms([report.spells[name] for report in reports])
        for name in reports[0].spells
    }
    n_images = WORLD_SIZE * case.batch_size * case.steps
    for name, ms in turns.items():
        yield Speed(
            case.name,
            case.batch_size,
            reports[0].n_parameters,
            name,
            1000 * n_images / statistics.median(ms),
            statistics.median(ddp / own for ddp, own in zip(turns["ddp"], ms, strict=True)),
            1000 / case.steps * sum(statistics.median(report.cpu_s[name]) for report in reports),
            reports[0].splits.get(name),
        )


@contextmanager
def services() -> Iterator[Places]:
    """Run the services of all contestants."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        redis = stack.enter_context(redis_server(directory))
        os.environ[CHANNELS["redis"].variable] = redis.url  # the ranks inherit it
        server = stack.enter_context(parameter_server(directory, memory_mb=SERVER_MB))
        yield Places(str(directory / "meeting"), server.url("thrift"), server.token)


def measure(options: argparse.Namespace) -> Iterator[Speed]:
    """Yield the figures of each case, and print them as they come."""
    print(Speed.heading())
    context = multiprocessing.get_context("spawn")
    with services() as places, ProcessPoolExecutor(WORLD_SIZE, mp_context=context) as ranks:
        for usual in CASES:
            if usual.name not in options.cases:
                continue
            case = replace(usual, rounds=options.rounds or usual.rounds)
            reports = list(ranks.map(race, repeat(case), range(WORLD_SIZE), repeat(places)))
            for figures in speeds(case, reports):
                print(figures.row(), flush=True)
                yield figures


def measure_processes() -> Iterator[ColdStart | Peaks | JobPeaks]:
    """Yield the figures of whole processes, and print them as they come."""
    start = cold_start()
    print(f"\n{start.row()}\n\n{Peaks.heading()}", flush=True)
    yield start
    for name in IN_MEMORY:
        figures = peaks(name)
        print(figures.row(), flush=True)
        yield figures
    print(f"\n{JobPeaks.heading()}", flush=True)
    for each in job_peaks():
        print(each.row(), flush=True)
        yield each


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    names = [case.name for case in CASES]
    text = f"some of {','.join(names)}"
    parser.add_argument("--cases", type=some_of(names), default=names, help=text)
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each case")
    parser.add_argument("--no-processes", action="store_true", help="skip cold start and memory")
    parser.add_argument("--targets", action="store_true", help="fail if a target is missed")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure, print tables, write JSON."""
    options = options_of()
    figures: list[Speed | ColdStart | Peaks | JobPeaks] = [*measure(options)]
    if not options.no_processes:
        figures += measure_processes()
    return ended(options, figures)


if __name__ == "__main__":
    sys.exit(main())
