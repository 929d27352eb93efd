"""Reads pieces in part: the rows of some buckets."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import DamagedValueError
from stepml.ml.data import arrays
from stepml.ml.data.manifest import Piece
from stepml.ml.data.objects import ObjectReader
from stepml.ml.data.row_ids import N_BUCKETS, RowIds

# Two requests of 2 MB, and five times as much for the places of the pairs.
REQUEST_PAIRS = 2**19
# Enough for the header and the one or two indices of 4097 × 8 bytes.
_PREFIX_BYTES = 80 * 1024

Counts = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of a piece that lie in some buckets."""

    reader: ObjectReader
    piece: Piece
    places: dict[str, arrays.ArrayPlace]
    first: int  # row in the piece
    behind: int
    pairs: tuple[int, int]  # first pair and one behind the last; (0, 0) for dense pieces
    request_pairs: int = REQUEST_PAIRS  # pairs in a request, at most

    @classmethod
    def of(
        cls, reader: ObjectReader, piece: Piece, first: int, behind: int, request_pairs: int
    ) -> Slice:
        """Return the rows in the buckets ``[first, behind)``.

        Raises
        ------
        DamagedValueError
            The piece is not the one that the manifest names.
        """
        prefix = _read(reader, piece, 0, min(_PREFIX_BYTES, piece.value_bytes))
        found = arrays.header(prefix)
        names_ids = "ids" in found.places and found.places["ids"].shape == (piece.n_rows,)
        if not names_ids or found.value_bytes != piece.value_bytes:
            raise DamagedValueError(f"the piece {piece.key} is not the one that the manifest names")
        rows = _index(prefix, found.places["buckets"], first, behind)
        pairs = (0, 0)
        if "offsets" in found.places:
            pairs = _index(prefix, found.places["offsets"], first, behind)
        return cls(reader, piece, found.places, *rows, pairs, request_pairs)

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.behind - self.first

    def ids(self) -> RowIds:
        """Return the id of each row, ascending."""
        return self.load("ids", self.first, self.behind)

    def labels(self) -> NDArray[np.float32]:
        """Return the label of each row; the code of its class if labels are no numbers."""
        labels: NDArray[np.float32] = self.load("y", self.first, self.behind)
        if not self.piece.label_codes:
            return labels
        codes = np.array(self.piece.label_codes, np.float32)
        if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(codes):
            raise DamagedValueError(f"a label of the piece {self.piece.key} is damaged")
        return codes[labels.astype(np.intp)]

    def counts(self) -> Counts:
        """Return the pairs of each row; 0 for dense pieces."""
        if "counts" not in self.places:
            return np.zeros(self.n_rows, np.uint32)
        counts = self.load("counts", self.first, self.behind)
        if counts.sum(dtype=np.int64) != self.pairs[1] - self.pairs[0]:
            raise DamagedValueError(f"the index of the piece {self.piece.key} is damaged")
        return counts

    def load(self, name: str, first: int, behind: int) -> arrays.Array:
        """Return the elements ``[first, behind)`` of one of the piece's arrays."""
        place = self.places[name]
        data = _read(self.reader, self.piece, *place.rows(first, behind))
        return np.frombuffer(data, place.dtype).reshape(behind - first, *place.shape[1:])


def slices_of(
    threads: Executor,
    reader: ObjectReader,
    pieces: Sequence[Piece],
    first: int,
    behind: int,
    request_pairs: int = REQUEST_PAIRS,
) -> list[Slice]:
    """Return the rows of all pieces in the buckets ``[first, behind)``, piece by piece.

    Pieces without such rows are left out. Errors as of `Slice.of`.
    """
    found = threads.map(lambda piece: Slice.of(reader, piece, first, behind, request_pairs), pieces)
    return [each for each in found if each.n_rows]


def _index(prefix: bytes, place: arrays.ArrayPlace, first: int, behind: int) -> tuple[int, int]:
    starts = np.frombuffer(prefix, place.dtype, N_BUCKETS + 1, place.start)
    return int(starts[first]), int(starts[behind])


def _read(reader: ObjectReader, piece: Piece, start: int, stop: int) -> bytes:
    data = reader.load_range(piece.key, start, stop)
    if len(data) != stop - start:
        raise DamagedValueError(
            f"the piece {piece.key} ends at byte {start + len(data)} instead of {piece.value_bytes}"
        )
    return data
