"""Check that a parameter server's memory stays flat over many small steps, then large ones.

Four worker threads of this process push and pull over real connections to a server process. After
each tenth of the steps, the server's resident memory is read. It is flat if the least of the last
three readings exceeds the most of the third to the fifth by no more than 5 % or 2 MB, whichever is
more: gRPC's buffers fluctuate. A leak of 100 bytes a small step is found.

    python benchmarks/soak_parameter_server.py [--transport grpc] [--small 1000] [--large 50]
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.json_file import write_json
from comm import Message
from ps_server.protocol.calls import JobSettings, Received, Target, encode_in_parts
from stepml.job.step import Step
from tests.support.parameter_servers import ParameterServerProcess, parameter_server

WORLD_SIZE = 4
SMALL_BYTES, LARGE_BYTES = 2**10, 12 * 2**20
SPELLS = 10
KEPT_STEPS = 3  # sums that the server holds until a later step
WAIT_S = 60.0
SLACK_BYTES, SLACK = 2 * 2**20, 0.05


@dataclass(frozen=True, slots=True)
class Spell:
    """A tenth of the steps of a size."""

    size: str
    steps: int  # so far
    seconds: float  # of this tenth
    rss_bytes: int
    n_threads: int
    n_files: int


def soak(
    server: ParameterServerProcess, transport: str, size: str, value_bytes: int, n_steps: int
) -> list[Spell]:
    """Run steps, and print a line after each tenth."""
    job, spells = f"jobs/soak/{size}/", list[Spell]()
    rng = np.random.default_rng(0)
    contributed = [
        encode_in_parts(Message(rng.normal(size=value_bytes // 4).astype(np.float32), np.zeros(2)))
        for _ in range(WORLD_SIZE)
    ]
    barrier = threading.Barrier(WORLD_SIZE)
    ends = [n_steps * number // SPELLS for number in range(SPELLS + 1)]

    def work(rank: int) -> None:
        with server.client(transport) as client:
            client.register(job, JobSettings(WORLD_SIZE, contributed[rank].size))
            began = time.monotonic()
            for number in range(1, n_steps + 1):
                _, got = client.push_and_pull(
                    Target(job, Step(1, number), rank), contributed[rank], wait_s=WAIT_S
                )
                if not isinstance(got, Received):
                    raise got
                got.message("the sum")
                if rank == 0 and number > KEPT_STEPS:
                    client.forget(job, Step(1, number - KEPT_STEPS))
                if number in ends:
                    barrier.wait(WAIT_S)
                    if rank == 0:
                        spells.append(measured(server, size, number, time.monotonic() - began))
                        print(row(spells[-1]), flush=True)
                    began = time.monotonic()
            barrier.wait(WAIT_S)
            if rank == 0:
                client.delete(job)

    with ThreadPoolExecutor(WORLD_SIZE) as pool:
        for each in [pool.submit(work, rank) for rank in range(WORLD_SIZE)]:
            each.result()
    return spells


def measured(server: ParameterServerProcess, size: str, steps: int, seconds: float) -> Spell:
    """Return the current usage of the server's process."""
    place = Path(f"/proc/{server.pid}")
    status = dict(
        line.split(":", 1) for line in (place / "status").read_text(encoding="ascii").splitlines()
    )
    rss_bytes = int(status["VmRSS"].split()[0]) * 1024
    n_files = len([*(place / "fd").iterdir()])
    return Spell(size, steps, seconds, rss_bytes, int(status["Threads"]), n_files)


def row(spell: Spell) -> str:
    """Return a line of the table."""
    return (
        f"{spell.size:6} {spell.steps:9,} {spell.seconds:9.1f} {spell.rss_bytes / 2**20:9.1f} "
        f"{spell.n_threads:9} {spell.n_files:9}"
    )


def is_flat(spells: Sequence[Spell]) -> bool:
    """Return whether the memory at the end is no larger than after the first tenths."""
    before = max(spell.rss_bytes for spell in spells[2:5])
    last = min(spell.rss_bytes for spell in spells[-3:])
    return last <= before + max(SLACK_BYTES, SLACK * before)


def main() -> int:
    """Run steps of both sizes, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--transport", choices=("thrift", "grpc"), default="thrift")
    parser.add_argument("--small", type=int, default=100_000, help="number of steps of 1 KB")
    parser.add_argument("--large", type=int, default=500, help="number of steps of 12 MB")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    figures: list[list[Spell]] = []
    print(f"{'':6} {'steps':>9} {'seconds':>9} {'RSS MB':>9} {'threads':>9} {'files':>9}")
    with TemporaryDirectory() as directory:
        transports = [options.transport]
        with parameter_server(Path(directory), transports=transports, memory_mb=1024) as server:
            for size, value_bytes, n_steps in (
                ("1 KB", SMALL_BYTES, options.small),
                ("12 MB", LARGE_BYTES, options.large),
            ):
                figures.append(soak(server, options.transport, size, value_bytes, n_steps))
    write_json(options.json, [asdict(spell) for spells in figures for spell in spells])
    growing = [spells[0].size for spells in figures if not is_flat(spells)]
    print("memory is flat" if not growing else f"memory grows with steps of {', '.join(growing)}")
    return 1 if growing else 0


if __name__ == "__main__":
    sys.exit(main())
