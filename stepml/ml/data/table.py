"""The columns of a table that are features, and what each becomes.

A table of numbers alone needs none of this: each column is a feature (`Layout.table` is None).
Readers turn the cells of other tables into *raw rows*: float32 numbers of the columns that are
numbers, booleans (0 and 1) or times (seconds since 1970, with remainders), and hashes of the levels
of categories. `stepml.ml.data.encoding` turns raw rows into features, on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "boolean", "category", "time"]
LABEL_KINDS = ("number", "text", "boolean", "integer")

MISSING_LEVEL = ""
"""The level of missing values, where they are a level of their own."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of features."""

    name: str  # empty without a header
    column: int  # 0-based in the data; columns of the path lie behind those of the objects
    kind: str  # a `Kind`
    encode: str = ""  # of a category: one_hot, ordinal or hash
    width: int = 0  # features, if encode is hash
    parts: tuple[str, ...] = ()  # of a time; empty: its seconds
    # fail, zero, mean, median, most_frequent or a number; of a category also level: a missing value
    # is a level of its own.
    missing: str | float = "fail"
    indicator: bool = False  # another feature says whether the value is missing
    are_numbers: bool = False  # the levels of a category are numbers: 1 and 1.0 are one level

    @property
    def is_category(self) -> bool:
        """Whether its cells are levels, not numbers."""
        return self.kind == "category"

    @property
    def has_levels(self) -> bool:
        """Whether the distinct levels have to be known."""
        return self.is_category and self.encode != "hash"

    @property
    def label(self) -> str:
        """The name, or a name by the column's number."""
        return self.name or f"column_{self.column + 1}"

    @property
    def title(self) -> str:
        """The column for messages: its number, from 1, and its name."""
        return f"column {self.column + 1}" + (f" ({self.name!r})" if self.name else "")


@dataclass(frozen=True, slots=True)
class TableSettings:
    """The settings of a job for the columns of a table; see `stepml.job.spec.Data`."""

    use: tuple[str, ...] | None = None  # names or patterns; None: all
    drop: tuple[str, ...] = ()
    types: tuple[tuple[str, str], ...] = ()  # type by name or pattern
    drops_uninformative: bool = False
    encode: str | tuple[tuple[str, str], ...] = "one_hot"
    hash_width: int = 1024
    unknown_levels: str = "ignore"
    parts: tuple[str, ...] = ()  # of times; empty: seconds
    missing: str | float | tuple[tuple[str, str | float], ...] | None = None
    indicator: bool | tuple[str, ...] = False


PLAIN_SETTINGS = TableSettings()


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of features, in the order of the data."""

    columns: tuple[TableColumn, ...]
    dropped: tuple[str, ...] = ()  # names of columns that are no features, for the description
    unknown_levels: str = "ignore"  # at predictions: ignore or fail
    drops_identifiers: bool = False  # categories with a level for each row lose their levels

    @property
    def numbers(self) -> tuple[TableColumn, ...]:
        """The columns whose cells are numbers: the columns of `DenseRows.X`, in order."""
        return tuple(each for each in self.columns if not each.is_category)

    @property
    def categories(self) -> tuple[TableColumn, ...]:
        """The columns whose cells are levels: the columns of `DenseRows.levels`, in order."""
        return tuple(each for each in self.columns if each.is_category)

    @property
    def times(self) -> tuple[int, ...]:
        """The places of times among `numbers`; they always have remainders."""
        return tuple(n for n, each in enumerate(self.numbers) if each.kind == "time")
