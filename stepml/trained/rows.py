"""Converts arrays, lists, tables and sparse matrices to matrices, block by block.

SciPy is not imported: its matrices are recognised by their methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stepml.ml.data.remainders import Remainders, remainders_of
from stepml.ml.matrices import CsrMatrix, Floats, Matrix
from stepml.trained.columns import Columns
from stepml.trained.frames import frame_of
from stepml.trained.numbers import NUMBERS, numbers


class BlockSizes(NamedTuple):
    """The rows that become a matrix at a time."""

    values: int = 2**20  # of a dense block: 4 MB as float32
    rows: int = 2**14  # of a sparse block, which is a view


STANDARD = BlockSizes()


class Block(NamedTuple):
    """Some rows."""

    X: Matrix
    remainders: Remainders | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with the right number of features, converted a slice at a time."""

    n_rows: int
    n_features: int
    take: Callable[[slice], Any]  # an array of any real type, or a CSR matrix of one
    title: Callable[[int], str]  # names a feature in messages

    def blocks(
        self, *, sparse: bool = True, sizes: BlockSizes = STANDARD, fine: Sequence[int] = ()
    ) -> Iterator[Block]:
        """Yield all rows in blocks, at least one; dense blocks unless ``sparse``.

        Dense blocks have the remainders of the features ``fine``.

        Raises
        ------
        ValueError
            A value is infinite or too large for float32.
        """
        first = self.take(slice(0, 0))
        is_sparse = sparse and isinstance(first, CsrMatrix)
        step = sizes.rows if is_sparse else max(1, sizes.values // self.n_features)
        for start in range(0, max(1, self.n_rows), step):
            taken = self.take(slice(start, start + step))
            if not is_sparse:
                taken = dense(taken)
            block = _single(taken)
            self._require_finite(block, start)
            yield Block(block, _remainders(taken, fine))

    def _require_finite(self, block: Matrix, start: int) -> None:
        values = block.values[block.pairs] if isinstance(block, CsrMatrix) else block
        if np.isinf(values).any():
            row, feature = place_of(block, np.isinf)
            raise ValueError(
                f"X has a value in row {start + row} that is infinite or too large for float32: "
                f"{self.title(feature)}"
            )


def rows_of(
    X: Any,
    n_features: int,
    feature_names: Sequence[str] = (),
    image_shape: Sequence[int] = (),
    others: Sequence[str] = (),
) -> Rows:
    """Return the rows of ``X``.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or (n_samples, *image_shape)
        An array, nested lists, a sparse matrix, or a table, see `stepml.trained.frames`. The
        columns of a table are found by their names if both have names.
    n_features : int
    feature_names : sequence of str
        Empty if there are none.
    image_shape : sequence of int
        Of a row, (channels, height, width); empty if rows are no images.
    others : sequence of str
        Names of columns that may be there beside the features.

    Raises
    ------
    ValueError
        ``X`` is no matrix of numbers with these features.
    """
    title = _title(feature_names)
    if isinstance(X, CsrMatrix) or hasattr(X, "tocsr"):
        matrix = X if isinstance(X, CsrMatrix) else _csr(X)
        require_width(matrix.n_features, n_features)
        return Rows(len(matrix), n_features, matrix.__getitem__, title)
    frame = frame_of(X)
    if frame is not None:
        columns = Columns(frame, feature_names, others)
        require_width(len(columns.places), n_features)
        return Rows(len(columns), n_features, columns.__getitem__, title)
    table = _table(X, image_shape)
    require_width(table.shape[1], n_features)
    return Rows(len(table), n_features, table.__getitem__, title)


def require_width(found: int, expected: int) -> None:
    """Raise `ValueError` unless the number of features is as ``expected``."""
    if found != expected:
        raise ValueError(f"the model has {expected} features, X has {found}")


def dense(X: Any) -> npt.NDArray[Any]:
    """Return a matrix of any real type as a dense one; itself if it is one."""
    if not isinstance(X, CsrMatrix):
        return np.asarray(X)
    result = np.zeros(X.shape, X.values.dtype)
    for rows, block in X.blocks():
        places = np.repeat(np.arange(rows.start, rows.stop), block.counts)
        result[places, block.columns] = block.values[block.pairs]
    return result


def place_of(X: Matrix, test: Callable[[Floats], npt.NDArray[np.bool_]]) -> tuple[int, int]:
    """Return row and feature of the first value that passes ``test``; one has to pass."""
    if isinstance(X, CsrMatrix):
        pair = int(np.flatnonzero(test(X.values[X.pairs]))[0])
        starts = X.indptr - X.indptr[0]
        return int(np.searchsorted(starts, pair, side="right")) - 1, int(X.indices[X.pairs][pair])
    row, feature = np.argwhere(test(X))[0].tolist()
    return row, feature


def _title(names: Sequence[str]) -> Callable[[int], str]:
    return lambda feature: f"feature {feature}" + (f" ({names[feature]!r})" if names else "")


def _csr(X: Any) -> CsrMatrix:
    csr = X.tocsr()
    if csr.ndim != 2:
        raise ValueError(f"expected X of shape (n_samples, n_features), got {csr.shape}")
    if csr.dtype.kind not in NUMBERS:
        raise ValueError(f"expected numbers, got a sparse matrix of {csr.dtype}")
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()  # and sorts each row
    indptr, indices = csr.indptr.astype(np.int64), csr.indices.astype(np.int32)
    return CsrMatrix(indptr, indices, csr.data, int(csr.shape[1]))


def _table(X: Any, image_shape: Sequence[int]) -> npt.NDArray[Any]:
    table = numbers(X)
    if image_shape:
        return _of_images(table, tuple(image_shape))
    if table.ndim == 1:
        raise ValueError(
            f"expected X of shape (n_samples, n_features), got {table.shape}; one row is "
            "X.reshape(1, -1), one feature X.reshape(-1, 1)"
        )
    if table.ndim != 2:
        raise ValueError(f"expected X of shape (n_samples, n_features), got {table.shape}")
    return table


def _of_images(images: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return images, which may be rows already, as rows."""
    n_channels, *sides = shape
    shapes = [(prod(shape),), shape, *([tuple(sides)] if n_channels == 1 else [])]
    if images.shape[1:] not in shapes:
        expected = " or ".join(f"({', '.join(map(str, ('n_samples', *each)))})" for each in shapes)
        one = "; one image is X[np.newaxis]" if images.shape in shapes else ""
        raise ValueError(f"expected X of shape {expected}, got {images.shape}{one}")
    return images.reshape(len(images), prod(shape))


def _single(X: Any) -> Matrix:
    if not isinstance(X, CsrMatrix):
        return _float32(X)
    return replace(X, values=_float32(X.values)) if X.values.dtype != np.float32 else X


def _remainders(X: Any, fine: Sequence[int]) -> Remainders | None:
    if not len(fine) or isinstance(X, CsrMatrix):
        return None
    features = np.array(fine, np.int64)
    return Remainders(features, remainders_of(X[:, features]))


def _float32(values: npt.NDArray[Any]) -> Floats:
    with np.errstate(over="ignore"):  # becomes infinite, which is refused with its place
        converted: Floats = np.ascontiguousarray(values, np.float32)
    return converted
