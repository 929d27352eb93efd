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
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.choices import some_of
from benchmarks.ending import ended
from benchmarks.exchange_figures import CACHES, Changes, Steps
from benchmarks.exchange_workers import Case, WorkerProcesses
from stepml.job.channels import CHANNELS
from stepml.local_identity import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from tests.support.running_aws import running_aws
from tests.support.servers import memcached_server, redis_server

MEASURED = (*CACHES, "s3", "dynamodb")
PATTERNS = ("reduce", "reduce_scatter", "async")
SIZES = {"1KB": 2**10, "1MB": 2**20, "12MB": 12 * 2**20}
WORLD_SIZES = ("2", "4", "8")
ROUNDS = {"1KB": 200, "1MB": 40, "12MB": 9}
SLOW_ROUNDS = {"1KB": 15, "1MB": 5, "12MB": 3}  # on other channels than caches


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


def main() -> int:
    """Measure, print tables, write JSON."""
    options = options_of()
    figures = [each for channel in options.channels for each in measure(channel, options)]
    return ended(options, figures)


if __name__ == "__main__":
    sys.exit(main())
