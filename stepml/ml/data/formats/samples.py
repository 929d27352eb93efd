"""The first rows of a data set, by which fine features are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.formats.rows import DenseRows, SparseRows
from stepml.ml.data.objects import DataObject
from stepml.ml.data.ranges import ByteRange
from stepml.ml.data.remainders import ENOUGH_ROWS

Sample = list[DenseRows | SparseRows]

SAMPLE_REQUEST_BYTES = 64 * 1024
# Each range task reads the sample.
_MOST_BYTES = 2**20  # of wide rows, and of an object
SAMPLED_OBJECTS = 8


def first_rows(
    read: Callable[[ByteRange], Iterator[DenseRows | SparseRows]],
    objects: Sequence[DataObject],
    numbers: Sequence[int],
) -> Sample:
    """Return the first blocks of rows: at least 100 rows, or fewer of small or wide data.

    Parameters
    ----------
    read : callable
        Reads the rows of a part.
    objects : sequence of DataObject
    numbers : sequence of int
        The objects that may have rows, of which the first 8 with content count.
    """
    sample: Sample = []
    filled = [number for number in numbers if objects[number].value_bytes][:SAMPLED_OBJECTS]
    for number in filled:
        for rows in read(ByteRange(number, 0, min(objects[number].value_bytes, _MOST_BYTES))):
            sample.append(rows)
            if _is_enough(sample):
                return sample
    return sample


def _is_enough(sample: Sample) -> bool:
    n_rows = sum(len(rows.y) for rows in sample)
    return n_rows >= ENOUGH_ROWS or sum(rows.value_bytes for rows in sample) >= _MOST_BYTES


def stored_everywhere(sample: Sample) -> tuple[int, ...]:
    """Return the features with a pair in each row of a sparse sample; others are 0 somewhere."""
    stored = [rows.indices for rows in sample if isinstance(rows, SparseRows)]
    if not stored:
        return ()
    features, counts = np.unique(np.concatenate(stored), return_counts=True)
    return tuple(features[counts == sum(len(rows.y) for rows in sample)].tolist())


def exact_values(sample: Sample, features: Sequence[int]) -> NDArray[np.float64]:
    """Return the values of ``features``, the layout's fine ones, (n_rows, n_features).

    Sparse rows have a pair of each of them.
    """
    return np.concatenate([_exact(rows, features) for rows in sample])


def _exact(rows: DenseRows | SparseRows, features: Sequence[int]) -> NDArray[np.float64]:
    rest = rows.remainders
    assert rest is not None
    if isinstance(rows, DenseRows):
        return np.add(rows.X[:, features], rest, dtype=np.float64)
    values = np.add(rows.values, rest, dtype=np.float64)
    return values[np.isin(rows.indices, features)].reshape(len(rows.y), len(features))
