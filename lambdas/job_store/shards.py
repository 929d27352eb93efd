"""Decoded shards, cached by warm functions: otherwise every epoch would read the data again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from threading import Lock

from lambdas.environment import memory_mb
from lambdas.job_store.plans import TrainingPlan
from lambdas.job_store.scales import scales_shards
from lambdas.job_store.store import JobStore
from lambdas.job_store.training_memory import MIB, TrainingMemory
from stepml.job.stopwatch import timed
from stepml.ml.data import Shard


class ShardCache:
    """The most recently used shards, up to ``max_bytes``; the newest one always stays.

    Without ``max_bytes``, they have half of the function's memory. The rest is for the interpreter,
    requests and the arithmetic.
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self._max_bytes = max_bytes
        self._shards: OrderedDict[str, Shard] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str) -> Shard | None:
        """Return the shard called ``name``, or None."""
        with self._lock:
            if name in self._shards:
                self._shards.move_to_end(name)
            return self._shards.get(name)

    def make_room(self, value_bytes: int, most_bytes: int | None = None) -> None:
        """Drop the least recently used shards until ``value_bytes`` more fit, or none is left.

        ``most_bytes`` is the memory for all of them, if that is smaller than usual.
        """
        usual = self._usual_bytes()
        most = usual if most_bytes is None else min(usual, most_bytes)
        with self._lock:
            while self._shards and self.value_bytes + value_bytes > most:
                self._shards.popitem(last=False)

    def put(self, name: str, shard: Shard) -> None:
        """Add ``shard``; the least recently used ones are dropped if there is no room."""
        self.make_room(shard.value_bytes)
        with self._lock:
            self._shards[name] = shard

    @property
    def value_bytes(self) -> int:
        """Bytes of all cached shards."""
        return sum(shard.value_bytes for shard in self._shards.values())

    def _usual_bytes(self) -> int:
        # Not at import: functions with different memory may share the loaded module.
        return memory_mb() * MIB // 2 if self._max_bytes is None else self._max_bytes


def load_shard(store: JobStore, plan: TrainingPlan, rank: int) -> Shard:
    """Return the rows of ``rank`` (or `keys.VALIDATION`), scaled if the job asks for it.

    Weights are in units of their mean over the training rows. The rows are cached for later calls,
    and read-only.
    """
    with timed("load"):
        return _cached_shard(store, plan, rank)


def _cached_shard(store: JobStore, plan: TrainingPlan, rank: int) -> Shard:
    data = plan.spec.data
    shards = store.shards(plan.digest, plan.spec, plan.matrix, plan.fingerprint)
    # A shard's key depends on its content, and its scale follows from its siblings.
    settings = data.standardise, data.scale, data.missing, data.missing_indicator
    name = f"{shards.key(rank)} {settings} {plan.mean_weight}"
    shard, most_bytes = warm_shards.get(name), _most_bytes(plan)
    warm_shards.make_room(0, most_bytes)  # another job may have left shards
    if shard is None:
        scale = store.scale.load() if scales_shards(plan) else None
        # Before it is loaded: the function's memory need not hold the dropped shards as well.
        warm_shards.make_room(int(plan.rows(rank) * plan.stored_row_bytes), most_bytes)
        shard = shards.load(rank, plan.interval(rank), scale)
        shard = replace(shard, weights=plan.weights_of(shard))
        warm_shards.put(name, shard)
    return shard


def _most_bytes(plan: TrainingPlan) -> int | None:
    """Return the memory that training leaves for shards; None: more than they get."""
    if plan.network is None:
        return None
    return max(0, memory_mb() * MIB - TrainingMemory.of(plan).working_bytes)


warm_shards = ShardCache()
