"""Measure the speed of a rank and of partitioning, and the memory and imports of functions.

Epochs are measured beside scikit-learn's, in turn, on the same float32 arrays in the same process,
with one thread each. Both use the BLAS kernels that the template sets for the functions, unless
OPENBLAS_CORETYPE says otherwise. Ours are whole epochs of an executor (targets, begin, train; for
k-means also the next state). scikit-learn's are `fit` with ``max_iter=1``. Because `fit` of k-means
does more than iterate, its figure is a tenth of the difference between twelve iterations and two.

Partitioning covers everything from text in memory to the shards of four ranks and of the
validation, in MB of text per second of processor time of all threads. Memory is the peak of a fresh
process that runs a handler once; moto serves its bucket from another process.

    python benchmarks/bench_learning.py [--cases logistic,hinge] [--rounds 7] [--json PATH]

Figures are medians (best of all rounds), and so are ratios; targets apply to the medians. Times are
processor time, which excludes other processes. But processes share caches, so run it on an idle
machine.
"""

from __future__ import annotations

import os

# NumPy and scikit-learn read these at import.
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import scipy.sparse
from sklearn.cluster import KMeans

from benchmarks.bench_parsing import float_rows, sparse_rows
from benchmarks.choices import some_of
from benchmarks.json_file import write_json
from benchmarks.learning_figures import Figures, Spread, Target
from benchmarks.learning_work import (
    L2,
    Learner,
    averaging,
    dense_rows,
    epoch_of,
    partition,
    sgd_epoch,
    wide_rows,
)
from stepml.job import algorithms, models
from stepml.ml.kernels.native import accumulate_kernel
from stepml.ml.matrices import Floats
from stepml.ml.models import dense_clusters
from storage.s3 import S3Storage
from tests.support.fresh_functions import (
    heavy_modules,
    peak_bytes,
    store_contributions,
    store_dense,
)
from tests.support.moto_server import moto_server

CLUSTERINGS = (  # rows, features, clusters, and the largest ratio
    (1_000_000, 28, 10, 1.0),
    (300_000, 28, 50, 1.0),
    (100_000, 54, 256, 1.0),
    (50_000, 784, 10, 1.3),
    (20_000, 784, 256, 1.3),
)
ITERATIONS = 10  # of k-means in one measurement
TEXT_BYTES = 32 * 10**6
MB = 10**6
SHARD_BYTES = 300 * MB
BUNDLE = Path(__file__).parents[1] / "build" / "aws" / "code"  # by `make package`


def logistic(rounds: int) -> Iterator[Figures]:
    """Measure an epoch of logistic regression on dense rows."""
    X, labels = dense_rows()
    learner = Learner(models.LogisticRegression(l2=L2), averaging(0.1), X, labels)
    sides = {"ours": epoch_of(learner)}
    for name, shuffle in (("shuffled", True), ("stored order", False)):
        sides[name] = sgd_epoch("log_loss", X, labels, shuffle=shuffle)
    ms = by_turns(sides, rounds)
    yield epochs("logistic, 1 M × 28", ms, "shuffled", Target(1 / 6))
    yield epochs("… stored order", ms, "stored order")


def hinge(rounds: int) -> Iterator[Figures]:
    """Measure an epoch of a support vector machine on sparse rows."""
    X, labels = wide_rows()
    learner = Learner(models.Svm(l2=L2), averaging(1), X, labels)
    theirs = scipy.sparse.csr_matrix((X.values, X.indices, X.indptr.astype(np.int32)), X.shape)
    sides = {"ours": epoch_of(learner)}
    for name, shuffle in (("shuffled", True), ("stored order", False)):
        sides[name] = sgd_epoch("hinge", theirs, labels, shuffle=shuffle)
    ms = by_turns(sides, rounds)
    yield epochs("hinge, 100 k × 80 of 47 k", ms, "shuffled", Target(1))
    yield epochs("… stored order", ms, "stored order")


def kmeans(rounds: int) -> Iterator[Figures]:
    """Measure an iteration of k-means on dense rows, with the native kernel if there is one."""
    rng = np.random.default_rng(0)
    for n_rows, n_features, n_clusters, most in CLUSTERINGS:
        X = rng.standard_normal((n_rows, n_features), np.float32)
        ms = by_turns(lloyd_sides(X, n_clusters), rounds)
        mine, other = ms["ours"] * (1 / ITERATIONS), (ms["more"] - ms["few"]) * (1 / ITERATIONS)
        name = f"k-means, {n_rows // 1000} k × {n_features}, k {n_clusters}"
        yield Figures(name, "ms", mine, "Lloyd", other, Target(most))
        if "numpy" in ms:
            yield Figures("… without a compiler", "ms", ms["numpy"], "Lloyd", other)


def lloyd_sides(X: Floats, n_clusters: int) -> dict[str, Callable[[], object]]:
    """Return ten iterations of ours, one in NumPy, and two and twelve of scikit-learn's."""
    first, labels = X[:n_clusters].copy(), np.zeros(len(X), np.float32)
    model = models.KMeans(n_clusters=n_clusters)
    learner = Learner(model, algorithms.ExpectationMaximisation(), X, labels)

    def ours() -> None:
        w = first.ravel()
        for _ in range(ITERATIONS):
            w = learner.epoch(w)

    def lloyd(iterations: int) -> Callable[[], object]:
        fitted = KMeans(n_clusters, init=first, n_init=1, tol=0, max_iter=iterations)
        return lambda: fitted.fit(X)

    sides: dict[str, Callable[[], object]] = {"ours": ours}
    if accumulate_kernel() is None:
        print("k-means: no native kernel, see `make install`")
    else:
        sides["numpy"] = lambda: dense_clusters.accumulate(first, X, None)
    # The first fit after the others is slower: it gets its memory from the system.
    return sides | {"first": lloyd(2), "few": lloyd(2), "more": lloyd(2 + ITERATIONS)}


