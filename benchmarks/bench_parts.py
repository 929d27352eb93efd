"""Measure what it costs that functions measure themselves.

A job of two ranks trains epochs in this process over Redis, in turn with the stopwatch and without:
then no block is timed, no channel is wrapped, no times are packed. Requests to the durable store
take as long as those to S3 in its region at best. An epoch here has no state machines and no starts
of functions, so the share in a real one is smaller. ``added`` is the median of the pairs'
differences in processor time; ``counted`` is the number of timed blocks, times that of one block.

    python benchmarks/bench_parts.py [--rounds 40] [--targets] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from benchmarks.ending import ended
from lambdas.channels import storage as storage_channel
from stepml.job import stopwatch
from stepml.job.channels import CHANNELS
from storage.base import Buffer
from tests.support.jobs import DurableWrapper, Job
from tests.support.servers import redis_server

ROWS, FEATURES = 20_000, 50
MOST_SHARE = 0.01
REQUEST_S = 0.015
JOBS: dict[str, dict[str, Any]] = {
    "gradient_averaging": {"algorithm": {"name": "gradient_averaging", "batch_size": 200}},
    "model_averaging": {"algorithm": {"name": "model_averaging", "batch_size": 200}},
    "async": {
        "algorithm": {"name": "gradient_averaging", "batch_size": 200},
        "exchange": {"channel": "redis", "pattern": "async"},
    },
}


@dataclass(frozen=True, slots=True)
class Figure:
    """The cost of measuring in the epochs of one job."""

    job: str
    epoch_ms: float
    added_ms: float  # by the stopwatch, of the processor
    blocks: int  # timed in an epoch
    counted_ms: float

    @property
    def share(self) -> float:
        """The stopwatch's share of the epoch."""
        return self.added_ms / self.epoch_ms

    @property
    def misses(self) -> list[str]:
        """Messages for missed targets."""
        if self.share <= MOST_SHARE:
            return []
        return [
            f"{self.job}: measuring takes {self.share:.2%} of an epoch, target {MOST_SHARE:.0%}"
        ]

    def row(self) -> str:
        """Return the figure as a line of the table."""
        return (
            f"{self.job:<20}{self.epoch_ms:>10.1f}{self.added_ms:>10.2f}{self.share:>9.2%}"
            f"{self.blocks:>8}{self.counted_ms:>11.2f}"
        )


class FarStorage(DurableWrapper):
    """A durable store at the distance of S3."""

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        time.sleep(REQUEST_S)
        return super().load_many(keys)

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        time.sleep(REQUEST_S)
        return super().publish_many(values)


def block_s(rounds: int = 200_000) -> float:
    """Return the time of one timed block."""
    with stopwatch.measuring(stopwatch.Stopwatch()):
        began = time.process_time()
        for _ in range(rounds):
            with stopwatch.timed("compute"):
                pass
        return (time.process_time() - began) / rounds


@contextmanager
def replaced_blocks(replacement: Any) -> Iterator[None]:
    """Let all modules use ``replacement`` instead of `timed`."""
    original = stopwatch.timed
    with ExitStack() as patches:
        for module in list(sys.modules.values()):
            if getattr(module, "timed", None) is original:
                patches.enter_context(patch.object(module, "timed", replacement))
        yield


@contextmanager
def without_stopwatch() -> Iterator[None]:
    """Let functions measure nothing."""
    nothing = SimpleBlock()
    with (
        replaced_blocks(lambda part: nothing),
        patch.object(storage_channel, "TimedStorage", lambda inner: inner),
        patch("lambdas.executor.pack_times", lambda times, channel: ""),
    ):
        yield


class SimpleBlock(nullcontext[Any]):
    """A block that measures nothing."""

    stopwatch = before = None
    seconds = 0.0

    def __enter__(self) -> Any:
        return self


def rows() -> bytes:
    """Return rows as CSV."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, FEATURES))
    table = np.column_stack([X, X[:, 0] > 0])
    text = io.StringIO()
    np.savetxt(text, table, "%.4g", ",")
    return text.getvalue().encode()


def epoch_s(job: Job, epoch: int) -> tuple[float, float]:
    """Return the time of an epoch, and that of the processor."""
    began, processor_s = time.perf_counter(), time.process_time()
    with redirect_stdout(io.StringIO()):
        job.epoch(epoch)
    return time.perf_counter() - began, time.process_time() - processor_s


def counted_blocks(job: Job, epoch: int) -> int:
    """Return the number of blocks in an epoch."""
    n_blocks, original = 0, stopwatch.timed

    def counting(part: Any) -> Any:
        nonlocal n_blocks
        n_blocks += 1
        return original(part)

    with replaced_blocks(counting):
        epoch_s(job, epoch)
    return n_blocks


def measured(name: str, rounds: int) -> Figure:
    """Return the figure of one job."""
    spec = {"exchange": {"channel": "redis"}, "workers": 2, "stop": {"max_epochs": 10_000}}
    job = Job(name.replace("_", "-"), **(spec | JOBS[name]))
    job.data.save("rows.csv", rows())
    job.initialised()
    job.storage = cast("Any", FarStorage(job.storage))
    n_blocks = counted_blocks(job, 1)
    epochs, differences = [], []
    for number in range(rounds):
        pair = {}
        # In turn, so that neither is always the first one.
        for is_measured in (number % 2 == 0, number % 2 == 1):
            with nullcontext() if is_measured else without_stopwatch():
                pair[is_measured] = epoch_s(job, 2 + 2 * number + len(pair))
        epochs.append(pair[True][0])
        differences.append(pair[True][1] - pair[False][1])
    figures = [1000 * statistics.median(each) for each in (epochs, differences)]
    return Figure(name, *figures, n_blocks, 1000 * n_blocks * block_s())


def main() -> int:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=40, help="pairs of epochs of each job")
    parser.add_argument("--targets", action="store_true", help="fail if a target is missed")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    print(f"one block {1e9 * block_s():.0f} ns")
    columns = f"{'epoch ms':>10}{'added ms':>10}{'share':>9}{'blocks':>8}{'counted ms':>11}"
    print(f"{'':<20}{columns}")
    figures = []
    with tempfile.TemporaryDirectory() as directory, redis_server(Path(directory)) as server:
        os.environ[CHANNELS["redis"].variable] = server.url
        for name in JOBS:
            figures.append(measured(name, options.rounds))
            print(figures[-1].row(), flush=True)
    return ended(options, figures)


if __name__ == "__main__":
    sys.exit(main())
