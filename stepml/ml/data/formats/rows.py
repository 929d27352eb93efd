"""What parsers return and raise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# Rows that do not parse tend to have one cause: a few are enough to see it.
MAX_SAMPLES = 5
# A range task, which has 3 GB, holds a row up to ten times: as it is written, sorted, as float32
# and in a piece. So this is less than a shard may take.
MAX_ROW_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class DenseRows:
    """Rows with a value for every feature."""

    offsets: NDArray[np.int64]  # of each row's line in its object; where no lines are: its number
    y: NDArray[np.float32]  # (n_rows,) labels
    X: NDArray[np.float32]  # (n_rows, n_features); may be a view that is not contiguous

    @property
    def value_bytes(self) -> int:
        """The size of the rows in a piece."""
        return 12 * len(self.y) + self.X.nbytes


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Rows of index and value pairs, one row's after the other's."""

    offsets: NDArray[np.int64]  # of each row's line in its object; where no lines are: its number
    y: NDArray[np.float32]  # (n_rows,) labels
    counts: NDArray[np.uint32]  # (n_rows,) pairs of each row
    indices: NDArray[np.uint32]  # (nnz,) 0-based, ascending within a row
    values: NDArray[np.float32]  # (nnz,)

    @property
    def value_bytes(self) -> int:
        """The size of the rows in a piece."""
        return 16 * len(self.y) + 8 * len(self.values)


@dataclass(slots=True)
class Skipped:
    """The rows that a row source has left out so far, and what is wrong with the first ones."""

    count: int = 0  # rows
    samples: list[str] = field(default_factory=list)  # of at most 5: where it is and what is wrong

    @property
    def wanted_samples(self) -> int:
        """How many more samples are kept."""
        return MAX_SAMPLES - len(self.samples)


class MalformedRowError(ValueError):
    """A row that does not parse; the reader adds the object and the line number.

    Attributes
    ----------
    offset : int
        Of the row's line in its object.
    problem : str
        What is wrong, with the row's content.
    """

    def __init__(self, offset: int, problem: str, line: bytes) -> None:
        self.offset = offset
        self.problem = f"{problem}: {shortened(line)!r}"
        super().__init__(self.problem)


def shortened(text: bytes, limit: int = 80) -> str:
    """Return ``text`` for a message: at most ``limit`` characters, whatever its bytes are."""
    # An undecodable byte becomes four characters, so the cut comes after the decoding.
    decoded = text[: 4 * limit].decode("utf-8", "backslashreplace")
    return decoded if len(decoded) <= limit else decoded[: limit - 1] + "…"
