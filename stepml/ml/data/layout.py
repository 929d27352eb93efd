"""The layout of the rows of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from stepml.job import keys
from stepml.job.formats import FORMATS
from stepml.ml.data.dialect import PLAIN, Dialect
from stepml.ml.data.objects import DataObject
from stepml.ml.data.path_columns import path_values
from stepml.ml.data.table import Table, TableColumn, TableSettings
from stepml.ml.matrices import Floats64

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]

# Part of every digest: to be raised if the same bytes are partitioned differently.
PARTITION_VERSION = 7


@dataclass(frozen=True, slots=True)
class Layout:
    """The result of `sniff`, and the input of parsers."""

    format: str  # a name in `FORMATS`
    delimiter: str  # between columns of text; empty without any
    n_columns: int  # with the label; 0: there are none, or they are not known yet
    label_column: int  # 0-based; -1: there is no label, all columns are features
    header: bool  # the first line of each object names the columns
    column_names: tuple[str, ...]  # from the header or footer; empty without one
    n_features: (
        int | None
    )  # None: not known before the rows (libsvm) or the footer (parquet) are read
    missing: str = "fail"  # effect of a missing value of a feature: fail, or keep (NaN)
    on_bad_row: str = "fail"  # fail or skip
    is_csr: bool = False  # npz: the matrix is sparse, written by scipy
    label: str | int | None = None  # parquet: the job's label; only range tasks read the columns
    first_validation: int = -1  # the first object whose rows validate; -1: none does
    validates: str | int | None = None  # the job's column that says which rows validate …
    validation_column: int = -1  # … 0-based; -1: there is none, or it is not known yet
    validates_after: float | None = None  # rows with more in it validate; None: those with 1
    weight: str | int | None = None  # the job's column, or array, of row weights …
    weight_column: int = -1  # … 0-based; -1: it is none, or not known yet
    fine: tuple[int, ...] = ()  # features with remainders; only range tasks find them
    row_shape: tuple[int, ...] = ()  # of images: ([channels,] height, width); empty: of others
    label_kind: str = "number"  # or text, boolean, integer, whose labels are numbered (codes)
    table: Table | None = None  # of columns that are not all numbers; None: all columns are
    dialect: Dialect = PLAIN  # of text
    zero_based: bool = False  # libsvm: indices count from 0
    is_general: bool = False  # text: pyarrow reads it, not our tokeniser of numbers
    path_names: tuple[str, ...] = ()  # of the last columns, which only the objects' paths have
    ignored: tuple[int, ...] = ()  # columns that are not read, whatever they hold
    unlabelled: bool = False  # rows may lack their label, which is NaN; only at predictions
    settings: TableSettings | None = None  # parquet: only range tasks know its columns …
    has_classes: bool = False  # … and the labels, which may be large numbers of classes

    @property
    def is_sparse(self) -> bool:
        """Whether rows are pairs of index and value."""
        return FORMATS[self.format].sparse == "always" or self.is_csr

    @property
    def has_label(self) -> bool:
        """Whether one of the columns is the label; otherwise all labels are 0."""
        return self.label_column >= 0

    @property
    def has_words(self) -> bool:
        """Whether some columns of features are not numbers."""
        return self.is_general or self.table is not None

    @property
    def names_validation(self) -> bool:
        """Whether objects or rows are for validation by themselves, not by their ids."""
        return self.first_validation >= 0 or self.validates is not None

    @property
    def has_weights(self) -> bool:
        """Whether rows have weights."""
        return self.weight is not None

    @property
    def named_columns(self) -> set[int]:
        """The columns with a role of their own: label, validation, weight."""
        return {self.label_column, self.validation_column, self.weight_column} - {-1}

    @property
    def other_columns(self) -> list[int]:
        """The columns that are no features, ascending."""
        return sorted(self.named_columns.union(self.ignored))

    @property
    def n_own_columns(self) -> int:
        """The number of columns that are in the objects."""
        return self.n_columns - len(self.path_names)

    @property
    def raw_columns(self) -> tuple[TableColumn, ...]:
        """The columns of raw rows; of a table of plain numbers, these are the features."""
        if self.table is not None:
            return self.table.columns
        others = set(self.other_columns)
        names = self.column_names or ("",) * self.n_columns
        return tuple(
            TableColumn(names[column], column, "number", missing=self.missing)
            for column in range(self.n_columns)
            if column not in others
        )

    @property
    def kept_columns(self) -> list[int]:
        """The columns to read, ascending."""
        return sorted(self.named_columns.union(each.column for each in self.raw_columns))

    @property
    def n_numbers(self) -> int:
        """The numbers of a raw row: the columns of `DenseRows.X`; 0 if they are not known yet."""
        return (self.n_features or 0) if self.table is None else len(self.table.numbers)

    def column_of(self, number: int) -> int:
        """Return the column of a number of a raw row, both 0-based."""
        if self.table is not None:
            return self.table.numbers[number].column
        column = number
        for other in self.other_columns:
            column += int(other <= column)
        return column

    def do_validate(self, values: Floats64) -> tuple[Flags, Flags]:
        """Return which rows validate and which are bad, given the values of their column."""
        if self.validates_after is not None:
            return values > self.validates_after, np.isnan(values)
        return values == 1, (values != 0) & (values != 1)

    def weight_problem(self, weight: float, at: int | None = None) -> str:
        """Return the reason why a weight is none, for messages."""
        title = "the weight"
        if self.weight_column >= 0:
            title = self.column_title(self.weight_column, at)
        return f"{title} is {weight:g}, expected a weight: a finite number, 0 or more"

    def feature_title(self, number: int) -> str:
        """Return the title of a number of a raw row for messages."""
        return self.column_title(self.column_of(number)) if self.n_columns else f"feature {number}"

    def titles_of(self, found: Flags) -> list[str]:
        """Return the titles of the features that are ``found``."""
        return [self.feature_title(each) for each in np.flatnonzero(found).tolist()]

    def are_scaled(self) -> Flags | None:
        """Return None: scaling applies to all features."""
        return None

    def column_title(self, column: int, at: int | None = None) -> str:
        """Return the title of a column for messages: its number, from 1, and its name.

        In some objects, the column may be ``at`` another place.
        """
        number = (column if at is None else at) + 1
        if column < len(self.column_names):
            return f"column {number} ({self.column_names[column]!r})"
        return f"column {number}"


def are_weights(values: Floats64) -> Flags:
    """Return which numbers may be weights of rows, which are stored as float32."""
    with np.errstate(over="ignore"):
        found: Flags = (values >= 0) & np.isfinite(values.astype(np.float32))
    return found


def dataset_digest(objects: Sequence[DataObject], layout: Layout, seed: int) -> str:
    """Return the content address of a partitioned data set: 32 hexadecimal digits.

    It depends on names, contents, layout and seed, but not on the place of the objects, unless a
    process has stored them for its fits: it deletes its partitioned copy, which no other may read.
    """
    content: dict[str, Any] = {
        "version": PARTITION_VERSION,
        "seed": seed,
        "layout": _content(layout),
        "objects": [
            (each.name, each.value_bytes, each.etag, path_values(each, layout.path_names))
            for each in objects
        ],
    }
    owners = {owner for each in objects if (owner := keys.owner_of_fit(each.key))}
    if owners:
        content["owners"] = sorted(owners)
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()[:32]


def _content(layout: Layout) -> msgspec.Raw:
    """Return a layout for digests: without weights, as before there were any."""
    found = msgspec.to_builtins(layout, order="deterministic")
    if not layout.has_weights:
        del found["weight"], found["weight_column"]
    return msgspec.Raw(msgspec.json.encode(found))
