"""Row ids: the position of a row in the shuffled order of its data set."""

from __future__ import annotations

import numpy as np
import xxhash
from numpy.typing import NDArray

RowIds = NDArray[np.uint64]

BUCKET_BITS = 12
N_BUCKETS = 1 << BUCKET_BITS

# The finaliser of splitmix64 (Steele, Lea, Flood, 2014; variant 13 of Stafford): a bijection.
_STEPS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_LAST_SHIFT = np.uint64(31)
_HALF = np.uint64(1 << 63)
_BUCKET_SHIFT = np.uint64(64 - BUCKET_BITS)


def object_salt(name: str, seed: int) -> int:
    """Return a number that makes an object's row ids differ from those of other objects."""
    return xxhash.xxh3_64_intdigest(name.encode(), seed=seed & (2**64 - 1))


def row_ids(offsets: NDArray[np.int64], salt: int) -> RowIds:
    """Return the ids of the rows at ``offsets`` of one object (in some formats: row numbers).

    Rows of one object have different ids. Rows of different objects may have the same id, and are
    then ordered by object.
    """
    ids = offsets.astype(np.uint64)
    ids += np.uint64(salt)
    return mixed(ids)


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Replace each number, in place, by one that looks random; different ones stay different."""
    for shift, factor in _STEPS:
        numbers ^= numbers >> shift
        numbers *= factor
    numbers ^= numbers >> _LAST_SHIFT
    return numbers


def in_two_halves(ids: RowIds, is_first: NDArray[np.bool_] | bool) -> RowIds:
    """Return ids by which the rows that are first, of which all may be, come before all others."""
    halves: RowIds = (ids >> np.uint64(1)) | np.where(is_first, np.uint64(0), _HALF)
    return halves


def in_second_half(ids: RowIds) -> NDArray[np.bool_]:
    """Return which ids of `in_two_halves` are those of rows that come last."""
    return ids >= _HALF


def buckets(ids: RowIds) -> NDArray[np.intp]:
    """Return the bucket of each id: its top 12 bits."""
    return (ids >> _BUCKET_SHIFT).astype(np.intp)
