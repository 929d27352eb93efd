"""The preparation of rows for training: missing values are filled in, features are scaled."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data import arrays
from stepml.ml.data.moments import Features, Floats32, Floats64, Moments, no_features, row_blocks
from stepml.ml.data.objects import Buffer
from stepml.ml.data.remainders import Remainders
from stepml.ml.matrices import CsrMatrix, Matrix

_OPTIONAL = ("fine", "fine_mean", "fine_fill", "moved")


@dataclass(frozen=True, slots=True)
class Scale:
    """The preparation of rows for training: ``((x or fill) - mean) / scale``.

    The difference is that of float32 numbers. Only of fine features, whose remainders count, it is
    that of float64 numbers.
    """

    fill: Floats32  # (n_features,) replaces missing values (NaN); NaN where none may be missing
    mean: Floats32  # (n_features,) to be subtracted; 0 for pairs that sparse rows may lack
    scale: Floats32  # (n_features,) to divide by, such as the deviation; 1 if a feature is constant
    fine: Features = field(default_factory=no_features)  # ascending; none without subtraction
    fine_mean: Floats64 = field(default_factory=lambda: np.zeros(0))  # (n_fine,)
    fine_fill: Floats64 = field(default_factory=lambda: np.zeros(0))  # empty: as fine_mean
    # (n, 2) A sparse row without a level has its pair at the first feature of the levels. It is
    # moved to the level that fills it in.
    moved: Features = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    def named(self) -> dict[str, arrays.Array]:
        """Return the arrays of the scale by name, without those that are empty."""
        named = {"fill": self.fill, "mean": self.mean, "scale": self.scale}
        rest = {name: getattr(self, name) for name in _OPTIONAL}
        return named | {name: array for name, array in rest.items() if len(array)}

    def pack(self) -> bytearray:
        """Return the scale as a container of arrays."""
        return arrays.pack(self.named())

    @classmethod
    def unpack(cls, data: Buffer) -> Scale:
        """Return the scale of a packed container."""
        return cls(**arrays.unpack_named(data, ("fill", "mean", "scale"), _OPTIONAL))

    @property
    def changes(self) -> bool:
        """Whether values that are not missing change."""
        return bool(self.mean.any() or (self.scale != 1).any())

    def mean_of(self, moments: Moments, n_rows: int) -> Floats32:
        """Return the mean of ``n_rows`` prepared rows, given their moments as in the data."""
        sums = moments.mean * moments.n
        fills, n_missing = np.nan_to_num(self.fill.astype(np.float64)), n_rows - moments.n
        sums += fills * n_missing
        first, level = self.moved.T
        # Of sparse rows, only the first feature counts what is missing.
        sums[level] += np.maximum(n_missing[first] - n_missing[level], 0)
        mean = self.mean.astype(np.float64)
        mean[self.fine] = self.fine_mean
        found: Floats32 = ((sums / n_rows - mean) / self.scale).astype(np.float32)
        return found

    @property
    def fine_fills(self) -> Floats64:
        """The replacements of missing values of fine features."""
        return self.fine_fill if len(self.fine_fill) else self.fine_mean


def scaled(X: Matrix, scale: Scale, remainders: Remainders | None = None) -> Matrix:
    """Return ``((X or fill) - mean) / scale``, a new matrix of the same shape.

    Raises
    ------
    ValueError
        A mean would be subtracted from a sparse matrix.
    """
    result: Matrix
    if isinstance(X, CsrMatrix):
        indptr = X.indptr - X.indptr[0]
        indices, values = X.indices[X.pairs].copy(), X.values[X.pairs].copy()
        result = CsrMatrix(indptr, indices, values, X.n_features)
    else:
        result = X.astype(np.float32)
    scale_in_place(result, scale, remainders)
    return result


def scale_in_place(X: Matrix, scale: Scale, remainders: Remainders | None = None) -> None:
    """Replace ``X`` by the result of `scaled`, with a few MB of additional memory."""
    if isinstance(X, CsrMatrix):
        _scale_pairs(X, scale)
    else:
        _scale_rows(X, scale, remainders)


def _scale_rows(X: Floats32, scale: Scale, remainders: Remainders | None) -> None:
    moves, stretches = scale.mean.any(), (scale.scale != 1).any()
    for rows in row_blocks(X):
        block = X[rows]
        centred = _centred(block, scale, remainders, rows)
        missing = np.isnan(block)
        if missing.any():
            np.copyto(block, scale.fill, where=missing)
        if moves:
            np.subtract(block, scale.mean, out=block)
        if len(scale.fine):
            block[:, scale.fine] = centred
        if stretches:
            np.divide(block, scale.scale, out=block)


def _scale_pairs(X: CsrMatrix, scale: Scale) -> None:
    centred, fills = np.flatnonzero(scale.mean), _Fills(scale)
    for _, block in X.blocks():
        # `block.columns` would be cached, and wrong for pairs that are moved.
        columns, values = block.indices[block.pairs].astype(np.intp), block.values[block.pairs]
        missing = np.flatnonzero(np.isnan(values))
        if len(missing):
            fills.write(block, columns, missing)
        if len(centred):
            _require_in_each_row(columns, centred, len(block))
            values -= scale.mean.take(columns)
        values /= scale.scale.take(columns)


class _Fills:
    """Fills in missing pairs."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._target = np.arange(len(scale.fill) if len(scale.moved) else 0)
        self._target[scale.moved[:, 0]] = scale.moved[:, 1]

    def write(self, X: CsrMatrix, columns: NDArray[np.intp], missing: NDArray[np.intp]) -> None:
        """Fill in the pairs at ``missing``, given the features of all; these change as well."""
        if len(self._target):
            columns[missing] = self._target.take(columns[missing])
            X.indices[X.pairs][missing] = columns[missing]
        X.values[X.pairs][missing] = self._scale.fill.take(columns[missing])


def _require_in_each_row(
    columns: NDArray[np.intp], features: NDArray[np.intp], n_rows: int
) -> None:
    counts = np.bincount(columns, minlength=int(features[-1]) + 1)[features]
    if (counts != n_rows).any():
        raise ValueError("a sparse matrix would not stay sparse if its mean were subtracted")


def _centred(X: Floats32, scale: Scale, remainders: Remainders | None, rows: slice) -> Floats64:
    """Return the fine features, filled in, minus their means."""
    values = X[:, scale.fine].astype(np.float64)
    if remainders is not None:
        # A shard that was made again may have other fine features than the scale.
        _, own, given = np.intersect1d(
            scale.fine, remainders.features, assume_unique=True, return_indices=True
        )
        values[:, own] += remainders.values[rows, given]
    np.copyto(values, scale.fine_fills, where=np.isnan(values))
    values -= scale.fine_mean
    return values
