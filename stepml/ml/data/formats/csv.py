"""CSV and TSV: the same number of unquoted columns in every row."""

from __future__ import annotations

import numpy as np

from stepml.ml.data.formats.lines import NEWLINE, BadLines, Lines, parse_good
from stepml.ml.data.formats.numbers import (
    Flags,
    Floats32,
    Positions,
    Text,
    decode_floats,
    is_missing,
    missing_tokens,
    number_problem,
)
from stepml.ml.data.formats.rows import DenseRows
from stepml.ml.data.layout import Layout

# NaN stands for a mean that is not known before all rows are.
_FILLS = {"zero": 0.0, "mean": np.nan}


class CsvParser:
    """Parses rows of columns between delimiters."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._delimiter = layout.delimiter.encode()
        self._fill = _FILLS.get(layout.missing)  # None: a missing value is a bad one

    def parse(self, text: bytes, offset: int) -> DenseRows:
        lines = Lines.of(text, offset)
        rows = self._rows_of(lines)
        if isinstance(rows, np.ndarray):
            lines.refuse_first(self._problem_of)
        return rows

    def parse_good(self, text: bytes, offset: int) -> tuple[DenseRows, BadLines]:
        return parse_good(Lines.of(text, offset), self._rows_of, self._problem_of)

    def _rows_of(self, lines: Lines) -> DenseRows | Flags:
        """Return the rows, or which lines are bad."""
        table = Text.of(lines.text)
        newlines = table.characters == NEWLINE
        ends = np.flatnonzero(newlines | (table.characters == ord(self._delimiter)))
        if not self._is_rectangular(newlines[ends], len(lines.offsets)):
            row_ends = np.flatnonzero(newlines[ends])
            flags: Flags = np.diff(row_ends, prepend=-1) != self._layout.n_columns
            return flags
        starts = np.empty_like(ends)
        starts[:1] = table.margin
        np.add(ends[:-1], 1, out=starts[1:])
        return self._rows(lines, table, starts, ends)

    def _is_rectangular(self, ends_row: Flags, n_rows: int) -> bool:
        n_columns = self._layout.n_columns
        return len(ends_row) == n_rows * n_columns and bool(
            ends_row[n_columns - 1 :: n_columns].all()
        )

    def _rows(
        self, lines: Lines, table: Text, starts: Positions, ends: Positions
    ) -> DenseRows | Flags:
        values, bad = decode_floats(table, starts, ends)
        if self._fill is not None:
            bad = self._fill_missing(values, bad, table, (starts, ends))
        if len(bad):
            flags: Flags = np.zeros(len(lines.offsets), np.bool_)
            flags[bad // self._layout.n_columns] = True
            return flags
        return self._columns(lines, values.reshape(len(lines.offsets), self._layout.n_columns))

    def _fill_missing(
        self, values: Floats32, bad: Positions, table: Text, spans: tuple[Positions, Positions]
    ) -> Positions:
        """Fill in the missing ones of the ``bad`` values and return the other ones."""
        is_feature = bad % self._layout.n_columns != self._layout.label_column
        filled = is_feature & missing_tokens(table, *(each[bad] for each in spans))
        values[bad[filled]] = self._fill
        others: Positions = bad[~filled]
        return others

    def _columns(self, lines: Lines, cells: Floats32) -> DenseRows:
        label = self._layout.label_column
        if not self._layout.has_label:
            return DenseRows(lines.offsets, np.zeros(len(cells), np.float32), cells)
        if label == self._layout.n_columns - 1:  # the usual place, and without a copy
            return DenseRows(lines.offsets, cells[:, label], cells[:, :label])
        return DenseRows(lines.offsets, cells[:, label], np.delete(cells, label, axis=1))

    def _problem_of(self, line: bytes) -> str | None:
        cells = line.split(self._delimiter)
        if len(cells) != self._layout.n_columns:
            if b'"' in line:
                return "quoted fields are not supported"
            return f"{len(cells)} columns where {self._layout.n_columns} are expected"
        for column, cell in enumerate(cells):
            problem = number_problem(cell)
            if problem is not None and not self._is_filled(column, cell):
                return f"{self._layout.column_title(column)} {problem}"
        return None

    def _is_filled(self, column: int, cell: bytes) -> bool:
        return self._fill is not None and column != self._layout.label_column and is_missing(cell)
