"""Rows in memory → files that a job reads: npz of arrays and sparse matrices, Parquet of tables."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from stepml.ml.data.formats.arrow import import_arrow
from stepml.trained.frames import Frame, frame_of
from stepml.trained.numbers import unmasked

PART_BYTES = 2**25  # of the values in one file; one function reads a file
_WEIGHTS = "weight"
_TABLES = "a table of rows"  # what needs pyarrow, for messages

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Rows as files, which are made when they are asked for.

    Attributes
    ----------
    digest : str
        SHA-256 of the rows and their types, in hexadecimal digits.
    ending : str
        Of the files' names, such as ``.npz``.
    n_rows, n_bytes : int
        ``n_bytes`` is the size in memory.
    settings : dict
        The fields of a job's ``data`` that say how the files are read.
    """

    digest: str
    ending: str
    n_rows: int
    n_bytes: int
    settings: dict[str, Any]
    _starts: range
    _file: Callable[[slice], bytes] = field(repr=False)

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        return [f"part-{number:05d}{self.ending}" for number in range(len(self._starts))]

    def file(self, number: int) -> bytes:
        """Return the content of a file."""
        start = self._starts[number]
        return self._file(slice(start, start + self._starts.step))


def packed_rows(X: Any, y: Any = None, sample_weight: Any = None) -> PackedRows:
    """Return rows as files that a job reads.

    Parameters
    ----------
    X : array-like, sparse matrix or table
        Real numbers of shape (n_samples, n_features), or images of shape (n_samples, height, width)
        or (n_samples, channels, height, width); a sparse matrix of SciPy; or a table of pandas,
        polars or pyarrow, a mapping of columns or a list of rows that are mappings.
    y : array-like of shape (n_samples,), optional
        Labels: numbers, text or booleans.
    sample_weight : array-like of shape (n_samples,), optional
        Factor of each row's loss.

    Raises
    ------
    ValueError
        The shapes do not fit, or the types cannot be stored.
    """
    frame = frame_of(X)
    if frame is not None:
        return _of_frame(X, frame, y, sample_weight)
    matrix = X.tocsr() if hasattr(X, "tocsr") else np.asarray(unmasked(X))
    is_sparse = hasattr(X, "tocsr")
    _require_matrix(matrix, is_sparse)
    vectors = _vectors(len_of(matrix), y, sample_weight)
    return _of_matrix(matrix, vectors, is_sparse)


def len_of(matrix: Any) -> int:
    """Return the number of rows; sparse matrices have no length."""
    return int(matrix.shape[0])


def _vectors(n_rows: int, y: Any, sample_weight: Any) -> dict[str, Array]:
    """Return labels and weights by the names of their arrays."""
    given = {"y": y, _WEIGHTS: sample_weight}
    return {name: _vector(each, name, n_rows) for name, each in given.items() if each is not None}


def _vector(values: Any, name: str, n_rows: int) -> Array:
    what = "sample_weight" if name == _WEIGHTS else name
    array = np.asarray(unmasked(values))
    if array.shape not in ((n_rows,), (n_rows, 1)):
        raise ValueError(f"expected {what} of shape ({n_rows},), got {array.shape}")
    array = array.reshape(n_rows)
    if array.dtype.kind in "OT":
        array = _plain(array, what)
    if array.dtype.kind not in "biufU":
        raise ValueError(f"expected {what} of numbers, text or booleans, got {array.dtype}")
    if name == _WEIGHTS:
        _require_weights(array)
    return array


def _require_weights(weights: Array) -> None:
    if weights.dtype.kind not in "biuf":
        raise ValueError(f"expected sample_weight of numbers, got {weights.dtype}")
    if len(bad := weights[~(np.isfinite(weights) & (weights >= 0))]):
        raise ValueError(f"expected sample_weight of finite numbers from 0, got {bad[0]:g}")


def _plain(objects: Array, what: str) -> Array:
    """Return Python objects of one type as an array of that type."""
    kinds = {type(each) for each in objects.tolist()}
    if len(kinds) > 1 and not kinds <= {int, float}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"expected {what} of one type, got objects of {names}")
    return np.array(objects.tolist())


def _require_matrix(matrix: Any, is_sparse: bool) -> None:
    expected = (2,) if is_sparse else (2, 3, 4)
    if matrix.ndim not in expected:
        raise ValueError(f"expected X of shape (n_samples, n_features), got {matrix.shape}")
    if matrix.dtype.kind not in "biuf":
        raise ValueError(
            f"expected X of real numbers, got {matrix.dtype}; a table may have text: pass a data "
            "frame"
        )


