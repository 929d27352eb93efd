"""CSV and TSV: the same number of unquoted columns in every row."""

from __future__ import annotations

import numpy as np

from stepml.ml.data.formats.lines import NEWLINE, Lines
from stepml.ml.data.formats.numbers import Positions, Text, decode_floats, number_problem
from stepml.ml.data.formats.rows import DenseRows
from stepml.ml.data.layout import Layout


class CsvParser:
    """Parses rows of columns between delimiters."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._delimiter = layout.delimiter.encode()

    def parse(self, text: bytes, offset: int) -> DenseRows:
        lines = Lines.of(text, offset)
        table = Text.of(lines.text)
        newlines = table.characters == NEWLINE
        ends = np.flatnonzero(newlines | (table.characters == ord(self._delimiter)))
        if not self._is_rectangular(newlines[ends], len(lines.offsets)):
            lines.refuse_first(self._problem_of)
        starts = np.empty_like(ends)
        starts[:1] = table.margin
        np.add(ends[:-1], 1, out=starts[1:])
        return self._rows(lines, table, starts, ends)

    def _is_rectangular(self, ends_row: np.ndarray, n_rows: int) -> bool:
        n_columns = self._layout.n_columns
        return len(ends_row) == n_rows * n_columns and bool(
            ends_row[n_columns - 1 :: n_columns].all()
        )

    def _rows(self, lines: Lines, table: Text, starts: Positions, ends: Positions) -> DenseRows:
        values, bad = decode_floats(table, starts, ends)
        if len(bad):
            lines.refuse_first(self._problem_of)
        cells = values.reshape(len(lines.offsets), self._layout.n_columns)
        label = self._layout.label_column
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
            if problem is not None:
                return f"{self._layout.column_title(column)} {problem}"
        return None
