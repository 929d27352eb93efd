"""Facts about the columns of the first rows of a data set, for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data import arrays
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.formats.rows import DenseRows, SparseRows
from stepml.ml.data.levels import MISSING, level_hashes
from stepml.ml.data.objects import ObjectReader
from stepml.ml.data.table import Table, TableColumn
from stepml.ml.data.trial import Trial

_READ_BYTES = 2**20
_EXACT = 2**53

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column of features."""

    name: str  # empty without a header
    column: int  # 0-based in the data
    kind: str  # number, boolean, category or time
    missing: int  # values
    low: float = 0.0  # smallest value; NaN: there is none
    high: float = 0.0
    levels: tuple[str, ...] = ()  # of a category, ascending; empty: they are hashed
    n_features: int = 1  # of the model, without those of other columns


def column_facts(trial: Trial) -> list[ColumnFacts]:
    """Return the facts about each column of features; empty if rows have no columns."""
    layout = trial.manifest.layout
    if not layout.n_columns or layout.is_sparse:
        return []
    pieces = [_views(trial, piece.key) for piece in trial.manifest.pieces]
    X = [_exact(views, layout.fine) for views in pieces]
    if layout.table is None:
        names = layout.column_names
        columns = [layout.column_of(feature) for feature in range(X[0].shape[1])]
        return [
            _of_number(names[column] if names else "", column, "number", X, place)
            for place, column in enumerate(columns)
        ]
    levels = [views["levels"] for views in pieces if "levels" in views]
    return list(_of_table(layout.table, trial, X, levels))


def first_values(source: ObjectReader, trial: Trial, n_rows: int) -> list[list[str]]:
    """Return the first rows as they are read, in text: the label first, if there is one.

    The features are those of `column_facts`, in their order; missing values are empty.
    """
    layout, plan = replace(trial.manifest.layout, on_bad_row="skip"), trial.plan
    rows = FORMATS[layout.format].open_rows(source, plan.objects, layout, _READ_BYTES)
    found: list[list[str]] = []
    for part in trial.parts:
        for block in rows.read(part):
            labels = _labels(block, n_rows - len(found), rows.label_names)
            cells = _cells(trial, block, len(labels))
            own = ([label, *row] for label, row in zip(labels, cells, strict=True))
            found += own if layout.has_label else cells
            if len(found) >= n_rows:
                return found
    return found


def _views(trial: Trial, key: str) -> dict[str, arrays.Array]:
    return arrays.unpack(trial.pieces.load(key))[0]


def _exact(views: dict[str, arrays.Array], fine: Sequence[int]) -> arrays.Array:
    """Return the numbers of a piece with their remainders."""
    if "remainders" not in views:
        return views["X"]
    exact = views["X"].astype(np.float64)
    exact[:, list(fine)] += views["remainders"]
    return exact


def _of_table(
    table: Table, trial: Trial, X: Sequence[arrays.Array], levels: Sequence[arrays.Array]
) -> Iterator[ColumnFacts]:
    encoder = trial.manifest.encoder
    assert encoder is not None
    width = {id(column): 0 for column in table.columns}
    for feature in encoder.features():
        width[id(feature.column)] += 1
    numbers, categories = iter(range(len(table.numbers))), iter(range(len(table.categories)))
    for each in table.columns:
        n_features = width[id(each)]
        if not each.is_category:
            place = next(numbers)
            yield _of_number(each.name, each.column, each.kind, X, place, n_features)
        else:
            place = next(categories)
            known = trial.manifest.levels[place]
            yield _of_category(each, known, [own[:, place] for own in levels], n_features)


def _of_number(
    name: str,
    column: int,
    kind: str,
    X: Sequence[arrays.Array],
    place: int,
    n_features: int = 1,
) -> ColumnFacts:
    values = np.concatenate([each[:, place] for each in X])
    there = values[~np.isnan(values)]
    # The text of a float32 has the digits that the data have.
    ends = (there.min(), there.max()) if len(there) else (np.nan, np.nan)
    low, high = (float(str(end)) for end in ends)
    missing = len(values) - len(there)
    return ColumnFacts(name, column, kind, missing, low, high, n_features=n_features)


def _of_category(
    column: TableColumn, levels: Sequence[str], hashes: Sequence[arrays.Array], n_features: int
) -> ColumnFacts:
    missing = sum(int(np.count_nonzero(each == MISSING)) for each in hashes)
    known = tuple(filter(None, levels))
    name, place = column.name, column.column
    return ColumnFacts(name, place, column.kind, missing, levels=known, n_features=n_features)


def _labels(rows: DenseRows | SparseRows, most: int, names: Sequence[str]) -> list[str]:
    if names:
        return [names[int(code)] for code in rows.y[:most].tolist()]
    labels = rows.y if rows.written is None else rows.written
    return [shown(each) for each in labels[:most].tolist()]


def _cells(trial: Trial, rows: DenseRows | SparseRows, n_rows: int) -> list[list[str]]:
    if isinstance(rows, SparseRows):
        return _pairs(rows, n_rows)
    table, fine = trial.manifest.layout.table, trial.manifest.layout.fine
    values = rows.X[:n_rows].astype(np.float64)
    if rows.remainders is not None:
        values[:, list(fine)] += rows.remainders[:n_rows]
    if table is None:
        return [[shown(each) for each in row] for row in values.tolist()]
    columns = _columns_in_text(table, trial.manifest.levels, values, rows.levels)
    return [list(row) for row in zip(*columns, strict=True)]


def _columns_in_text(
    table: Table,
    levels: Sequence[Sequence[str]],
    values: Values,
    hashes: NDArray[np.uint64] | None,
) -> Iterator[list[str]]:
    numbers, categories = iter(range(len(table.numbers))), iter(range(len(table.categories)))
    for each in table.columns:
        if each.is_category:
            assert hashes is not None
            place = next(categories)
            known = dict(zip(level_hashes(levels[place]).tolist(), levels[place], strict=True))
            own = hashes[: len(values), place].tolist()
            yield ["" if code == MISSING else known.get(code, "…") for code in own]
        else:
            text = shown_as(each.kind)
            yield [text(value) for value in values[:, next(numbers)].tolist()]


def _pairs(rows: SparseRows, n_rows: int) -> list[list[str]]:
    pairs = zip(rows.indices.tolist(), rows.values.tolist(), strict=True)
    texts = (f"{index}:{shown(value)}" for index, value in pairs)
    return [list(islice(texts, count)) for count in rows.counts[:n_rows].tolist()]


def shown_as(kind: str) -> Callable[[float], str]:
    """Return the function that shows the numbers of columns of this kind as text."""
    return {"time": time_shown, "boolean": boolean_shown}.get(kind, shown)


def shown(value: float) -> str:
    """Return a number in few characters; empty if it is missing."""
    if value != value:
        return ""
    return f"{value:.0f}" if value.is_integer() and abs(value) <= _EXACT else f"{value:.6g}"


def boolean_shown(value: float) -> str:
    """Return ``true`` or ``false``; empty if it is missing."""
    return "" if value != value else str(bool(value)).lower()


def time_shown(seconds: float) -> str:
    """Return a time, in seconds since 1970, as text; empty if it is missing."""
    if seconds != seconds:
        return ""
    text = str(np.datetime64(round(seconds), "s"))
    return text.removesuffix("T00:00:00").replace("T", " ")
