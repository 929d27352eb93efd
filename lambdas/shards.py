"""Decoded shards, kept by warm functions: otherwise every epoch would read the data again."""

from __future__ import annotations

import os
from collections import OrderedDict
from threading import Lock

from lambdas.plans import TrainingPlan
from lambdas.states import named
from stepml.job import keys
from stepml.job.spec import Data
from stepml.ml.data import Scale, Shard, unpack_shard
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
    """Return the rows of ``rank`` (or `keys.VALIDATION`), scaled if the job asks for it.

    They are kept for later calls, and read-only.
    """
    key, data = plan.shard_key(rank), plan.spec.data
    # A shard's key is made of its content, and its scale follows from that of its siblings.
    name = f"{key} standardised={data.standardise} missing={data.missing}"
    shard = _cache.get(name)
    if shard is None:
        scale = load_scale(job_id, storage) if is_scaled(data) else None
        # Before it is loaded: the function's memory need not hold it beside those dropped.
        _cache.make_room(int(plan.rows(rank) * plan.row_bytes))
        # In place, in the buffer that it came in: it is never held twice.
        packed = storage.load_buffer(key)
        with named(key):
            shard = unpack_shard(packed, scale)
        _cache.put(name, shard)
    return shard


def load_scale(job_id: str, storage: DurableStorage) -> Scale:
    """Return how the job prepares its rows."""
    key = keys.scale(job_id)
    with named(key):
        return Scale.unpack(storage.load(key))


def is_scaled(data: Data) -> bool:
    """Return whether rows become something else before they are learnt from (`Scale`)."""
    return data.standardise or data.missing == "mean"


# Half of the function's memory; the rest is for the interpreter, requests and the arithmetic.
_cache = ShardCache(int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")) * 2**20 // 2)
