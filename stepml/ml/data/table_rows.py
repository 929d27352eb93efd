"""Raw rows in the pieces of a table → features in a shard."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.encoding import Encoder, RawRows
from stepml.ml.data.shards import Shard
from stepml.ml.data.slices import Slice
from stepml.ml.matrices import CsrMatrix

_BLOCK_BYTES = 8 * 2**20

Targets = NDArray[np.intp]


def encode_rows(part: Slice, targets: Targets, shard: Shard, encoder: Encoder) -> None:
    """Write the features of some rows of a piece into a shard.

    Parameters
    ----------
    part : Slice
    targets : array of shape (n_rows,)
        The place of each row in the shard; -1: it is outside.
    shard : Shard
        Written in place: ``X`` and the remainders.
    encoder : Encoder
    """
    width = encoder.n_pairs if isinstance(shard.X, CsrMatrix) else encoder.n_features
    step = max(1, _BLOCK_BYTES // (4 * width))
    for first in range(0, part.n_rows, step):
        chosen = targets[first : first + step]
        inside = chosen >= 0
        if not inside.any():
            continue
        rows = _raw_rows(part, first, first + len(chosen), inside)
        _write(rows, chosen[inside], shard, encoder)


def _raw_rows(part: Slice, first: int, behind: int, inside: NDArray[np.bool_]) -> RawRows:
    def load(name: str) -> NDArray[Any]:
        return part.load(name, part.first + first, part.first + behind)[inside]

    rest = load("remainders") if "remainders" in part.places else None
    n_rows = int(np.count_nonzero(inside))
    levels = load("levels") if "levels" in part.places else np.zeros((n_rows, 0), np.uint64)
    return RawRows(load("X"), levels, rest)


def _write(rows: RawRows, targets: Targets, shard: Shard, encoder: Encoder) -> None:
    X = shard.X
    if isinstance(X, CsrMatrix):
        shape = (len(X), encoder.n_pairs)
        indices, values = encoder.pairs(rows)
        X.indices.reshape(shape)[targets] = indices
        X.values.reshape(shape)[targets] = values
    else:
        X[targets] = encoder.dense(rows)
    rest = encoder.remainders(rows)
    if rest is not None and shard.remainders is not None:
        shard.remainders.values[targets] = rest
