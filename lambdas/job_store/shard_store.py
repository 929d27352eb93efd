"""The shards of partitioned data, and their moments: made again where they are damaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lambdas.job_store.data_sets import DAMAGES, DataSetStore
from lambdas.job_store.states import named
from lambdas.logs import log
from stepml.job import data_keys
from stepml.ml.data import (
    Interval,
    Moments,
    Scale,
    Shard,
    ShardKind,
    feature_moments,
    pack_shard,
    rows_name,
    unpack_shard,
)


@dataclass(frozen=True, slots=True)
class ShardStore:
    """The shards of partitioned data for one world size and validation fraction.

    A shard's ``rows`` are its interval of positions in the order of row ids.
    """

    data_set: DataSetStore
    world_size: int
    validation_fraction: float
    kind: ShardKind
    stratify: bool = False
    fingerprint: str = ""  # of the rows; empty: unknown, so a misplaced shard is not noticed

    def key(self, rank: int) -> str:
        """Return the key of a rank's rows (or those of `keys.VALIDATION`)."""
        return data_keys.shard(*self._split, rank, stratify=self.stratify)

    def missing(self, ranks: Sequence[int]) -> list[int]:
        """Return the ranks whose shard or moments are not stored.

        Readers see whether stored ones are whole.
        """
        names = {rank: {self.key(rank), self._moments_key(rank)} for rank in ranks}
        found = self.data_set.storage.find_many([each for both in names.values() for each in both])
        return [rank for rank, both in names.items() if not both <= found]

    def make(self, rank: int, rows: Interval) -> None:
        """Gather a shard's rows from the pieces, and write them and their moments.

        Raises
        ------
        DataSetDamagedError
            The manifest or a piece is missing or damaged.
        """
        shard = self.data_set.rows(rows, self.kind)
        self.data_set.storage.save(self.key(rank), pack_shard(shard))
        self._save_moments(rank, rows, _moments_of(shard))

    def load(self, rank: int, rows: Interval, scale: Scale | None = None) -> Shard:
        """Return a shard, scaled in the buffer in which it was loaded; errors as of `make`."""
        try:
            return self._loaded(rank, rows, scale)
        except DAMAGES as error:
            log("shard made again", key=self.key(rank), reason=str(error))
        self.make(rank, rows)
        return self._loaded(rank, rows, scale)

    def find_moments(self, rank: int, rows: Interval) -> Moments | None:
        """Return the moments of a shard, or None if they are missing or damaged."""
        key = self._moments_key(rank)
        try:
            with named(key):
                return Moments.unpack(self.data_set.storage.load(key), self._name(rows))
        except DAMAGES as error:
            log("moments to be made again", key=key, reason=str(error))
        return None

    def make_moments(self, rank: int, rows: Interval) -> Moments:
        """Write the moments of a shard again, and return them; errors as of `make`."""
        shard = self.load(rank, rows)
        moments = _moments_of(shard)
        self._save_moments(rank, rows, moments)
        return moments

    def _loaded(self, rank: int, rows: Interval, scale: Scale | None) -> Shard:
        key = self.key(rank)
        packed = self.data_set.storage.load_buffer(key)
        with named(key):
            return unpack_shard(packed, scale, self._name(rows))

    def _save_moments(self, rank: int, rows: Interval, moments: Moments) -> None:
        packed = moments.pack(self._name(rows) or "")
        self.data_set.storage.save(self._moments_key(rank), packed)

    def _moments_key(self, rank: int) -> str:
        return data_keys.shard_moments(*self._split, rank, stratify=self.stratify)

    def _name(self, rows: Interval) -> str | None:
        return rows_name(self.fingerprint, rows, self.kind) if self.fingerprint else None

    @property
    def _split(self) -> tuple[str, int, float, ShardKind]:
        return self.data_set.digest, self.world_size, self.validation_fraction, self.kind


def _moments_of(shard: Shard) -> Moments:
    return feature_moments(shard.X, shard.remainders, shard.weights)