def _of_matrix(matrix: Any, vectors: dict[str, Array], is_sparse: bool) -> PackedRows:
    if is_sparse and not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()  # and sorts each row
    arrays = (matrix.indptr, matrix.indices, matrix.data) if is_sparse else (matrix,)

    def file(rows: slice) -> bytes:
        of_rows = matrix[rows]
        named: dict[str, Any] = {name: each[rows] for name, each in vectors.items()}
        named |= _csr_arrays(of_rows) if is_sparse else {"X": np.ascontiguousarray(of_rows)}
        content = io.BytesIO()
        np.savez(content, **named)
        return content.getvalue()

    n_rows, n_bytes = len_of(matrix), sum(each.nbytes for each in arrays)
    settings = {"has_label": "y" in vectors} | _weight_settings(vectors)
    digest = _digest(f"{matrix.shape}{list(vectors)}", *arrays, *vectors.values())
    return PackedRows(digest, ".npz", n_rows, n_bytes, settings, _starts(n_rows, n_bytes), file)


def _csr_arrays(matrix: Any) -> dict[str, Array]:
    """Return the arrays of `scipy.sparse.save_npz`."""
    return {
        "data": matrix.data,
        "indices": matrix.indices,
        "indptr": matrix.indptr,
        "shape": np.array(matrix.shape),
        "format": np.array(b"csr"),
    }


def _weight_settings(vectors: dict[str, Array]) -> dict[str, Any]:
    return {"weight": _WEIGHTS} if _WEIGHTS in vectors else {}


def _starts(n_rows: int, n_bytes: int) -> range:
    """Return the first row of each file."""
    step = max(1, n_rows * PART_BYTES // max(1, n_bytes))
    return range(0, max(1, n_rows), step)


def _digest(text: str, *arrays: Array) -> str:
    digest = hashlib.sha256(text.encode())
    for each in arrays:
        digest.update(f"{each.dtype.str}{each.shape}".encode())
        digest.update(np.ascontiguousarray(each).view(np.uint8).data)
    return digest.hexdigest()


def _of_frame(X: Any, frame: Frame, y: Any, sample_weight: Any) -> PackedRows:
    pa, parquet = import_arrow("parquet", _TABLES)
    table = arrow_table(X, frame)
    names = list(table.column_names)
    settings: dict[str, Any] = {"has_label": y is not None}
    for what, values in (("weight", sample_weight), ("label", y)):  # the label last, as usual
        if values is not None:
            name = _new_name(getattr(values, "name", None), what, names)
            vector = _vector(values, "y" if what == "label" else _WEIGHTS, table.num_rows)
            table = table.append_column(name, pa.array(vector))
            names.append(name)
            settings[what] = name

    def file(rows: slice) -> bytes:
        content = pa.BufferOutputStream()
        parquet.write_table(table.slice(rows.start, rows.stop - rows.start), content)
        return bytes(content.getvalue())

    starts = _starts(table.num_rows, table.nbytes)
    files = [file(slice(start, start + starts.step)) for start in starts]
    digest = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in files)).hexdigest()
    made = dict(zip(starts, files, strict=True))
    return PackedRows(
        digest,
        ".parquet",
        table.num_rows,
        table.nbytes,
        settings,
        starts,
        lambda rows: made[rows.start],
    )


def _new_name(own: Any, usual: str, taken: list[str]) -> str:
    """Return a name for a column beside those that are ``taken``."""
    if isinstance(own, str) and own and own not in taken:
        return own
    name = usual
    while name in taken:
        name += "_"
    return name


def arrow_table(X: Any, frame: Frame) -> Any:
    """Return a table of Arrow without an index.

    Raises
    ------
    ValueError
        Names are not text or appear twice, or a column has values of several types.
    """
    pa, _ = import_arrow("parquet", _TABLES)
    if not all(isinstance(name, str) for name in frame.names):
        raise ValueError(f"expected names of columns that are strings, got {frame.names[:8]}")
    if len(set(frame.names)) < len(frame.names):
        raise ValueError(f"expected names of columns that differ, got {frame.names[:8]}")
    try:
        table = _converted(X, frame)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError) as error:
        reason = " ".join(str(each) for each in error.args)
        raise ValueError(f"the table cannot be stored as Parquet: {reason}") from error
    return table.replace_schema_metadata(None)


def _converted(X: Any, frame: Frame) -> Any:
    pa, _ = import_arrow("parquet", _TABLES)
    if isinstance(X, pa.Table):
        return X
    if hasattr(X, "iloc"):
        return pa.Table.from_pandas(X, preserve_index=False)
    if hasattr(X, "to_arrow"):
        return X.to_arrow()
    everything = slice(0, len(frame))
    columns: Iterator[Any] = (frame.array(place, everything) for place in range(len(frame.names)))
    return pa.table(
        {n: pa.array(c, from_pandas=True) for n, c in zip(frame.names, columns, strict=True)}
    )
