"""Validates rows of arrays; malformed rows are refused or skipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import BadRowError
from stepml.ml.class_names import not_of_kind
from stepml.ml.data.formats.rows import (
    VALIDATES,
    DenseRows,
    Skipped,
    SparseRows,
    shortened,
    unless_equal,
)
from stepml.ml.data.formats.stored_numbers import as_stored, to_float32
from stepml.ml.data.labels import LabelCodes
from stepml.ml.data.layout import Layout, are_weights
from stepml.ml.data.remainders import ends_of, remainders_of, remainders_of_pairs

# Size of a block: small relative to a piece, and large enough to make the cost of a block small.
BLOCK_BYTES = 512 * 1024
# Of a sample, which is stored in documents that are read often.
_SAMPLE_CHARACTERS = 200
_KEY_CHARACTERS = 80

_Flags = NDArray[np.bool_]
_Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pairs:
    """A block of a CSR matrix."""

    counts: NDArray[np.intp]  # (n_rows,) pairs of each row
    indices: NDArray[Any]  # (nnz,) integers, in any order
    values: NDArray[Any]  # (nnz,)


@dataclass(frozen=True, slots=True)
class Flaw:
    """A problem of some rows of a block."""

    problem: str
    rows: _Flags  # (n_rows,) which have it


class RowChecks:
    """Turns blocks of numbers into rows; malformed rows are refused or skipped.

    Parameters
    ----------
    layout : Layout
        Has the effect of missing values and of bad rows.
    feature_title : callable, optional
        Returns the title of a feature for messages, given its 0-based index.
    """

    def __init__(
        self, layout: Layout, feature_title: Callable[[int], str] = "feature {}".format
    ) -> None:
        self.skipped = Skipped()
        self._layout = layout
        self._codes = LabelCodes(layout.label_kind)
        self._feature_title = feature_title

    @property
    def label_names(self) -> tuple[str, ...]:
        """By code, the labels that were found so far."""
        return self._codes.names

    def labels(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return labels for `dense` and `sparse`: ``y``, or the codes of labels without numbers."""
        return y if self._layout.label_kind == "number" else self._codes.codes_of(y)

    def labels_at(self, values: Sequence[Any], places: NDArray[np.intp]) -> NDArray[Any]:
        """Return the codes of labels, which are at ``places`` among different ``values``."""
        # Others, such as unused categories of pandas, are no labels.
        used = np.flatnonzero(np.bincount(places, minlength=len(values)))
        codes = np.full(len(values), np.nan, np.float32)
        codes[used] = self._codes.codes([values[each] for each in used.tolist()])
        return codes[places]

    def dense(
        self,
        key: str,
        first: int,
        y: NDArray[Any],
        X: NDArray[Any],
        said: NDArray[np.float64] | None = None,
        flaws: Sequence[Flaw] = (),
        weights: NDArray[Any] | None = None,
    ) -> DenseRows:
        """Return the good rows of a block, which starts at row ``first`` of the object ``key``.

        ``said`` are the values of the column that says which rows validate. ``flaws`` are those
        that are known already. ``weights`` are those of the rows, if they have any.
        """
        labels, values = to_float32(y), as_stored(X)
        offsets = np.arange(first, first + len(y))
        validates, unclear = self._validation(said, len(y))
        is_bad_label = self._are_bad(labels)
        is_unweighable = _are_no_weights(weights, len(y))
        is_flawed = is_unweighable.copy()
        for each in flaws:
            is_flawed |= each.rows
        are_good = not (is_bad_label.any() or unclear.any() or is_flawed.any())
        if are_good and np.isfinite(values).all():
            written, rest = unless_equal(y, labels), self._remainders(X)
            rows = DenseRows(offsets, labels, values, written, 0, rest, validates)
            rows = _weighed(rows, weights)
            return rows if said is None else replace(rows, validation_ends=ends_of(said))
        missing = np.isnan(values)
        wrong = self._wrong(values) & self._must_have_values(values)
        bad = wrong.any(axis=1) | is_bad_label | unclear | is_flawed

        def problem_of(row: int) -> str:
            if weights is not None and is_unweighable[row]:
                return self._layout.weight_problem(weights[row])
            if is_flawed[row]:
                return next(each.problem for each in flaws if each.rows[row])
            if said is not None and unclear[row]:
                title = self._layout.column_title(self._layout.validation_column)
                return f"{title} is {said[row]:g}, expected {VALIDATES}"
            return self._problem(y[row], X[row], wrong[row])

        self._refuse(key, first, bad, problem_of)
        good = ~bad
        written = unless_equal(y[good], labels[good])
        n_missing = int(np.count_nonzero(missing[good]))
        rest = self._remainders(X[good])
        rows = DenseRows(offsets[good], labels[good], values[good], written, n_missing, rest)
        rows = _weighed(rows, None if weights is None else weights[good])
        if said is None or validates is None:
            return rows
        return replace(rows, validates=validates[good], validation_ends=ends_of(said[good]))

    def _validation(
        self, said: NDArray[np.float64] | None, n_rows: int
    ) -> tuple[_Flags | None, _Flags]:
        """Return which rows validate, if a column says so, and for which it is unclear."""
        if said is None:
            return None, np.zeros(n_rows, np.bool_)
        return self._layout.do_validate(said)

    def _remainders(self, X: NDArray[Any]) -> _Floats | None:
        fine = list(self._layout.fine)
        return remainders_of(X[:, fine]) if fine else None

    def sparse(
        self,
        key: str,
        first: int,
        y: NDArray[Any],
        pairs: Pairs,
        weights: NDArray[Any] | None = None,
    ) -> SparseRows:
        """Return the good rows of a block; the parameters are those of `dense`."""
        rows = np.repeat(np.arange(len(y)), pairs.counts)
        order = _order(rows, pairs.indices)
        indices, given = pairs.indices[order], pairs.values[order]
        labels, values = to_float32(y), to_float32(given)
        missing = np.isnan(given)
        wrong = self._wrong(values) | self._misplaced(rows, indices)
        is_unweighable = _are_no_weights(weights, len(y))
        bad = self._are_bad(labels) | is_unweighable
        bad[rows[wrong]] = True

        def problem_of(row: int) -> str:
            if weights is not None and is_unweighable[row]:
                return self._layout.weight_problem(weights[row])
            return self._problem_of_pairs(
                y[row], *(each[rows == row] for each in (indices, given, wrong))
            )

        if bad.any():
            self._refuse(key, first, bad, problem_of)
        good = ~bad
        kept = good[rows]
        return SparseRows(
            np.arange(first, first + len(y))[good],
            labels[good],
            pairs.counts[good].astype(np.uint32),
            indices[kept].astype(np.uint32),
            values[kept],
            unless_equal(y[good], labels[good]),
            int(np.count_nonzero(missing[kept])),
            remainders_of_pairs(indices[kept], given[kept], self._layout.fine),
            weights=None if weights is None else to_float32(weights[good]),
        )

    def _are_bad(self, labels: _Floats) -> _Flags:
        bad: _Flags = np.isinf(labels) if self._layout.unlabelled else ~np.isfinite(labels)
        return bad

    def _must_have_values(self, values: NDArray[Any]) -> _Flags:
        """Return which values may be wrong: missing ones where none may be, and infinite ones."""
        if self._layout.table is None:
            return np.ones_like(values, np.bool_)
        strict = [each.missing == "fail" for each in self._layout.table.numbers]
        found: _Flags = np.array(strict, np.bool_) | np.isinf(values)
        return found

    def _wrong(self, values: _Floats) -> _Flags:
        # NaN is filled in later, once all training rows are known.
        keeps = self._layout.missing == "keep" and self._layout.table is None
        is_wrong = np.isinf if keeps else _is_not_finite
        wrong: _Flags = is_wrong(values)
        return wrong

    def _misplaced(self, rows: NDArray[np.intp], indices: NDArray[Any]) -> _Flags:
        """Flag pairs whose index is out of range, or equal to that of the pair before."""
        n_features = self._layout.n_features
        assert n_features is not None
        wrong: _Flags = (indices < 0) | (indices >= n_features)
        wrong[1:] |= (rows[1:] == rows[:-1]) & (indices[1:] == indices[:-1])
        return wrong

    def _refuse(self, key: str, first: int, bad: _Flags, problem_of: Callable[[int], str]) -> None:
        """Raise `BadRowError` for the first bad row, or count bad rows and collect samples."""
        numbers: list[int] = np.flatnonzero(bad).tolist()
        if numbers and self._layout.on_bad_row == "fail":
            raise BadRowError(
                f"s3 object {key}, row {first + numbers[0]} (from 0): {problem_of(numbers[0])}"
            )
        self.skipped.count += len(numbers)
        # The end of a key is more specific than its start.
        shown = key if len(key) <= _KEY_CHARACTERS else "…" + key[1 - _KEY_CHARACTERS :]
        for row in numbers[: self.skipped.wanted_samples]:
            sample = f"s3 object {shown}, row {first + row} (from 0): {problem_of(row)}"
            self.skipped.samples.append(shortened(sample.encode(), _SAMPLE_CHARACTERS))

    def _problem_of_label(self, label: Any) -> str:
        kind = self._layout.label_kind
        if kind == "number":
            return f"the label {_problem_of(label)}"
        return "the label is missing" + (f", or {not_of_kind(kind)}" if kind != "text" else "")

    def _problem(self, label: Any, values: NDArray[Any], wrong: _Flags) -> str:
        if self._are_bad(to_float32(np.asarray([label])))[0]:
            return self._problem_of_label(label)
        feature = int(np.flatnonzero(wrong)[0])
        return f"{self._feature_title(feature)} {_problem_of(values[feature])}"

    def _problem_of_pairs(
        self, label: Any, indices: NDArray[Any], values: NDArray[Any], wrong: _Flags
    ) -> str:
        place = np.flatnonzero(wrong)[:1]
        if not len(place):
            return self._problem_of_label(label)
        index = int(indices[place[0]])
        if place[0] > 0 and index == indices[place[0] - 1]:
            return f"two values have the index {index}"
        assert self._layout.n_features is not None
        if not 0 <= index < self._layout.n_features:
            return f"the index {index} is not one of 0 to {self._layout.n_features - 1}"
        return f"{self._feature_title(index)} {_problem_of(values[place[0]])}"


