"""The first rows of a data set, partitioned in memory: what a job would make of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from stepml.ml.data.manifest import Manifest, merge
from stepml.ml.data.memory_objects import MemoryObjects
from stepml.ml.data.objects import ObjectReader
from stepml.ml.data.pieces import write_pieces
from stepml.ml.data.planning import DataPlan
from stepml.ml.data.ranges import RANGE_BYTES, ByteRange, Cut

# An object that one function reads whole is tried up to this size.
_MOST_UNCUT_BYTES = 8 * RANGE_BYTES


@dataclass(frozen=True, slots=True)
class Trial:
    """The first rows of a data set, partitioned."""

    plan: DataPlan
    manifest: Manifest
    pieces: MemoryObjects
    parts: list[ByteRange]  # whose rows these are
    share: float  # of the bytes of all objects

    @property
    def is_all(self) -> bool:
        """Whether the data have no more rows."""
        return self.share == 1


def try_partition(
    source: ObjectReader,
    plan: DataPlan,
    seed: int = 0,
    most_bytes: int = RANGE_BYTES,
    *,
    on_bad_row: str = "skip",
) -> Trial | None:
    """Partition the first rows of the data, bad ones left out.

    Parameters
    ----------
    source : ObjectReader
    plan : DataPlan
    seed : int
        The data's seed.
    most_bytes : int
        Bytes to read. An object that is not cut is read up to 128 MB.
    on_bad_row : {"skip", "fail"}

    Returns
    -------
    Trial or None
        None: the first object is larger, and not cut.

    Raises
    ------
    EmptyDataError
        There are no rows, or only bad ones.
    BadRowError
        A row is bad, and ``on_bad_row`` is fail.
    InvalidDataError
        The rows do not match the layout.
    NotAvailableError
        The library that reads the format is not installed.
    """
    parts = list(_first_parts(plan, most_bytes))
    if not parts:
        return None
    pieces, numbers = MemoryObjects(), count()
    result = write_pieces(
        source,
        pieces,
        plan.objects,
        replace(plan.layout, on_bad_row=on_bad_row),
        parts,
        seed=seed,
        piece_key=lambda _: str(next(numbers)),
    )
    manifest = merge(plan.digest, plan.layout, result.pieces, [result.skipped], [result.levels])
    return Trial(plan, manifest, pieces, parts, _bytes_of(parts) / _all_bytes(plan))


def _first_parts(plan: DataPlan, most_bytes: int) -> Iterator[ByteRange]:
    left = most_bytes
    for number, (each, cut) in enumerate(zip(plan.objects, plan.cuts, strict=True)):
        if cut is Cut.NO_ROWS or not each.value_bytes:
            continue
        stop = each.value_bytes if cut is Cut.NOWHERE else min(each.value_bytes, left)
        is_too_large = cut is Cut.NOWHERE and each.value_bytes > _MOST_UNCUT_BYTES
        if left <= 0 or is_too_large:
            return
        yield ByteRange(number, 0, stop)
        left -= stop


def _bytes_of(parts: list[ByteRange]) -> int:
    return sum(each.stop - each.start for each in parts)


def _all_bytes(plan: DataPlan) -> int:
    sizes = zip(plan.objects, plan.cuts, strict=True)
    return sum(each.value_bytes for each, cut in sizes if cut is not Cut.NO_ROWS)
