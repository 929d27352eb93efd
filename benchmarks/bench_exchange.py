"""Measure a step of each channel and pattern, with workers that wait for each other.

A step is timed from the first worker's call to the last one's return. Each step begins at a
barrier, and the worker processes are warm. The same processes alternate steps with a floor: the
same bytes through raw sockets (`benchmarks.floor`), in blocks of the fastest size. S3 and DynamoDB
have no floor; a local AWS serves them.

Requests and MB are those of one worker in one step, and of rank 0, which merges. They are counted
in separate rounds, below every wrapper that adds requests. Each key is a request, also that of a
block.

``async`` has no steps: workers compute (they sleep for 20 ms) and change the shared model in turn.
A change is timed from its beginning and includes the wait for the turn. Tries are loads of the
model for a change; stale counts the others' changes between two changes of a worker.

    python benchmarks/bench_exchange.py [--channels redis,s3] [--sizes 1KB,12MB] [--targets] …

Figures are medians. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.exchange_workers import COMPUTE_S, Case, Report, Spell, WorkerProcesses
from stepml.job.channels import CHANNELS
from stepml.local_identity import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from tests.support.running_aws import running_aws
from tests.support.servers import memcached_server, redis_server

MEASURED = ("redis", "memcached", "s3", "dynamodb")
CACHES = MEASURED[:2]
PATTERNS = ("reduce", "reduce_scatter", "async")
SIZES = {"1KB": 2**10, "1MB": 2**20, "12MB": 12 * 2**20}
WORLD_SIZES = ("2", "4", "8")
ROUNDS = {"1KB": 200, "1MB": 40, "12MB": 9}
SLOW_ROUNDS = {"1KB": 15, "1MB": 5, "12MB": 3}  # on other channels than caches
TARGET_WORLD_SIZE = 4


@dataclass(frozen=True, slots=True)
class Target:
    """Upper limits of a step."""

    ms: float | None = None
    ratio: float | None = None  # to the floor

    @classmethod
    def of(cls, channel: str, pattern: str, size: str) -> Target:
        """Return the target for steps of 4 workers."""
        if channel not in CACHES:
            return cls(60 if size == "1KB" else None)
        if size == "12MB":
            most_ms = {"reduce": 110, "reduce_scatter": 80}[pattern]
            return cls(most_ms if channel == "redis" else None, 1.5)
        return cls(10, 2) if size == "1MB" else cls(1.5)


@dataclass(frozen=True, slots=True)
class Steps:
    """The figures of steps in flight."""

    channel: str
    pattern: str
    size: str
    world_size: int
    ms: list[float]
    floor_ms: float | None
    requests: float  # mean of the workers
    merger_requests: float  # of rank 0
    mb: float
    merger_mb: float
    target: Target

    @classmethod
    def of(cls, case: Case, size: str, reports: Sequence[Report]) -> Steps:
        """Join the workers' reports."""
        floors = [durations_ms([r.floors[each] for r in reports]) for each in reports[0].floors]
        requests, sizes = [r.requests for r in reports], [r.value_bytes / 2**20 for r in reports]
        return cls(
            case.channel,
            case.pattern,
            size,
            case.world_size,
            durations_ms([each.spells for each in reports]),
            min(map(statistics.median, floors), default=None),
            *(statistics.mean(requests), requests[0]),
            *(statistics.mean(sizes), sizes[0]),
            Target.of(case.channel, case.pattern, size)
            if case.world_size == TARGET_WORLD_SIZE
            else Target(),
        )

    @property
    def ratio(self) -> float | None:
        return None if self.floor_ms is None else statistics.median(self.ms) / self.floor_ms

    @property
    def misses(self) -> list[str]:
        """Return a message for each missed target."""
        return [
            f"{self.channel} {self.pattern} {self.size}: {value:.3g} {unit}, target ≤ {most:g}"
            for value, unit, most in (
                (statistics.median(self.ms), "ms", self.target.ms),
                (self.ratio, "× floor", self.target.ratio),
            )
            if value is not None and most is not None and value > most
        ]

    @staticmethod
    def heading(*, with_target: bool) -> str:
        """Return the names of the columns."""
        return (
            f"{'':4} {'W':>2} {'ms':>6} {'(min)':>7} {'floor':>6} {'ratio':>5} "
            f"{'requests':>8} {'merger':>6} {'MB':>7} {'merger':>7}"
        ) + ("  target" if with_target else "")

    def row(self, *, with_target: bool) -> str:
        """Return the figures as a line of the table."""
        ratio = "–" if self.ratio is None else f"{self.ratio:.2f}"
        row = (
            f"{self.size:4} {self.world_size:2} {short(statistics.median(self.ms)):>6} "
            f"{f'({short(min(self.ms))})':>7} {short(self.floor_ms):>6} {ratio:>5} "
            f"{self.requests:8.1f} {self.merger_requests:6.1f} "
            f"{short(self.mb):>7} {short(self.merger_mb):>7}"
        )
        if not with_target or self.target == Target():
            return row
        limits = [self.target.ms, self.target.ratio]
        targets = " ".join(f"≤{most:g}" for most in limits if most is not None)
        return f"{row} {'!' if self.misses else ' '}{targets}"


