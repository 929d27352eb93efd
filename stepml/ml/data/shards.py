"""Shards: the rows of one rank, packed into a container."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import DamagedValueError
from stepml.ml.data import arrays
from stepml.ml.data.moments import ROWS
from stepml.ml.data.objects import Buffer
from stepml.ml.data.remainders import Remainders, is_ascending_below
from stepml.ml.data.scaling import Scale, scale_in_place
from stepml.ml.matrices import CsrMatrix, Matrix

_DENSE = {"X": 2, "y": 1}  # arrays and their dimensions
_FINE = {"fine": 1, "remainders": 2}
_WEIGHTS = {"weights": 1}
_SPARSE = {"indptr": 1, "indices": 1, "values": 1, "y": 1}
_I64, _I32, _F32 = np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.float32)
_U8 = np.dtype(np.uint8)
_DTYPES = {
    **dict.fromkeys(("X", "y", "values", "remainders", "weights"), _F32),
    **dict.fromkeys(("indptr", "fine"), _I64),
    "indices": _I32,
}


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows of one rank, or of validation."""

    X: Matrix  # (n_samples, n_features); if dense, C-contiguous, and uint8 in a shard of bytes
    y: NDArray[np.float32]  # (n_samples,)
    packed: Buffer | None = None  # the container, if X and y are views of one
    remainders: Remainders | None = None  # of dense rows with fine features
    weights: NDArray[np.float32] | None = None  # (n_samples,) of the rows' losses

    @property
    def value_bytes(self) -> int:
        """The memory of the shard; views hold their whole container."""
        if self.packed is not None:
            return memoryview(self.packed).nbytes
        rest = 0 if self.remainders is None else self.remainders.values.nbytes
        rest += 0 if self.weights is None else self.weights.nbytes
        return self.X.nbytes + self.y.nbytes + rest


def empty_dense(
    n_rows: int,
    n_features: int,
    rows: str = "",
    *,
    fine: Sequence[int] = (),
    as_bytes: bool = False,
    weighted: bool = False,
) -> Shard:
    """Return a dense shard of zeros in its container, to be filled in place.

    ``rows`` names its rows, ``fine`` the features with remainders. Values are uint8 if
    ``as_bytes``, otherwise float32. Rows have weights if ``weighted``.
    """
    shapes: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
        "X": (_U8 if as_bytes else _F32, (n_rows, n_features)),
        "y": (_F32, (n_rows,)),
    }
    shapes |= _optional_shapes(n_rows, len(fine), weighted=weighted)
    packed, views = arrays.allocate(shapes, {ROWS: rows})
    if fine:
        views["fine"][:] = fine
    X, y = views["X"], views["y"]
    return Shard(X, y, packed, _remainders(views, X.shape), views.get("weights"))


def empty_sparse(
    counts: NDArray[np.int64],
    n_features: int,
    rows: str = "",
    *,
    fine: Sequence[int] = (),
    weighted: bool = False,
) -> Shard:
    """Return a sparse shard whose rows have ``counts`` pairs; otherwise as `empty_dense`.

    The features ``fine`` are stored in each row.
    """
    nnz, n_rows = int(counts.sum()), len(counts)
    shapes: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
        "indptr": (_I64, (n_rows + 1,)),
        "indices": (_I32, (nnz,)),
        "values": (_F32, (nnz,)),
        "y": (_F32, (n_rows,)),
    }
    shapes |= _optional_shapes(n_rows, len(fine), weighted=weighted)
    packed, views = arrays.allocate(shapes, {"n_features": str(n_features), ROWS: rows})
    if fine:
        views["fine"][:] = fine
    np.cumsum(counts, out=views["indptr"][1:])
    X = CsrMatrix(views["indptr"], views["indices"], views["values"], n_features)
    return Shard(X, views["y"], packed, _remainders(views, X.shape), views.get("weights"))


def _optional_shapes(
    n_rows: int, n_fine: int, *, weighted: bool
) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    shapes: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
    if n_fine:
        shapes |= {"fine": (_I64, (n_fine,)), "remainders": (_F32, (n_rows, n_fine))}
    if weighted:
        shapes["weights"] = (_F32, (n_rows,))
    return shapes


