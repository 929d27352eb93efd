"""An object store in memory, and whole partitionings of its objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepml.job.errors import KeyNotFoundError
from stepml.ml.data import (
    DataObject,
    Interval,
    Manifest,
    Shard,
    ShardKind,
    SourceFormat,
    assemble,
    merge,
    plan_ranges,
    shard_plan,
    sniff,
    write_pieces,
)
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.objects import Buffer
from storage.base import ObjectInfo


class MemoryObjects:
    """Objects by key, with counts of requests and of the bytes read."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = dict(objects)
        self.largest_read_bytes = 0
        self.read_bytes = 0
        self.n_requests = 0

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        self.largest_read_bytes = max(self.largest_read_bytes, stop - start)
        chunk = self.load(key)[start:stop]
        self.read_bytes += len(chunk)
        self.n_requests += 1
        return chunk

    def load(self, key: str) -> bytes:
        if key not in self.objects:
            raise KeyNotFoundError(key)
        return self.objects[key]

    def put(self, key: str, data: Buffer) -> ObjectInfo:
        self.objects[key] = bytes(data)
        return ObjectInfo(key, len(data), f"etag of {key}")


def described(store: MemoryObjects, prefix: str = "") -> list[DataObject]:
    return [
        DataObject(key, key.removeprefix(prefix), len(store.objects[key]), f"etag of {key}")
        for key in sorted(store.objects)
    ]


def partition(
    store: MemoryObjects,
    n_ranges: int | None = 1,
    *,
    prefix: str = "",
    seed: int = 0,
    piece_bytes: int = 2**20,
    request_bytes: int = 2**20,
    **options: Any,
) -> Manifest:
    """Partition everything in ``store`` into pieces in the same store."""
    objects = described(store, prefix)
    layout = sniff(store, objects, SourceFormat(**options))
    results = []
    cuts = FORMATS[layout.format].cuts_of(objects, layout)
    for task, parts in enumerate(plan_ranges(objects, n_ranges, cuts)):
        result = write_pieces(
            store,
            store,
            objects,
            layout,
            parts,
            seed=seed,
            piece_key=lambda piece, task=task: f"pieces/{n_ranges}/{task}/{piece}",
            piece_bytes=piece_bytes,
            request_bytes=request_bytes,
        )
        results.append(result)
    pieces = [piece for result in results for piece in result.pieces]
    skipped, levels = ([each.skipped for each in results], [each.levels for each in results])
    return merge("digest", layout, pieces, skipped, levels)


def all_shards(
    store: MemoryObjects,
    manifest: Manifest,
    world_size: int,
    fraction: float = 0.1,
    kind: ShardKind = "dense",
    *,
    stratify: bool = False,
    **limits: int,
) -> list[Shard]:
    """Return the validation shard, then each rank's."""
    plan = shard_plan(manifest, world_size, fraction, kind, stratify=stratify)
    intervals: Sequence[Interval] = (plan.validation, *plan.shards)
    return [assemble(store, manifest, interval, kind, **limits) for interval in intervals]
