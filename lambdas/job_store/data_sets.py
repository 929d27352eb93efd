"""Partitioned data in the durable store: addressed by content, shared by jobs."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.job_store.entries import Entry, document
from lambdas.job_store.plans import RangeSummary
from lambdas.job_store.states import named
from stepml.job import keys
from stepml.ml.data import (
    Manifest,
    Moments,
    Scale,
    Shard,
    ShardKind,
    feature_moments,
    pack_shard,
    unpack_shard,
)
from storage import DurableStorage


@dataclass(frozen=True, slots=True)
class DataSetStore:
    """The partitioned data with one digest, as one job reads and writes them."""

    storage: DurableStorage
    digest: str
    job_id: str  # the job that parses, if they are not partitioned yet

    @property
    def manifest(self) -> Entry[Manifest]:
        """The list of pieces: where it exists, the data are partitioned."""
        return document(self.storage, keys.manifest(self.digest), Manifest)

    def summary(self, number: int) -> Entry[RangeSummary]:
        """The result of one range task of this job."""
        key = keys.task_summary(self.digest, self.job_id, number)
        return document(self.storage, key, RangeSummary)

    def piece_key(self, task: int, number: int) -> str:
        """Return the key of one piece of a range task of this job."""
        return keys.piece(self.digest, self.job_id, task, number)

    def delete_unused_pieces(self, manifest: Manifest) -> None:
        """Delete this job's pieces if another job was faster; the rows are the same."""
        mine = keys.piece_prefix(self.digest, self.job_id)
        if not any(piece.key.startswith(mine) for piece in manifest.pieces):
            self.storage.clear(mine)


@dataclass(frozen=True, slots=True)
class ShardStore:
    """The shards of partitioned data for one world size and validation fraction."""

    storage: DurableStorage
    digest: str
    world_size: int
    validation_fraction: float
    kind: ShardKind

    def key(self, rank: int) -> str:
        """Return the key of a rank's rows (or those of `keys.VALIDATION`)."""
        return keys.shard(*self._split, rank)

    def exists(self, rank: int) -> bool:
        """Return whether a shard is whole."""
        return bool(self.storage.find_many([keys.shard_moments(*self._split, rank)]))

    def save(self, rank: int, shard: Shard) -> None:
        """Write a shard and then its moments: where these exist, the shard is whole."""
        self.storage.save(self.key(rank), pack_shard(shard))
        packed = feature_moments(shard.X).pack()
        self.storage.save(keys.shard_moments(*self._split, rank), packed)

    def load(self, rank: int, scale: Scale | None) -> Shard:
        """Return a shard, scaled in the buffer in which it was loaded."""
        key = self.key(rank)
        packed = self.storage.load_buffer(key)
        with named(key):
            return unpack_shard(packed, scale)

    def moments(self, rank: int) -> Moments:
        """Return the moments of a shard."""
        return Moments.unpack(self.storage.load(keys.shard_moments(*self._split, rank)))

    @property
    def _split(self) -> tuple[str, int, float, ShardKind]:
        return self.digest, self.world_size, self.validation_fraction, self.kind
