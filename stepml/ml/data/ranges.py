"""Byte ranges: the parts of a data set's objects for each range task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, pairwise

from stepml.job.errors import EmptyDataError
from stepml.ml.data.objects import DataObject

# An Inline Map runs 40 iterations at once; more ranges would queue.
MAX_RANGES = 40
RANGE_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of an object; it has the rows that start in it."""

    object_index: int
    start: int  # first byte
    stop: int  # one behind the last byte


class Cut(Enum):
    """The places at which an object may be cut into byte ranges."""

    ANYWHERE = "anywhere"
    NOWHERE = "nowhere"  # the object is one range
    NO_ROWS = "no rows"  # the object belongs to another one, and is in no range


def plan_ranges(
    objects: Sequence[DataObject],
    n_ranges: int | None = None,
    cuts: Sequence[Cut] | None = None,
) -> list[tuple[ByteRange, ...]]:
    """Return the byte ranges of each range task: about equally many bytes, in object order.

    Parameters
    ----------
    objects : sequence of DataObject
    n_ranges : int, optional
        1 to 40 tasks; by default one for each 16 MB. There are never more tasks than bytes, or than
        objects if these cannot be cut.
    cuts : sequence of Cut, optional
        Where each object may be cut; by default anywhere. An object that is not cut belongs to the
        task that has its first byte.

    Raises
    ------
    EmptyDataError
        The objects are empty.
    """
    cuts = cuts or [Cut.ANYWHERE] * len(objects)
    sizes = [
        0 if cut is Cut.NO_ROWS else each.value_bytes
        for each, cut in zip(objects, cuts, strict=True)
    ]
    total = sum(sizes)
    if total == 0:
        raise EmptyDataError(f"the data set is empty: {len(objects)} objects without content")
    if n_ranges is None:
        n_ranges = min(-(-total // RANGE_BYTES), MAX_RANGES)
    if not 1 <= n_ranges <= MAX_RANGES:
        raise ValueError(f"n_ranges is 1 to {MAX_RANGES}, not {n_ranges}")
    n_ranges = min(n_ranges, total)
    ends = [total * task // n_ranges for task in range(n_ranges + 1)]
    tasks = (_overlaps(sizes, cuts, first, behind) for first, behind in pairwise(ends))
    return [parts for parts in tasks if parts]


def _overlaps(
    sizes: Sequence[int], cuts: Sequence[Cut], first: int, behind: int
) -> tuple[ByteRange, ...]:
    parts = []
    offsets = accumulate(sizes, initial=0)  # of the objects in the data set
    for index, (size, cut, offset) in enumerate(zip(sizes, cuts, offsets, strict=False)):
        start = max(first - offset, 0)
        stop = min(behind - offset, size)
        if cut is Cut.NOWHERE:
            stop = size if start == 0 < stop else 0
        if start < stop:
            parts.append(ByteRange(index, start, stop))
    return tuple(parts)
