"""Rows of columns of any type in text, read with pyarrow: quotes, categories, booleans, times.

pyarrow converts whole columns of numbers. Where it refuses a block, and in columns of other types,
each distinct text of a column is converted once. The numbers are the same either way, and the same
as those of the tokeniser of numbers (`stepml.ml.data.formats.csv`).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.formats.rows import VALIDATES, DenseRows, shortened, unless_equal
from stepml.ml.data.formats.text.arrow_blocks import ArrowBlocks, Block
from stepml.ml.data.formats.text.cells import CellReader, Conversion
from stepml.ml.data.formats.text.label_tokens import label_problem
from stepml.ml.data.formats.text.lines import BadLines, Lines, Places, parse_good, place_of
from stepml.ml.data.formats.text.numbers import to_singles
from stepml.ml.data.labels import LabelCodes
from stepml.ml.data.layout import Layout, are_weights
from stepml.ml.data.levels import MISSING, LevelCollector, level_of_text
from stepml.ml.data.remainders import ends_of, remainders_of
from stepml.ml.data.table import MISSING_LEVEL, TableColumn

# Larger than those of numbers: each call of pyarrow takes a millisecond.
BLOCK_BYTES = 2**20

_QUOTES = (
    "quotes enclose whole fields, without blanks around them, and are doubled within them, not "
    "escaped by a backslash"
)

Flags = NDArray[np.bool_]
Floats64 = NDArray[np.float64]
_CellLevels = tuple[list[str], NDArray[np.intp]]  # of each distinct cell, and the cells' places


class GeneralParser:
    """Parses rows of columns of any type."""

    block_bytes = BLOCK_BYTES

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._numbers = [each for each in layout.raw_columns if not each.is_category]
        self._categories = [each for each in layout.raw_columns if each.is_category]
        self._cells = CellReader(layout.dialect)
        self._collector = LevelCollector(self._categories, is_bounded=not layout.unlabelled)
        self._labels = None if layout.label_kind == "number" else LabelCodes(layout.label_kind)
        used = layout.kept_columns
        numbers = {each.column for each in self._numbers if each.kind == "number"}
        numbers |= {layout.validation_column, layout.weight_column}
        if self._labels is None:
            numbers.add(layout.label_column)
        self._blocks = ArrowBlocks(layout, used, sorted(numbers.intersection(used)))

    @property
    def levels(self) -> Sequence[Sequence[str]]:
        """The levels of each category in the rows so far, in order."""
        return self._collector.lists()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels in the rows so far, by code, if they are no numbers."""
        return () if self._labels is None else self._labels.names

    def parse(self, lines: Lines) -> DenseRows:
        rows = self._rows_of(lines)
        if isinstance(rows, np.ndarray):
            lines.refuse_first(partial(self._problem_of, places=lines.places))
        return rows

    def parse_good(self, lines: Lines) -> tuple[DenseRows, BadLines]:
        return parse_good(lines, self._rows_of, partial(self._problem_of, places=lines.places))

    def _rows_of(self, lines: Lines) -> DenseRows | Flags:
        """Return the rows, or flags of bad lines."""
        n_rows = len(lines.offsets)
        if not n_rows:
            return self._rows(lines, np.empty((0, len(self._numbers))), [], np.empty(0), None)
        if b"\r" in lines.text:  # others read it as the end of a line
            flags: Flags = np.array([_has_cr(line, self._layout) for line in lines.split()])
            if flags.any():
                return flags
        block = self._blocks.read(lines.text, lines.places)
        if block is None or len(block) != n_rows:
            return np.array([self._problem_of_row(line) is not None for line in lines.split()])
        bad = np.zeros(n_rows, np.bool_)
        values = np.empty((n_rows, len(self._numbers)), np.float64, order="F")
        for place, column in enumerate(self._numbers):
            values[:, place] = self._numbers_of(block, column, bad)
        levels = [self._levels_of(block, column, bad) for column in self._categories]
        labels, said = self._labels_of(block, bad), self._said_of(block, bad)
        weights = self._weights_of(block, bad)
        if bad.any():
            return bad
        rows = self._rows(lines, values, levels, labels, said)
        return rows if weights is None else replace(rows, weights=to_singles(weights))

    def _numbers_of(self, block: Block, column: TableColumn, bad: Flags) -> Floats64:
        """Return the numbers of a column; flag rows that have none."""
        values = self._converted(block, column.column, self._cells.conversion(column.kind), bad)
        missing = np.isnan(values)
        if column.missing == "fail":
            bad |= missing
        bad |= np.isinf(to_singles(values))
        return values

    def _converted(self, block: Block, column: int, conversion: Conversion, bad: Flags) -> Floats64:
        values = block.numbers(column)
        if values is not None:
            return self._cells.lack(values)
        texts = block.texts(column)
        found = [conversion(each) for each in texts.distinct]
        refused = np.array([each is None for each in found], np.bool_)
        bad |= refused[texts.places]
        return np.array(found, np.float64)[texts.places]  # None becomes NaN

    def _levels_of(self, block: Block, column: TableColumn, bad: Flags) -> _CellLevels:
        texts = block.texts(column.column)
        missing = [self._cells.is_missing_text(each) for each in texts.distinct]
        if column.missing == "fail":
            bad |= np.array(missing, np.bool_)[texts.places]
        levels = [
            MISSING_LEVEL if lacks else level_of_text(self._level(each, column), column.are_numbers)
            for each, lacks in zip(texts.distinct, missing, strict=True)
        ]
        return levels, texts.places

    def _level(self, text: str, column: TableColumn) -> str:
        return self._cells.plain(text) if column.are_numbers else text

    def _labels_of(self, block: Block, bad: Flags) -> Floats64:
        column = self._layout.label_column
        if column < 0:
            return np.zeros(len(block))
        if self._labels is None:
            labels = self._converted(block, column, self._cells.conversion("number"), bad)
        else:
            texts = block.texts(column)
            known = [None if self._cells.is_missing_text(each) else each for each in texts.distinct]
            labels = self._labels.codes(known).astype(np.float64)[texts.places]
        singles = to_singles(labels)
        bad |= np.isinf(singles) if self._layout.unlabelled else ~np.isfinite(singles)
        return labels

    def _said_of(self, block: Block, bad: Flags) -> Floats64 | None:
        """Return the values of the column that says which rows validate; flag unclear ones."""
        column = self._layout.validation_column
        if column < 0:
            return None
        said = self._converted(block, column, self._cells.conversion("number"), bad)
        bad |= self._layout.do_validate(said)[1]
        return said

    def _weights_of(self, block: Block, bad: Flags) -> Floats64 | None:
        """Return the weights of rows, if they have any; flag those that are none."""
        column = self._layout.weight_column
        if column < 0:
            return None
        weights = self._converted(block, column, self._cells.conversion("number"), bad)
        bad |= ~are_weights(weights)
        return weights

    def _rows(
        self,
        lines: Lines,
        values: Floats64,
        levels: Sequence[_CellLevels],
        labels: Floats64,
        said: Floats64 | None,
    ) -> DenseRows:
        y, fine = to_singles(labels), list(self._layout.fine)
        hashes = None
        if self._layout.table is not None:
            hashes = np.full((len(y), len(levels)), MISSING, np.uint64)
            for place, (texts, places) in enumerate(levels):
                hashes[:, place] = self._collector.hashes_at(place, texts, places)
        rows = DenseRows(
            lines.offsets,
            y,
            to_singles(values),
            unless_equal(labels, y),
            int(np.count_nonzero(np.isnan(values))),
            remainders_of(values[:, fine]) if fine else None,
            levels=hashes,
        )
        if said is None:
            return rows
        validates, _ = self._layout.do_validate(said)
        return replace(rows, validates=validates, validation_ends=ends_of(said))

    def _cells_of(self, line: bytes) -> list[str]:
        text = line.decode("utf-8", "replace")
        cells = next(csv.reader([text], delimiter=self._layout.delimiter), [])
        return [each.strip() for each in cells]

    def _problem_of_row(self, line: bytes) -> str | None:
        """Return the reason why a line is no row of the right number of cells, or None."""
        if _has_cr(line, self._layout):
            return "a CR is within the line"
        expected, found = self._layout.n_columns, len(self._cells_of(line))
        has_quotes = b'"' in line
        block = self._blocks.read(line + b"\n", None) if found == expected and has_quotes else None
        if found == expected and (not has_quotes or (block is not None and len(block) == 1)):
            return None
        problem = f"{found} columns where {expected} are expected"
        if found == expected:
            problem = "a quoted field does not end"
        return f"{problem}; {_QUOTES}" if has_quotes else problem

    def _problem_of(self, line: bytes, places: Places = None) -> str | None:
        if problem := self._problem_of_row(line):
            return problem
        cells = self._cells_of(line)
        cells = [cells[place_of(column, places)] for column in range(len(cells))]
        title = partial(self._title, places=places)
        for column in self._layout.raw_columns:
            if problem := self._cells.problem(column, cells[column.column]):
                return f"{title(column.column)} {problem}"
        return (
            self._problem_of_label(cells, title)
            or self._problem_of_validation(cells, title)
            or self._problem_of_weight(cells, places)
        )

    def _title(self, column: int, places: Places) -> str:
        return self._layout.column_title(column, place_of(column, places))

    def _problem_of_label(self, cells: Sequence[str], title: Callable[[int], str]) -> str | None:
        column = self._layout.label_column
        if column < 0 or (self._layout.unlabelled and self._cells.is_missing(cells[column])):
            return None
        if self._labels is None:
            problem = self._cells.problem(TableColumn("", column, "number"), cells[column])
        else:
            token = cells[column].encode()
            problem = label_problem(token, self._layout.label_kind, self._cells.spelling)
        if problem is None:
            return None
        problem = problem.replace("a missing value", "a missing label")
        return f"{title(column)} {problem}"

    def _problem_of_validation(
        self, cells: Sequence[str], title: Callable[[int], str]
    ) -> str | None:
        column = self._layout.validation_column
        if column < 0:
            return None
        said = self._number_in(cells[column])
        if not self._layout.do_validate(said)[1].any():
            return None
        shown = shortened(cells[column].encode(), 40)
        return f"{title(column)} is {shown!r}, expected {VALIDATES}"

    def _problem_of_weight(self, cells: Sequence[str], places: Places) -> str | None:
        column = self._layout.weight_column
        if column < 0:
            return None
        value = self._number_in(cells[column])
        if are_weights(value).all():
            return None
        return self._layout.weight_problem(value.item(), place_of(column, places))

    def _number_in(self, cell: str) -> Floats64:
        value = self._cells.conversion("number")(cell)
        return np.array([np.nan if value is None else value])


def _has_cr(line: bytes, layout: Layout) -> bool:
    """Return whether a CR is within a line, and not in a quoted field that may have line ends."""
    if b"\r" not in line:
        return False
    if not layout.dialect.quoted_newlines:
        return True
    try:
        next(csv.reader([line.decode("utf-8", "replace")], delimiter=layout.delimiter), [])
    except csv.Error:
        return True
    return False
