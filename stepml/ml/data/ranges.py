"""Byte ranges: how a data set's objects are cut among range tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stepml.job.errors import EmptyDataError
from stepml.ml.data.objects import DataObject

# An Inline Map runs 40 iterations at once; more ranges would queue.
MAX_RANGES = 40
RANGE_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of an object; the lines that start in it belong to it."""

    object_index: int
    start: int  # first byte
    stop: int  # byte behind the last


def plan_ranges(
    objects: Sequence[DataObject], n_ranges: int | None = None
) -> list[tuple[ByteRange, ...]]:
    """Return the byte ranges of each range task: about equally many bytes, in object order.

    Parameters
    ----------
    objects : sequence of DataObject
    n_ranges : int, optional
        1 to 40 tasks; by default one for each 16 MB. A data set of fewer bytes gets fewer.

    Raises
    ------
    EmptyDataError
        If the objects hold no bytes.
    """
    total = sum(each.value_bytes for each in objects)
    if total == 0:
        raise EmptyDataError(f"the data set is empty: {len(objects)} objects without content")
    if n_ranges is None:
        n_ranges = min(-(-total // RANGE_BYTES), MAX_RANGES)
    if not 1 <= n_ranges <= MAX_RANGES:
        raise ValueError(f"n_ranges is 1 to {MAX_RANGES}, not {n_ranges}")
    n_ranges = min(n_ranges, total)
    cuts = [total * task // n_ranges for task in range(n_ranges + 1)]
    return [_overlaps(objects, first, behind) for first, behind in pairwise(cuts)]


def _overlaps(objects: Sequence[DataObject], first: int, behind: int) -> tuple[ByteRange, ...]:
    parts = []
    offset = 0  # of the object in the data set
    for index, each in enumerate(objects):
        start = max(first - offset, 0)
        stop = min(behind - offset, each.value_bytes)
        if start < stop:
            parts.append(ByteRange(index, start, stop))
        offset += each.value_bytes
    return tuple(parts)