def _are_no_weights(weights: NDArray[Any] | None, n_rows: int) -> _Flags:
    """Return which rows have a weight that is none."""
    if weights is None:
        return np.zeros(n_rows, np.bool_)
    return ~are_weights(weights.astype(np.float64))


def _weighed(rows: DenseRows, weights: NDArray[Any] | None) -> DenseRows:
    return rows if weights is None else replace(rows, weights=to_float32(weights))


def rows_per_block(n_features: int, value_bytes: int = 4, block_bytes: int = BLOCK_BYTES) -> int:
    """Return the number of dense rows in a block."""
    return max(1, block_bytes // (n_features * max(value_bytes, 4)))


def _is_not_finite(values: _Floats) -> _Flags:
    return ~np.isfinite(values)


def _problem_of(value: Any) -> str:
    if np.isnan(value):
        return "is nan, a missing value"
    return f"is {value:g}, " + (
        "not a finite number" if np.isinf(value) else "too large for float32"
    )


def _order(rows: NDArray[np.intp], indices: NDArray[Any]) -> NDArray[np.intp] | slice:
    """Return the indices that sort pairs by row and index."""
    ascends = (rows[1:] != rows[:-1]) | (indices[1:] > indices[:-1])
    return slice(None) if ascends.all() else np.lexsort((indices, rows))
