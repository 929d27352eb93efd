"""Decoded shards, kept by warm functions: otherwise every epoch would read the data again."""

from __future__ import annotations

import os
from collections import OrderedDict
from threading import Lock

from lambdas.plans import TrainingPlan
from stepml.job import keys
from stepml.ml.data import Scale, Shard, standardise, unpack_shard
from storage import DurableStorage


class ShardCache:
    """The shards used last, up to ``max_bytes``; the newest is kept whatever its size."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._shards: OrderedDict[str, Shard] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str) -> Shard | None:
        """Return the shard called ``name``, if it is here."""
        with self._lock:
            if name in self._shards:
                self._shards.move_to_end(name)
            return self._shards.get(name)

    def make_room(self, value_bytes: int) -> None:
        """Drop the shards not used for longest until ``value_bytes`` more fit, or none is left."""
        with self._lock:
            while self._shards and self.value_bytes + value_bytes > self._max_bytes:
                self._shards.popitem(last=False)

    def put(self, name: str, shard: Shard) -> None:
        """Keep ``shard``, in the place of those not used for longest."""
        self.make_room(shard.X.nbytes + shard.y.nbytes)
        with self._lock:
            self._shards[name] = shard

    @property
    def value_bytes(self) -> int:
        """Bytes of all shards kept."""
        return sum(shard.X.nbytes + shard.y.nbytes for shard in self._shards.values())


def load_shard(job_id: str, rank: int, plan: TrainingPlan, storage: DurableStorage) -> Shard:
    """Return the rows of ``rank`` (or `keys.VALIDATION`), standardised if the job asks for it."""
    key = plan.shard_key(rank)
    # A shard's key is made of its content, and its scale follows from that of its siblings.
    name = f"{key} standardised={plan.spec.data.standardise}"
    shard = _cache.get(name)
    if shard is None:
        # Before it is loaded: while it is standardised there are two of it.
        _cache.make_room(4 * plan.rows(rank) * (plan.n_features + 1))
        shard = unpack_shard(storage.load(key))
        if plan.spec.data.standardise:
            scale = Scale.unpack(storage.load(keys.scale(job_id)))
            # A copy of the labels, too: a view would keep all that was loaded.
            shard = Shard(standardise(shard.X, scale), shard.y.copy())
        _cache.put(name, shard)
    return shard


# Half of the function's memory; the rest is for the interpreter, requests and the arithmetic.
_cache = ShardCache(int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")) * 2**20 // 2)
