"""The rows of a baseline, as the functions of its job would have them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing import get_context

from stepml.job.choices import with_algorithm, with_format, with_index_base, with_rows
from stepml.job.places import bucket_and_key
from stepml.job.spec import JobSpec
from stepml.ml.data import (
    DataPlan,
    Interval,
    Manifest,
    Shard,
    ShardKind,
    ShardPlan,
    assemble,
    guess_format,
    merge,
    plan_data,
    write_pieces,
)
from stepml.ml.data.memory_objects import MemoryObjects
from stepml.ml.data.objects import ObjectCatalogue
from stepml.ml.data.piece_statistics import RangeResult
from stepml.ml.job_shards import split_of

# As for functions: the sample from which first states come.
_SAMPLE_BYTES, _SAMPLE_ROWS, _ROWS_A_CLUSTER = 16 * 2**20, 200_000, 4

OpenBucket = Callable[[str], ObjectCatalogue]


@dataclass(frozen=True, slots=True)
class Rows:
    """A partitioned data set, and the job with all that depends on its description."""

    spec: JobSpec
    manifest: Manifest
    pieces: MemoryObjects
    kind: ShardKind
    split: ShardPlan

    @property
    def shard_rows(self) -> tuple[int, ...]:
        """Rows of each rank."""
        return tuple(interval.n_rows for interval in self.split.shards)

    def shard(self, rank: int) -> Shard:
        """Return the rows of a rank, as in the data."""
        return self._rows(self.split.shards[rank])

    def validation(self) -> Shard:
        """Return the rows on which models are judged, as in the data."""
        return self._rows(self.split.validation)

    def sample(self) -> Shard:
        """Return the first training rows, as in the data."""
        first = self.split.shards[0]
        width = 4 * (self.manifest.n_features + 1)
        if self.kind == "sparse":
            width = 8 * self.manifest.nnz // self.manifest.n_rows + 12
        wanted = max(
            min(_SAMPLE_ROWS, _SAMPLE_BYTES // width), _ROWS_A_CLUSTER * self.spec.model.min_rows
        )
        stop = first.start + min(wanted, sum(self.shard_rows))
        return self._rows(Interval(first.start, stop, first.quotas))

    def _rows(self, interval: Interval) -> Shard:
        return assemble(self.pieces, self.manifest, interval, self.kind)


def read_rows(asked: JobSpec, open_bucket: OpenBucket, own_bucket: str, processes: int) -> Rows:
    """Read and partition the data of a job, with some processes.

    Parameters
    ----------
    asked : JobSpec
    open_bucket : callable
        Opens a bucket; each process opens its own, as two must not share a connection.
    own_bucket : str
    processes : int

    Raises
    ------
    InvalidDataError, InvalidJobError
        As for the job.
    """
    bucket, path = bucket_and_key(asked.data.uri)
    source = open_bucket(bucket)
    name = asked.data.format or guess_format(source, path, asked.data, own_bucket)
    spec = with_format(asked, name)
    plan = plan_data(source, path, spec.data, own_bucket, has_classes=spec.model.has_classes)
    spec = with_index_base(spec, plan.layout.zero_based)
    parser = _Parser(source, plan, spec.data.seed)
    results, pieces = _parsed(parser, lambda: open_bucket(bucket), processes)
    manifest = merge(
        plan.digest,
        plan.layout,
        [piece for each in results for piece in each.pieces],
        [each.skipped for each in results],
        [each.levels for each in results],
    )
    spec = with_rows(spec, manifest.n_features, manifest.layout.row_shape)
    spec = with_algorithm(spec, manifest.n_features)
    return Rows(spec, manifest, pieces, *split_of(spec, manifest))


@dataclass(frozen=True, slots=True)
class _Parser:
    source: ObjectCatalogue
    plan: DataPlan
    seed: int

    def __call__(self, number: int) -> tuple[RangeResult, dict[str, bytes]]:
        """Parse the ranges of one task."""
        pieces, numbers = MemoryObjects(), count()
        result = write_pieces(
            self.source,
            pieces,
            self.plan.objects,
            self.plan.layout,
            self.plan.tasks[number],
            seed=self.seed,
            piece_key=lambda _: f"{number}-{next(numbers)}",
        )
        return result, pieces.objects


def _parsed(
    parser: _Parser, open_source: Callable[[], ObjectCatalogue], processes: int
) -> tuple[list[RangeResult], MemoryObjects]:
    numbers = range(len(parser.plan.tasks))
    if processes == 1 or len(numbers) == 1:
        parsed = list(map(parser, numbers))
    else:
        with get_context("fork").Pool(processes, _adopt, [parser, open_source]) as pool:
            parsed = pool.map(_parse, numbers, chunksize=1)
    objects = {key: data for _, more in parsed for key, data in more.items()}
    return [result for result, _ in parsed], MemoryObjects(objects)


_parser: list[_Parser] = []  # of this process of a pool


def _adopt(parser: _Parser, open_source: Callable[[], ObjectCatalogue]) -> None:
    # The forked process would share the sockets of its parent, and mix up the answers.
    _parser[:] = [replace(parser, source=open_source())]


def _parse(number: int) -> tuple[RangeResult, dict[str, bytes]]:
    return _parser[0](number)
