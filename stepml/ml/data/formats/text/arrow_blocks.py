"""Blocks of text as columns of pyarrow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.formats.arrow import import_arrow
from stepml.ml.data.formats.text.lines import Places, place_of
from stepml.ml.data.formats.text.numbers import missing_spellings
from stepml.ml.data.layout import Layout

Floats64 = NDArray[np.float64]

# pyarrow takes nan(ind) for a number, which others do not.
_ODD_NAN = re.compile(rb"nan\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of text."""

    distinct: list[str]  # without blanks around them
    places: NDArray[np.intp]  # (n_rows,) of each cell among them


class ArrowBlocks:
    """Reads blocks of lines; cells of columns of numbers may be converted by pyarrow.

    Parameters
    ----------
    layout : Layout
    used : sequence of int
        The columns to read, 0-based.
    numbers : sequence of int
        Those of them that are numbers.

    Raises
    ------
    NotAvailableError
        pyarrow is not installed.
    """

    def __init__(self, layout: Layout, used: Sequence[int], numbers: Sequence[int]) -> None:
        what = "a table with text, quotes, booleans or dates"
        self._pyarrow, self._csv = import_arrow("csv", what)
        self._columns = range(layout.n_columns)
        self._dialect = layout.dialect
        self._delimiter = layout.delimiter
        self._used = [str(each) for each in used]
        text = self._pyarrow.dictionary(self._pyarrow.int32(), self._pyarrow.string())
        self._as_text = dict.fromkeys(self._used, text)
        # Thousands are taken out of each text.
        converted = () if layout.dialect.thousands else numbers
        number = self._pyarrow.float64()
        self._typed = self._as_text | {str(each): number for each in converted}

    def read(self, text: bytes, places: Places) -> Block | None:
        """Return the columns of whole lines; None: a row has a wrong number of columns.

        Columns of the layout may lie at other ``places`` in the lines.
        """
        order = sorted(self._columns, key=lambda column: place_of(column, places))
        names = [str(each) for each in order]
        is_odd = b"(" in text and _ODD_NAN.search(text) is not None
        table = None if is_odd else self._table(text, names, self._typed)
        if table is None:
            table = self._table(text, names, self._as_text)
        return None if table is None else Block(table)

    def _table(self, text: bytes, names: Sequence[str], types: dict[str, Any]) -> Any:
        """Return a table of pyarrow, or None if it refuses a cell or a row."""
        csv = self._csv
        try:
            return csv.read_csv(
                self._pyarrow.BufferReader(text),
                read_options=csv.ReadOptions(
                    column_names=list(names), use_threads=False, block_size=len(text) + 1
                ),
                parse_options=csv.ParseOptions(
                    delimiter=self._delimiter,
                    quote_char='"',
                    double_quote=True,
                    newlines_in_values=self._dialect.quoted_newlines,
                    ignore_empty_lines=True,
                ),
                convert_options=csv.ConvertOptions(
                    column_types=types,
                    include_columns=self._used,
                    null_values=[*missing_spellings(), *self._dialect.missing_words],
                    strings_can_be_null=False,
                    decimal_point=self._dialect.decimal,
                ),
            )
        except self._pyarrow.ArrowInvalid:
            return None


class Block:
    """The columns of some rows."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._table.num_rows)

    def numbers(self, column: int) -> Floats64 | None:
        """Return a column of numbers, NaN where they are missing; None: it is text."""
        found = self._column(column)
        if hasattr(found, "dictionary"):
            return None
        values: Floats64 = found.to_numpy(zero_copy_only=False)
        return values

    def texts(self, column: int) -> Texts:
        """Return a column of text."""
        found = self._column(column)
        distinct = [each.strip() for each in found.dictionary.to_pylist()]
        return Texts(distinct, found.indices.to_numpy(zero_copy_only=False).astype(np.intp))

    def _column(self, column: int) -> Any:
        return self._table.column(str(column)).combine_chunks()