def partitioning(rounds: int) -> Iterator[Figures]:
    """Measure the partitioning of text into shards."""
    for name, kind, make in (
        ("libsvm, 80 pairs", "libsvm", sparse_rows),
        ("csv, 28 numbers", "csv", float_rows),
    ):
        rows = make(np.random.default_rng(0), 2000)
        text = rows * (TEXT_BYTES // len(rows))
        partition(rows, kind)
        seconds = [seconds_of(partial(partition, text, kind)) for _ in range(rounds)]
        rates = Spread.of([len(text) / MB / each for each in seconds], best=max)
        yield Figures(name, "MB/s", rates, target=Target(60, at_least=True))


def memory(rounds: int) -> Iterator[Figures]:
    """Measure the peak memory of an executor and a reducer, once."""
    with a_bucket() as (storage, endpoint):

        def peak_mb(module: str, event: dict[str, Any]) -> Spread:
            return Spread.of([peak_bytes(module, event, storage.bucket, endpoint) / MB])

        executor = peak_mb("lambdas.executor", store_dense(storage, "dense", SHARD_BYTES))
        limit = Spread.of([1.3 * SHARD_BYTES / MB + 110])
        yield Figures(
            "executor, 300 MB (limit)", "MB", executor, "1.3 × 300 + 110", limit, Target(1)
        )
        few, many = (
            peak_mb("lambdas.reducer", store_contributions(storage, f"job-{size}", size))
            for size in (2, 16)
        )
        # The contributions of two ranks, and one more window of 16 MiB.
        most = Spread.of([few.best + 16 * 2**20 / MB])
        yield Figures("reducer, 16 ranks (limit)", "MB", many, "2 ranks + 16.8", most, Target(1))


def bundle(rounds: int) -> Iterator[Figures]:
    """Measure the functions' package, if it exists, and the imports of handlers."""
    if BUNDLE.is_dir():
        size = sum(each.stat().st_blocks * 512 for each in BUNDLE.rglob("*")) / 2**20
        yield Figures("package, unzipped MiB", "MiB", Spread.of([size]), target=Target(150))
    else:
        print("package: none, see `make package`")
    loaded = heavy_modules()
    name = f"loaded: {', '.join(loaded) or 'no heavy module'}"
    yield Figures(name, "modules", Spread.of([len(loaded)]), target=Target(0))


CASES: dict[str, Callable[[int], Iterator[Figures]]] = {
    each.__name__: each for each in (logistic, hinge, kmeans, partitioning, memory, bundle)
}
HEADINGS = {
    "logistic": ("an epoch, ms", "StepML", "scikit-learn"),
    "hinge": ("an epoch, ms", "StepML", "scikit-learn"),
    "kmeans": ("an iteration, ms", "StepML", "scikit-learn"),
    "partitioning": ("text to shards", "MB/s", ""),
    "memory": ("a function", "MB at most", "compared to"),
    "bundle": ("all functions", "", ""),
}


def by_turns(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, Spread]:
    """Return the milliseconds of each side, without the first round."""
    ms: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, side in sides.items():
            ms[name].append(1000 * seconds_of(side))
    return {name: Spread.of(each[1:]) for name, each in ms.items()}


def seconds_of(action: Callable[[], object]) -> float:
    """Return the processor time of all threads, in seconds."""
    start = time.process_time()
    action()
    return time.process_time() - start


def epochs(name: str, ms: dict[str, Spread], other: str, target: Target | None = None) -> Figures:
    """Return the figures of our epochs and another side's."""
    return Figures(name, "ms", ms["ours"], f"SGDClassifier, {other}", ms[other], target)


@contextmanager
def a_bucket() -> Iterator[tuple[S3Storage, str]]:
    """Serve a bucket; yield it and its endpoint for other processes."""
    with moto_server() as endpoint:
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_bucket(Bucket="learning")
        yield S3Storage("learning", client), endpoint


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    text = f"some of {','.join(CASES)}"
    parser.add_argument("--cases", type=some_of(tuple(CASES)), default=[*CASES], help=text)
    parser.add_argument(
        "--rounds", type=int, default=7, help="rounds of epochs and of partitioning"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(arguments)


def heading(case: str) -> str:
    """Return the names of a case's columns."""
    what, ours, other = HEADINGS[case]
    ratio = "ratio" if other else ""
    return f"\n{what:25} {ours:>13} {other:>13} {ratio:>15}  target".rstrip()


def measure(options: argparse.Namespace) -> Iterator[Figures]:
    """Yield all figures, and print them as they come."""
    table = ""
    for case in options.cases:
        if heading(case) != table:
            table = heading(case)
            print(table)
        for figures in CASES[case](options.rounds):
            print(figures.row(), flush=True)
            yield figures


def as_json(figures: Figures) -> dict[str, Any]:
    """Return the figures with their ratio and target."""
    ratio = None if figures.ratio is None else asdict(figures.ratio)
    return {**asdict(figures), "ratio": ratio, "is_met": figures.is_met}


def main() -> None:
    """Measure, print a table, write JSON."""
    options = options_of()
    figures = [*measure(options)]
    write_json(options.json, [*map(as_json, figures)])


if __name__ == "__main__":
    main()
