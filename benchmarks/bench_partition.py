"""Measure the partitioning of tables, in MB of the data for each second of processor time.

Each figure is the median of some rounds of whole range tasks: read, parse, encode, hash, sort and
pack, then the manifest; threads of libraries count as well. Each round is a process of its own.
With another checkout, both take turns, so that a busy machine disturbs both alike; what that
checkout cannot read has no figure.

    python -m benchmarks.bench_partition [--before CHECKOUT] [--mb 48] [--rounds 5] [--json PATH]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.bench_parsing import float_rows, integer_rows
from benchmarks.json_file import write_json

HERE = Path(__file__).parent.parent
WORKER = Path(__file__).with_name("partition_worker.py")
_TIMEOUT_S = 600


@dataclass(frozen=True)
class Case:
    """One kind of table."""

    name: str
    file: str
    write: Callable[[np.random.Generator, int], bytes]  # about so many bytes
    data: dict[str, Any] = field(default_factory=dict)  # of a job


@dataclass(frozen=True)
class Result:
    """Medians of one case."""

    name: str
    megabytes: float
    now: float  # MB a second of processor time
    prepare_s: float  # of Prepare, beside that
    peak_mb: float  # beside the file itself
    before: float | None = None  # MB a second of the other checkout


def mixed_frame(rng: np.random.Generator, n_rows: int) -> pd.DataFrame:
    """Return rows like those of flights: levels, times, booleans, numbers, and missing values."""
    times = pd.Timestamp("2013-01-01") + pd.to_timedelta(rng.integers(0, 8760, n_rows), "h")
    numbers = rng.normal(12, 40, n_rows).round(1)
    numbers[rng.random(n_rows) < 0.03] = np.nan
    return pd.DataFrame(
        {
            "carrier": rng.choice([f"{a}{b}" for a in "ABCD" for b in "1234"], n_rows),
            "tail": [f"N{each}" for each in rng.integers(100, 4100, n_rows)],
            "route": rng.choice(["EWR, Newark", "JFK, New York", "LGA, New York"], n_rows),
            "when": times,
            "late": rng.random(n_rows) < 0.2,
            "distance": rng.integers(80, 5000, n_rows),
            "delay": numbers,
            "fare": rng.lognormal(5, 1, n_rows).round(2),
            "y": rng.normal(size=n_rows).round(4),
        }
    )


def plain_frame(rng: np.random.Generator, n_rows: int) -> pd.DataFrame:
    """Return 28 numbers and a label, as float64."""
    return pd.DataFrame(rng.normal(size=(n_rows, 29))).rename(columns="x{}".format)


def many_levels(rng: np.random.Generator, n_rows: int) -> pd.DataFrame:
    """Return a column of 10,000 levels among numbers."""
    frame = pd.DataFrame(rng.normal(size=(n_rows, 6)).round(5)).rename(columns="x{}".format)
    frame.insert(0, "shop", [f"shop {each}" for each in rng.integers(0, 10_000, n_rows)])
    return frame


def _text_of(
    make: Callable[[np.random.Generator, int], bytes],
) -> Callable[[np.random.Generator, int], bytes]:
    def write(rng: np.random.Generator, n_bytes: int) -> bytes:
        rows = make(rng, 5000)
        return rows * max(1, n_bytes // len(rows))

    return write


def _exported(
    make: Callable[[np.random.Generator, int], pd.DataFrame], **options: Any
) -> Callable[[np.random.Generator, int], bytes]:
    def write(rng: np.random.Generator, n_bytes: int) -> bytes:
        header, _, rows = make(rng, 20_000).to_csv(index=False, **options).encode().partition(b"\n")
        return header + b"\n" + rows * max(1, n_bytes // len(rows))

    return write


def _parquet(
    make: Callable[[np.random.Generator, int], pd.DataFrame], row_bytes: int
) -> Callable[[np.random.Generator, int], bytes]:
    def write(rng: np.random.Generator, n_bytes: int) -> bytes:
        packed = io.BytesIO()
        make(rng, n_bytes // row_bytes).to_parquet(packed, index=False, row_group_size=100_000)
        return packed.getvalue()

    return write


CASES = (
    Case("csv, 54 integers", "integers.csv", _text_of(integer_rows)),
    Case("csv, 28 floats", "floats.csv", _text_of(float_rows)),
    Case("csv, mixed", "mixed.csv", _exported(mixed_frame)),
    Case("csv, all quoted", "quoted.csv", _exported(mixed_frame, quoting=1)),
    Case("csv, 10,000 levels", "levels.csv", _exported(many_levels)),
    Case("parquet, 28 floats", "floats.parquet", _parquet(plain_frame, 8 * 29)),
    Case("parquet, mixed", "mixed.parquet", _parquet(mixed_frame, 40)),
)


def _run(path: Path, case: Case, checkout: Path) -> dict[str, float] | None:
    """Return the figures of one partitioning; None if the checkout cannot read the table."""
    data = {"format": path.suffix[1:], "matrix": "sparse" if "mixed" in case.name else "auto"}
    command = [sys.executable, "-P", str(WORKER), str(path), json.dumps(data | case.data)]
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        command,
        cwd=checkout,
        env=os.environ | one_thread,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        if checkout == HERE:
            raise RuntimeError(f"{case.name}: {done.stderr.strip()[-2000:]}")
        return None
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(case: Case, directory: Path, n_bytes: int, rounds: int, before: Path | None) -> Result:
    """Return the medians of ``rounds`` rounds."""
    path = directory / case.file
    path.write_bytes(case.write(np.random.default_rng(0), n_bytes))
    megabytes = path.stat().st_size / 1e6
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_run(path, case, HERE))
        theirs.append(None if before is None else _run(path, case, before))
    path.unlink()
    found = {
        name: statistics.median(each[name] for each in ours if each)
        for name in ("seconds", "prepare_s", "peak_mb")
    }
    older = [megabytes / each["seconds"] for each in theirs if each]
    return Result(
        case.name,
        megabytes,
        megabytes / found["seconds"],
        found["prepare_s"],
        found["peak_mb"],
        statistics.median(older) if older else None,
    )


def show(results: list[Result]) -> None:
    """Print a table of 80 columns."""
    print(f"{'':<22}{'MB':>6}{'MB/s':>8}{'before':>8}{'ratio':>8}{'prepare s':>11}{'peak MB':>9}")
    for each in results:
        before = "" if each.before is None else f"{each.before:.0f}"
        ratio = "" if each.before is None else f"{each.now / each.before:.2f}"
        print(
            f"{each.name:<22}{each.megabytes:6.0f}{each.now:8.0f}{before:>8}{ratio:>8}"
            f"{each.prepare_s:11.2f}{each.peak_mb:9.0f}"
        )


def main() -> None:
    """Measure, print and, on request, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--mb", type=int, default=48, help="MB of each table")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="cases whose name contains this")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        results = [
            measure(case, Path(directory), options.mb * 10**6, options.rounds, options.before)
            for case in CASES
            if (options.only or "") in case.name
        ]
    show(results)
    write_json(options.json, [asdict(each) for each in results])


if __name__ == "__main__":
    main()
