"""Results and errors of parsers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.remainders import Ends

# Bad rows usually have one cause, so a few samples are enough.
MAX_SAMPLES = 5
# A range task has 3 GB and may need a row's memory ten times: as text, sorted, as float32, in a
# piece. So the limit is below that of a shard.
MAX_ROW_BYTES = 256 * 2**20

Values = NDArray[np.float32] | NDArray[np.uint8]
"""Values of dense rows: bytes, where the data have bytes."""

VALIDATES = "1 (the row validates) or 0 (it does not), or data.validation.after"


@dataclass(frozen=True, slots=True)
class DenseRows:
    """Rows with a value for every feature."""

    offsets: NDArray[np.int64]  # of each row's line in its object; without lines: its number
    y: NDArray[np.float32]  # (n_rows,) labels
    X: Values  # (n_rows, n_features); may be a view that is not contiguous
    written: NDArray[np.float64] | None = None  # labels in the data; None: they equal ``y``
    n_missing: int = 0  # values of features that will be filled in
    remainders: NDArray[np.float32] | None = None  # (n_rows, n_fine) of the layout's fine features
    validates: NDArray[np.bool_] | None = None  # (n_rows,) if a column says so …
    validation_ends: Ends = None  # … and the ends of its values
    levels: NDArray[np.uint64] | None = None  # (n_rows, n_categories) of a table, hashed
    weights: NDArray[np.float32] | None = None  # (n_rows,) of the rows' losses

    @property
    def value_bytes(self) -> int:
        """The size of the rows in a piece."""
        beside = (self.remainders, self.levels, self.weights)
        rest = sum(each.nbytes for each in beside if each is not None)
        return 12 * len(self.y) + self.X.nbytes + rest


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Rows of index and value pairs; the pairs of all rows in sequence."""

    offsets: NDArray[np.int64]  # of each row's line in its object; without lines: its number
    y: NDArray[np.float32]  # (n_rows,) labels
    counts: NDArray[np.uint32]  # (n_rows,) pairs of each row
    indices: NDArray[np.uint32]  # (nnz,) 0-based, ascending within a row
    values: NDArray[np.float32]  # (nnz,)
    written: NDArray[np.float64] | None = None  # labels in the data; None: they equal ``y``
    n_missing: int = 0  # values of features that will be filled in
    remainders: NDArray[np.float32] | None = None  # (nnz,) 0 unless the feature is fine
    validates: None = None  # there are no columns that could say so
    validation_ends: None = None
    weights: NDArray[np.float32] | None = None  # (n_rows,) of the rows' losses

    @property
    def value_bytes(self) -> int:
        """The size of the rows in a piece."""
        beside = (self.remainders, self.weights)
        rest = sum(each.nbytes for each in beside if each is not None)
        return 16 * len(self.y) + 8 * len(self.values) + rest


def without_columns(table: NDArray[Any], columns: Sequence[int]) -> NDArray[Any]:
    """Return ``table`` without some columns, ascending; without the last one, a view."""
    last = table.shape[1] - 1
    if list(columns) == [last]:
        return table[:, :last]
    return np.delete(table, columns, axis=1) if columns else table


def unless_equal(labels: NDArray[Any], y: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Return ``labels`` as float64, or None if they equal ``y``, their float32."""
    doubles = labels.astype(np.float64)
    return None if np.array_equal(doubles, y) else doubles


def written_labels(rows: DenseRows | SparseRows) -> NDArray[np.float64]:
    """Return the labels as the data have them."""
    return rows.y.astype(np.float64) if rows.written is None else rows.written


@dataclass(slots=True)
class Skipped:
    """The rows that a row source has skipped so far, and messages about the first ones."""

    count: int = 0  # rows
    samples: list[str] = field(
        default_factory=list
    )  # messages about at most 5 rows: place and problem

    @property
    def wanted_samples(self) -> int:
        """Number of further samples to collect."""
        return MAX_SAMPLES - len(self.samples)


class MalformedRowError(ValueError):
    """A row does not parse; the reader adds the object and the line number.

    Attributes
    ----------
    offset : int
        Of the row's line in its object.
    problem : str
        The problem, with the row's content.
    """

    def __init__(self, offset: int, problem: str, line: bytes) -> None:
        self.offset = offset
        self.problem = f"{problem}: {shortened(line)!r}"
        super().__init__(self.problem)


def shortened(text: bytes, limit: int = 80) -> str:
    """Return ``text`` for a message: at most ``limit`` characters, for any bytes."""
    # Cut after decoding, because an undecodable byte becomes four characters.
    decoded = text[: 4 * limit].decode("utf-8", "backslashreplace")
    return decoded if len(decoded) <= limit else decoded[: limit - 1] + "…"