@dataclass(frozen=True, slots=True)
class Changes:
    """The figures of changes of a shared model."""

    channel: str
    pattern: str
    size: str
    world_size: int
    ms: list[float]
    tries: float  # a change
    by_worker: list[int]  # changes
    changes_per_s: float
    staleness: float
    misses: tuple[str, ...] = ()  # there are no targets

    @classmethod
    def of(cls, case: Case, size: str, reports: Sequence[Report]) -> Changes:
        """Join the workers' reports."""
        by_worker = [len(report.spells) for report in reports]
        spells = [spell for report in reports for spell in report.spells]
        starts, stops = zip(*spells, strict=True)
        return cls(
            case.channel,
            case.pattern,
            size,
            case.world_size,
            [1000 * (stop - start) for start, stop in spells],
            sum(report.tries for report in reports) / sum(by_worker),
            by_worker,
            len(spells) / (COMPUTE_S + max(stops) - min(starts)),
            reports[0].staleness,
        )

    @staticmethod
    def heading(*, with_target: bool) -> str:
        """Return the names of the columns."""
        return (
            f"{'':4} {'W':>2} {'ms':>6} {'(max)':>7} {'changes/s':>12} {'tries':>6} "
            f"{'by worker':>11} {'stale':>6}"
        )

    def row(self, *, with_target: bool) -> str:
        """Return the figures as a line of the table."""
        spread = f"{min(self.by_worker)}–{max(self.by_worker)}"
        return (
            f"{self.size:4} {self.world_size:2} {short(statistics.median(self.ms)):>6} "
            f"{f'({short(max(self.ms))})':>7} {self.changes_per_s:12.1f} "
            f"{self.tries:6.2f} {spread:>11} {self.staleness:6.2f}"
        )


def durations_ms(by_worker: Sequence[Sequence[Spell]]) -> list[float]:
    """Return the duration of each round, from the first worker's start to the last one's end."""
    return [
        1000 * (max(stop for _, stop in spells) - min(start for start, _ in spells))
        for spells in zip(*by_worker, strict=True)
    ]


def short(number: float | None) -> str:
    """Return a number with three significant digits, or all digits before the point."""
    return "–" if number is None else f"{number:.0f}" if number >= 100 else f"{number:.3g}"


@contextmanager
def service(channel: str) -> Iterator[dict[str, str]]:
    """Run a channel's service; yield the environment of its workers."""
    with TemporaryDirectory() as directory:
        if channel == "redis":
            with redis_server(Path(directory)) as server:
                yield {CHANNELS["redis"].variable: server.url}
        elif channel == "memcached":
            with memcached_server() as server:
                yield {CHANNELS["memcached"].variable: server.url}
        else:
            with local_aws(Path(directory)) as environment:
                yield environment


@contextmanager
def local_aws(state: Path) -> Iterator[dict[str, str]]:
    """Run a local AWS with a bucket and a table."""
    name = "exchange"
    with running_aws(state) as aws:
        aws.client("s3").create_bucket(Bucket=name)
        aws.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        )
        yield {
            "AWS_ENDPOINT_URL": aws.endpoint_url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_DEFAULT_REGION": REGION,
            CHANNELS["s3"].variable: name,
            CHANNELS["dynamodb"].variable: name,
        }


@contextmanager
def workers(channel: str, world_sizes: Sequence[int]) -> Iterator[WorkerProcesses]:
    """Run a channel's service and its worker processes."""
    with service(channel) as environment, ExitStack() as stack:
        # The processes inherit it, and NumPy reads the variable at import.
        os.environ.update(environment, OPENBLAS_NUM_THREADS="1")
        started = WorkerProcesses(world_sizes)
        stack.callback(started.close)
        yield started


def cases(channel: str, options: argparse.Namespace) -> Iterator[tuple[str, Case]]:
    """Yield the cases of a channel, each with the name of its size."""
    rounds = ROUNDS if channel in CACHES else SLOW_ROUNDS
    for pattern in options.patterns:
        for size in options.sizes:
            for world_size in options.world_sizes:
                case = Case(
                    channel, pattern, SIZES[size], world_size, options.rounds or rounds[size]
                )
                is_refused = pattern == "async" and size == "12MB"
                if not is_refused and (options.all or not takes_long(case)):
                    yield size, case


def takes_long(case: Case) -> bool:
    """Return whether a case takes much longer than most, so that it runs only on request."""
    if case.channel in CACHES or case.value_bytes < SIZES["12MB"]:
        return False
    return case.channel == "dynamodb" or case.world_size == 8


def measure(channel: str, options: argparse.Namespace) -> Iterator[Steps | Changes]:
    """Yield the figures of a channel, and print them as they come."""
    table = ""
    with workers(channel, options.world_sizes) as processes:
        for size, case in cases(channel, options):
            kind = Changes if case.pattern == "async" else Steps
            figures = kind.of(case, size, processes.run(case))
            if case.pattern != table:
                table = case.pattern
                print(f"\n{channel}, {table}\n{kind.heading(with_target=options.targets)}")
            print(figures.row(with_target=options.targets), flush=True)
            yield figures


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    for name, choices in (
        ("channels", MEASURED),
        ("patterns", PATTERNS),
        ("sizes", tuple(SIZES)),
        ("world-sizes", WORLD_SIZES),
    ):
        text = f"some of {','.join(choices)}"
        parser.add_argument(f"--{name}", type=some_of(choices), default=[*choices], help=text)
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each case")
    parser.add_argument("--all", action="store_true", help="also 12MB on DynamoDB, and × 8 on S3")
    parser.add_argument("--targets", action="store_true", help="fail if a target is missed")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    options.world_sizes = [int(size) for size in options.world_sizes]
    return options


def some_of(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a parser of names from ``choices``, separated by commas."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [each for each in chosen if each not in choices]:
            raise argparse.ArgumentTypeError(
                f"expected some of {','.join(choices)}, got {','.join(unknown)}"
            )
        return chosen

    return parse


def main() -> int:
    """Measure, print tables, write JSON."""
    options = options_of()
    figures = [each for channel in options.channels for each in measure(channel, options)]
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([asdict(each) for each in figures], indent=2))
    misses = [miss for each in figures for miss in each.misses] if options.targets else []
    for miss in misses:
        print(f"missed: {miss}", file=sys.stderr)
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
