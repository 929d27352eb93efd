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
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import boto3
import numpy as np
import scipy.sparse
from moto.server import ThreadedMotoServer
from sklearn.cluster import KMeans
from sklearn.linear_model import SGDClassifier

from benchmarks.bench_exchange import some_of
from benchmarks.bench_parsing import MemoryObjects, float_rows, sparse_rows
from stepml.job import algorithms, models, spec
from stepml.ml.algorithms import RankEpoch, State, build_algorithm
from stepml.ml.algorithms.base import OrchestratedAlgorithm
from stepml.ml.data import (
    DataObject,
    SourceFormat,
    assemble,
    merge,
    plan_ranges,
    shard_kind,
    shard_plan,
    sniff,
    write_pieces,
)
from stepml.ml.matrices import CsrMatrix, Floats, Matrix
from stepml.ml.models import LossModel, build_model
from storage.s3 import S3Storage
from tests.support.fresh_functions import (
    heavy_modules,
    peak_bytes,
    store_contributions,
    store_dense,
)

N_SAMPLES, N_FEATURES, CLUSTERS = 1_000_000, 28, 10
N_SPARSE, WIDE, PAIRS = 100_000, 47_000, 80
BATCH_ROWS = 1000
L2 = 1e-4
ITERATIONS = 10  # of k-means in one measurement
TEXT_BYTES, WORKERS = 32 * 10**6, 4
MB = 10**6
SHARD_BYTES = 300 * MB
BUNDLE = Path(__file__).parents[1] / "build" / "aws" / "code"  # by `make package`


@dataclass(frozen=True, slots=True)
class Target:
    """A bound of a figure, or of its ratio to another one."""

    bound: float
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        """Return whether ``value`` meets the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:.3g}"


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of several rounds."""

    median: float
    best: float

    @classmethod
    def of(cls, values: Sequence[float], best: Callable[[Sequence[float]], float] = min) -> Self:
        """Return the spread of the values of several rounds; the smallest is the best."""
        return cls(statistics.median(values), best(values))

    def __sub__(self, other: Self) -> Self:
        return replace(self, median=self.median - other.median, best=self.best - other.best)

    def __mul__(self, factor: float) -> Self:
        return replace(self, median=self.median * factor, best=self.best * factor)

    def __str__(self) -> str:
        alone = self.median == self.best
        return f"{self.median:.4g}" if alone else f"{self.median:.4g} ({self.best:.4g})"


@dataclass(frozen=True, slots=True)
class Figures:
    """One line of the table: our figure, and the one to compare it with."""

    name: str
    unit: str
    ours: Spread
    other_name: str = ""
    other: Spread | None = None
    target: Target | None = None

    @property
    def ratio(self) -> Spread | None:
        """Our figure divided by the other."""
        if self.other is None:
            return None
        return Spread(self.ours.median / self.other.median, self.ours.best / self.other.best)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        judged = self.ratio or self.ours
        return None if self.target is None else self.target.is_met(judged.median)

    def row(self) -> str:
        """Return the line."""
        target = "" if self.target is None else f"{self.target}{'' if self.is_met else ' !'}"
        ours, other, ratio = (
            "" if each is None else str(each) for each in (self.ours, self.other, self.ratio)
        )
        return f"{self.name:25} {ours:>13} {other:>13} {ratio:>15}  {target}".rstrip()


