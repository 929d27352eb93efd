"""Measure the parsing of text into arrays and pieces, in MB of text a second on one thread.

Each figure is the median of some rounds over data in memory. NumPy's and scikit-learn's readers
parse the same text in the same rounds (only a part of it if they are slow). `parse` is the time to
arrays in memory. `pieces` is all work of a range task except the upload: parse, hash, sort, pack.
`shard` is the assembly of one rank's shard, in MB of its dense float32 rows instead of text. A
sparse shard is mostly zeros, in pages that are never touched, so its figure says little.

    python -m benchmarks.bench_parsing [--mb 16] [--rounds 5] [--json PATH]
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.json_file import write_json
from stepml.ml.data import (
    DataObject,
    SourceFormat,
    assemble,
    merge,
    plan_ranges,
    shard_plan,
    sniff,
    write_pieces,
)
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.formats.text import TextFormat
from stepml.ml.data.formats.text.text_lines import TextLines
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import Buffer
from storage.base import ObjectInfo

# The other readers are up to ten times slower, so they parse only this much of the text.
_OTHERS_BYTES = 2 * 2**20


class MemoryObjects:
    """Objects by key, saved without a copy, so that only our own work is measured."""

    def __init__(self, text: bytes) -> None:
        self.objects: dict[str, memoryview] = {"data": memoryview(text)}

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        """Return a part of an object."""
        return bytes(self.objects[key][start:stop])

    def load(self, key: str) -> bytes:
        """Return an object."""
        return bytes(self.objects[key])

    def put(self, key: str, data: Buffer) -> ObjectInfo:
        """Save an object."""
        self.objects[key] = memoryview(data)
        return ObjectInfo(key, len(data), "")


@dataclass(frozen=True)
class Case:
    """One kind of text."""

    name: str
    format: str
    make: Callable[[np.random.Generator, int], bytes]  # some rows
    other_name: str  # the reader to compare ours with
    other: Callable[[bytes], object]


@dataclass(frozen=True)
class Result:
    """Medians of one case, in MB a second."""

    name: str
    parse: float
    pieces: float
    shard: float
    other_name: str
    other: float | None  # None: not installed


def integer_rows(rng: np.random.Generator, n_rows: int) -> bytes:
    """Return CSV rows like Covertype's: 10 numbers, 44 indicators and a label."""
    numbers = rng.integers(0, 5000, (n_rows, 10))
    rest = np.column_stack([rng.random((n_rows, 44)) < 0.05, rng.integers(1, 8, n_rows)])
    return _saved(np.column_stack([numbers, rest]), "%d")


def float_rows(rng: np.random.Generator, n_rows: int) -> bytes:
    """Return CSV rows of 28 numbers with six decimals and a label."""
    return _saved(rng.normal(size=(n_rows, 29)), "%.6f")


def sparse_rows(rng: np.random.Generator, n_rows: int) -> bytes:
    """Return libsvm rows of 80 among 47,000 features."""
    indices = np.sort(rng.integers(1, 580, (n_rows, 80)).cumsum(axis=1), axis=1)
    values = rng.random((n_rows, 80))
    return b"".join(
        b"%d " % (row % 2)
        + b" ".join(b"%d:%.6f" % pair for pair in zip(*pairs, strict=True))
        + b"\n"
        for row, pairs in enumerate(zip(indices.tolist(), values.tolist(), strict=True))
    )


def _saved(table: np.ndarray[Any, Any], number: str) -> bytes:
    written = io.BytesIO()
    np.savetxt(written, table, number, delimiter=",")
    return written.getvalue()


def _load_columns(text: bytes) -> object:
    return np.loadtxt(io.BytesIO(text), np.float32, delimiter=",")


def _load_pairs(text: bytes) -> object:
    from sklearn.datasets import load_svmlight_file

    return load_svmlight_file(io.BytesIO(text), dtype=np.float32)