def pack_shard(shard: Shard) -> Buffer:
    """Return the shard as a container of arrays, without a copy if it is in one already.

    ==============  =====  ============================================
    ``X``           f32    (n, n_features), or u8 of bytes        dense
    ``indptr``      i64    (n + 1,) start of each row's pairs     sparse
    ``indices``     i32    (nnz,) feature of each pair            sparse
    ``values``      f32    (nnz,)                                 sparse
    ``y``           f32    (n,) labels
    ``fine``        i64    (n_fine,) features with remainders; stored in each sparse row
    ``remainders``  f32    (n, n_fine)
    ``weights``     f32    (n,) if rows have weights
    ==============  =====  ============================================

    The metadata of a sparse shard have ``n_features``; those of an assembled one name its ``rows``.
    """
    if isinstance(shard.packed, bytearray):  # its content may have changed
        return arrays.seal(shard.packed)
    if shard.packed is not None:
        return shard.packed
    X = shard.X
    if not isinstance(X, CsrMatrix):
        return arrays.pack({"X": X, "y": shard.y} | _named_options(shard))
    pairs = {"indices": X.indices[X.pairs], "values": X.values[X.pairs]}
    named: dict[str, arrays.Array] = {"indptr": X.indptr - X.indptr[0], **pairs, "y": shard.y}
    return arrays.pack(named | _named_options(shard), {"n_features": str(X.n_features)})


def _named_options(shard: Shard) -> dict[str, arrays.Array]:
    rest, weights = shard.remainders, shard.weights
    named: dict[str, arrays.Array] = {} if weights is None else {"weights": weights}
    if rest is not None:
        named |= {"fine": rest.features, "remainders": rest.values}
    return named


def unpack_shard(data: Buffer, scale: Scale | None = None, rows: str | None = None) -> Shard:
    """Return the shard of a container, as read-only views of ``data``.

    Parameters
    ----------
    data : bytes-like
    scale : Scale, optional
        Applied to the rows in place; ``data`` must then be writable.
    rows : str, optional
        The name of the rows that the shard must have.

    Raises
    ------
    DamagedValueError
        ``data`` is not a packed shard, or has other rows.
    """
    shard = _unpacked(data)
    if rows is not None:
        arrays.require_metadata(data, ROWS, rows)
    if scale is not None:
        scale_in_place(_unpacked(data, writable=True).X, scale, shard.remainders)
    return shard


def _unpacked(data: Buffer, *, writable: bool = False) -> Shard:
    views, metadata = arrays.unpack(data, writable=writable)
    is_sparse = "indptr" in views
    shape = (_SPARSE if is_sparse else _DENSE) | (_FINE if "fine" in views else {})
    shape |= _WEIGHTS if "weights" in views else {}
    if {name: view.ndim for name, view in views.items()} != shape or any(
        not _has_dtype(name, view) for name, view in views.items()
    ):
        raise DamagedValueError(f"a container with the arrays {', '.join(views)} is not a shard")
    X = _sparse_matrix(views, metadata) if is_sparse else views["X"]
    if len(views["y"]) != len(X):
        raise DamagedValueError(f"a shard has {len(views['y'])} labels for {len(X)} rows")
    weights = views.get("weights")
    if weights is not None and len(weights) != len(X):
        raise DamagedValueError(f"a shard has {len(weights)} weights for {len(X)} rows")
    return Shard(X, views["y"], data, _remainders(views, X.shape), weights)


def _has_dtype(name: str, view: arrays.Array) -> bool:
    return view.dtype == _DTYPES[name] or (name == "X" and view.dtype == _U8)


def _remainders(views: dict[str, arrays.Array], shape: tuple[int, ...]) -> Remainders | None:
    if "fine" not in views:
        return None
    fine, values = views["fine"], views["remainders"]
    if values.shape != (shape[0], len(fine)) or not is_ascending_below(fine, shape[1]):
        raise DamagedValueError("the remainders of a shard do not belong to its rows")
    return Remainders(fine, values)


def _sparse_matrix(views: dict[str, arrays.Array], metadata: dict[str, str]) -> CsrMatrix:
    """Return the matrix after checking its indices, because arithmetic does not check them."""
    indptr, indices, values = views["indptr"], views["indices"], views["values"]
    width = metadata.get("n_features", "")
    if not (
        width.isdecimal()
        and len(indptr) >= 1
        and indptr[0] == 0
        and indptr[-1] == len(indices) == len(values)
        and (indptr[1:] >= indptr[:-1]).all()
        and indices.min(initial=0) >= 0
        and indices.max(initial=-1) < int(width)
    ):
        raise DamagedValueError("a sparse shard has rows or indices beyond its arrays")
    return CsrMatrix(indptr, indices, values, int(width))