class Learner:
    """One rank with all rows."""

    def __init__(
        self, model: models.Model, algorithm: algorithms.Algorithm, X: Matrix, labels: Floats
    ) -> None:
        data = spec.Data(uri="s3://bucket/data", format="csv")
        built = build_algorithm(spec.JobSpec(data=data, model=model, algorithm=algorithm))
        assert isinstance(built, OrchestratedAlgorithm)
        self._algorithm: OrchestratedAlgorithm[Any] = built
        self.model = build_model(model, X.shape[1], np.unique(labels).tolist())
        self._X, self._labels = X, labels
        self._rank_epoch = RankEpoch(1, 0, (len(X),), 0)

    def epoch(self, parameters: Floats) -> Floats:
        """Return the parameters after one more epoch."""
        before = self._algorithm.initial_state(self.model, parameters)
        y = self.model.targets(self._labels)
        progress = self._algorithm.begin(self.model, before, {}, self._rank_epoch)
        progress = self._algorithm.train(self.model, progress, self._X, y, self._rank_epoch)
        return self._next(before, self._algorithm.rank_result(progress)).parameters

    def _next(self, before: State, rank_state: Any) -> State:
        vector, trailer = self._algorithm.contribution(rank_state, self._rank_epoch)
        return self._algorithm.next_state(
            self.model, before, vector, trailer, self._rank_epoch, lambda: self._X[:BATCH_ROWS]
        ).state


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
    """Measure an iteration of k-means on dense rows."""
    X, labels = dense_rows()
    first = X[:CLUSTERS].copy()
    learner = Learner(
        models.KMeans(n_clusters=CLUSTERS), algorithms.ExpectationMaximisation(), X, labels
    )

    def ours() -> None:
        w = first.ravel()
        for _ in range(ITERATIONS):
            w = learner.epoch(w)

    def lloyd(iterations: int) -> Callable[[], object]:
        fitted = KMeans(CLUSTERS, init=first, n_init=1, tol=0, max_iter=iterations)
        return lambda: fitted.fit(X)

    ms = by_turns({"ours": ours, "few": lloyd(2), "more": lloyd(2 + ITERATIONS)}, rounds)
    mine, other = ms["ours"] * (1 / ITERATIONS), (ms["more"] - ms["few"]) * (1 / ITERATIONS)
    yield Figures("k-means, 1 M × 28, k 10", "ms", mine, "Lloyd", other, Target(2))


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


def averaging(learning_rate: float) -> algorithms.ModelAveraging:
    """Return descent in batches of `BATCH_ROWS`."""
    return algorithms.ModelAveraging(batch_size=BATCH_ROWS, learning_rate=learning_rate)


def epoch_of(learner: Learner) -> Callable[[], object]:
    """Return a function that trains a first epoch."""
    assert isinstance(learner.model, LossModel)
    start = learner.model.initial_parameters()
    return lambda: learner.epoch(start)


def sgd_epoch(loss: str, X: Any, labels: Floats, *, shuffle: bool) -> Callable[[], object]:
    """Return a function that trains an epoch with scikit-learn."""
    fitted = SGDClassifier(loss=loss, alpha=L2, max_iter=1, tol=None, shuffle=shuffle)
    return lambda: fitted.fit(X, labels)


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


def dense_rows() -> tuple[Floats, Floats]:
    """Return rows of two classes that overlap along a line."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_SAMPLES, N_FEATURES), np.float32)
    margins = X @ rng.standard_normal(N_FEATURES, np.float32) / 4
    return X, (rng.random(N_SAMPLES) < 1 / (1 + np.exp(-margins))).astype(np.float32)


def wide_rows() -> tuple[CsrMatrix, Floats]:
    """Return rows like RCV1's: of norm 1; a few columns are frequent, most are rare."""
    rng = np.random.default_rng(0)
    drawn = np.sort((WIDE - PAIRS) * rng.random((N_SPARSE, PAIRS)) ** 3, axis=1).astype(np.int32)
    ascending = np.arange(PAIRS, dtype=np.int32)
    ranks = np.maximum.accumulate(drawn - ascending, axis=1) + ascending  # all different
    # Frequent columns are spread, as in a vocabulary in alphabetical order.
    indices = np.sort(rng.permutation(WIDE).astype(np.int32)[ranks], axis=1)
    values = rng.random(indices.shape, np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    margins = (values * rng.standard_normal(WIDE)[indices]).sum(axis=1)
    labels = (margins > 0).astype(np.float32)
    indptr = np.arange(0, indices.size + 1, PAIRS)
    return CsrMatrix(indptr, indices.ravel(), values.ravel(), WIDE), labels


def partition(text: bytes, text_format: str) -> None:
    """Partition ``text`` into shards."""
    store = MemoryObjects(text)
    data = [DataObject("data", "data", len(text), "")]
    layout, ranges = sniff(store, data, SourceFormat(format=text_format)), plan_ranges(data, 1)[0]
    key = "pieces/{}".format
    result = write_pieces(store, store, data, layout, ranges, seed=0, piece_key=key)
    manifest = merge("", layout, result.pieces)
    kind = shard_kind("auto", manifest, WORKERS)
    plan = shard_plan(manifest, WORKERS, 0.1, kind)
    for interval in (*plan.shards, plan.validation):
        assemble(store, manifest, interval, kind)


@contextmanager
def a_bucket() -> Iterator[tuple[S3Storage, str]]:
    """Serve a bucket; yield it and its endpoint for other processes."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_bucket(Bucket="learning")
        yield S3Storage("learning", client), endpoint
    finally:
        server.stop()


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
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([*map(as_json, figures)], indent=2) + "\n")


if __name__ == "__main__":
    main()