CASES = (
    Case("csv, 54 integers", "csv", integer_rows, "np.loadtxt", _load_columns),
    Case("csv, 28 floats", "csv", float_rows, "np.loadtxt", _load_columns),
    Case("libsvm, 80 pairs", "libsvm", sparse_rows, "load_svmlight", _load_pairs),
)


def _rate(n_bytes: int, action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return n_bytes / 1e6 / (time.perf_counter() - start)


def _parse(store: MemoryObjects, data: DataObject, layout: Layout) -> None:
    data_format = FORMATS[layout.format]
    assert isinstance(data_format, TextFormat)
    parser = data_format.parser(layout)
    for part in plan_ranges([data], 1)[0]:
        for lines in TextLines(store, [data], layout).read(part):
            parser.parse(lines)


def measure(case: Case, text_bytes: int, rounds: int) -> Result:
    """Return the medians of ``rounds`` rounds over about ``text_bytes`` of text."""
    rows = case.make(np.random.default_rng(0), 2000)
    text = rows * max(1, text_bytes // len(rows))
    few = rows * max(1, min(_OTHERS_BYTES, text_bytes) // len(rows))
    rates: dict[str, list[float]] = {"parse": [], "pieces": [], "shard": [], "other": []}
    _one_round(case, few, few)  # excludes imports and first pages from the measurement
    for _ in range(rounds):
        for name, rate in _one_round(case, text, few).items():
            rates[name].append(rate)
    medians = {name: statistics.median(each) for name, each in rates.items() if each}
    return Result(
        case.name,
        medians["parse"],
        medians["pieces"],
        medians["shard"],
        case.other_name,
        medians.get("other"),
    )


def _one_round(case: Case, text: bytes, few: bytes) -> dict[str, float]:
    store = MemoryObjects(text)
    data = DataObject("data", "data", len(text), "")
    layout = sniff(store, [data], SourceFormat(format=case.format))
    pieces = []

    def write() -> None:
        result = write_pieces(
            store,
            store,
            [data],
            layout,
            plan_ranges([data], 1)[0],
            seed=0,
            piece_key="pieces/{}".format,
        )
        pieces.extend(result.pieces)

    rates = {"parse": _rate(len(text), lambda: _parse(store, data, layout))}
    rates["pieces"] = _rate(len(text), write)
    manifest = merge("", layout, pieces)
    # A sparse data set is dense in its shards: as many ranks as make shards of at most 64 MB.
    n_ranks = max(4, -(-4 * manifest.n_rows * manifest.n_features // 2**26))
    interval = shard_plan(manifest, n_ranks, 0.0, "dense").shards[0]
    shard_bytes = 4 * interval.n_rows * manifest.n_features
    rates["shard"] = _rate(shard_bytes, lambda: assemble(store, manifest, interval, "dense"))
    try:
        rates["other"] = _rate(len(few), lambda: case.other(few))
    except ImportError:  # scikit-learn is an extra
        return rates
    return rates


def show(results: list[Result]) -> None:
    """Print a table of 80 columns."""
    heads = "".join(f"{head:>9}" for head in ("parse", "pieces", "shard"))
    print(f"{'MB/s':<20}{heads}  {'other reader':<16}{'':>8}{'ratio':>7}")
    for each in results:
        other = "not installed" if each.other is None else f"{each.other:8.0f}"
        ratio = "" if each.other is None else f"{each.parse / each.other:.1f} ×"
        print(
            f"{each.name:<20}{each.parse:9.0f}{each.pieces:9.0f}{each.shard:9.0f}"
            f"  {each.other_name:<16}{other:>8}{ratio:>7}"
        )


def main() -> None:
    """Measure, print and, on request, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mb", type=int, default=16, help="MB of text of each case")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    options = parser.parse_args()
    results = [measure(case, options.mb * 10**6, options.rounds) for case in CASES]
    show(results)
    write_json(options.json, [asdict(each) for each in results])


if __name__ == "__main__":
    main()
