"""Rows of unquoted columns of numbers in text, read many at a time without a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from stepml.ml.data.formats.rows import (
    VALIDATES,
    DenseRows,
    shortened,
    unless_equal,
    without_columns,
)
from stepml.ml.data.formats.text.label_tokens import LabelTokens, label_problem
from stepml.ml.data.formats.text.lines import BadLines, Lines, Places, parse_good, place_of
from stepml.ml.data.formats.text.numbers import (
    Floats64,
    decode_doubles,
    missing_problem,
    number_of,
    to_singles,
)
from stepml.ml.data.formats.text.reading import BLOCK_BYTES
from stepml.ml.data.formats.text.records import NEWLINE
from stepml.ml.data.formats.text.spelling import Spelling, with_points
from stepml.ml.data.formats.text.words import Flags, Positions, Text
from stepml.ml.data.labels import LabelCodes
from stepml.ml.data.layout import Layout, are_weights
from stepml.ml.data.remainders import ends_of, remainders_of


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of a block of text."""

    text: Text
    starts: Positions  # in the text's characters, as ends are
    ends: Positions
    end_rows: Flags  # cells that are the last ones of their lines

    @classmethod
    def of(cls, text: bytes, delimiter: bytes) -> _Cells:
        table = Text.of(text)
        newlines = table.characters == NEWLINE
        ends = np.flatnonzero(newlines | (table.characters == ord(delimiter)))
        starts = np.empty_like(ends)
        starts[:1] = table.margin
        np.add(ends[:-1], 1, out=starts[1:])
        return cls(table, starts, ends, newlines[ends])


class NumberParser:
    """Parses rows of unquoted columns of numbers between delimiters; the label may be text."""

    block_bytes = BLOCK_BYTES
    levels = ()  # there are no categories

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._delimiter = layout.delimiter.encode()
        self._kept = layout.kept_columns
        self._width = len(self._kept)
        roles = (layout.label_column, layout.validation_column, layout.weight_column)
        self._label, self._validation, self._weight = places = [
            self._kept.index(column) if column >= 0 else -1 for column in roles
        ]
        self._others = sorted(each for each in places if each >= 0)
        self._may_lack = self._optional_columns()
        self._fine = [self._kept.index(layout.column_of(number)) for number in layout.fine]
        self._spelling = Spelling(layout.dialect)
        self._codes = LabelCodes(layout.label_kind)
        self._labels = LabelTokens(self._codes, self._spelling)

    @property
    def label_names(self) -> tuple[str, ...]:
        return self._codes.names

    def parse(self, lines: Lines) -> DenseRows:
        rows = self._rows_of(lines)
        if isinstance(rows, np.ndarray):
            lines.refuse_first(partial(self._problem_of, places=lines.places))
        return rows

    def parse_good(self, lines: Lines) -> tuple[DenseRows, BadLines]:
        return parse_good(lines, self._rows_of, partial(self._problem_of, places=lines.places))

    def _rows_of(self, lines: Lines) -> DenseRows | Flags:
        """Return the rows, or flags of bad lines."""
        if b"\r" in lines.text:  # others read it as the end of a line
            return np.array([b"\r" in line for line in lines.text.split(b"\n")[:-1]], np.bool_)
        cells = _Cells.of(lines.text, self._delimiter)
        if not self._is_rectangular(cells.end_rows, len(lines.offsets)):
            row_ends = np.flatnonzero(cells.end_rows)
            flags: Flags = np.diff(row_ends, prepend=-1) != self._layout.n_columns
            return flags
        return self._rows(lines, self._kept_of(cells, lines.places))

    def _kept_of(self, cells: _Cells, places: Places) -> _Cells:
        """Return the cells that are features, labels, or say which rows validate, in order."""
        if self._width == self._layout.n_columns and places is None:
            return cells
        shape = (-1, self._layout.n_columns)
        kept = [place_of(column, places) for column in self._kept]
        starts, ends = (each.reshape(shape)[:, kept].ravel() for each in (cells.starts, cells.ends))
        return replace(cells, starts=starts, ends=ends)

    def _is_rectangular(self, ends_row: Flags, n_rows: int) -> bool:
        n_columns = self._layout.n_columns
        return len(ends_row) == n_rows * n_columns and bool(
            ends_row[n_columns - 1 :: n_columns].all()
        )

    def _rows(self, lines: Lines, written: _Cells) -> DenseRows | Flags:
        values, unread = self._decode(lines, written)
        bad = self._accept_missing(values, unread, written)
        if len(bad):
            flags: Flags = np.zeros(len(lines.offsets), np.bool_)
            flags[bad // self._width] = True
            return flags
        cells = values.reshape(len(lines.offsets), self._width)
        if self._weight >= 0:
            wrong = ~are_weights(cells[:, self._weight])
            if wrong.any():
                return wrong
        if self._validation < 0:
            return self._columns(lines, cells, len(unread))
        said = cells[:, self._validation]
        validates, wrong = self._layout.do_validate(said)
        if wrong.any():
            return wrong
        rows = self._columns(lines, cells, len(unread))
        return replace(rows, validates=validates, validation_ends=ends_of(said))

    def _decode(self, lines: Lines, written: _Cells) -> tuple[Floats64, Positions]:
        """Return numbers, the codes of labels that are none, and the cells without a value."""
        plain, cells = with_points(lines.text, self._layout.dialect), written
        if plain is not lines.text:
            cells = self._kept_of(_Cells.of(plain, self._delimiter), lines.places)
        if self._layout.label_kind == "number" or not self._layout.has_label:
            return self._numbers(cells, slice(None))
        are_numbers = np.flatnonzero(np.arange(len(cells.ends)) % self._width != self._label)
        values = np.empty(len(cells.ends))
        values[are_numbers], unread = self._numbers(cells, are_numbers)
        labels = slice(self._label, None, self._width)
        values[labels] = codes = self._labels.codes(
            written.text, written.starts[labels], written.ends[labels]
        )
        unknown = np.flatnonzero(np.isnan(codes)) * self._width + self._label
        return values, np.sort(np.concatenate([are_numbers[unread], unknown]))

    def _numbers(self, cells: _Cells, chosen: slice | Positions) -> tuple[Floats64, Positions]:
        values, unread = decode_doubles(cells.text, cells.starts[chosen], cells.ends[chosen])
        missing = self._spelling.missing_numbers(values)
        return values, np.union1d(unread, missing) if len(missing) else unread

    def _optional_columns(self) -> Flags:
        """Return which of the kept columns may lack a value."""
        may_lack = {each.column for each in self._layout.raw_columns if each.missing != "fail"}
        if self._layout.unlabelled:
            may_lack.add(self._layout.label_column)
        return np.array([column in may_lack for column in self._kept], np.bool_)

    def _accept_missing(self, values: Floats64, bad: Positions, cells: _Cells) -> Positions:
        """Make NaN of missing values among the ``bad`` ones; return the rest of these.

        They are filled in later, once all training rows are known.
        """
        missing = self._may_lack[bad % self._width]
        if missing.any():
            missing &= self._spelling.missing(cells.text, cells.starts[bad], cells.ends[bad])
            values[bad[missing]] = np.nan
        others: Positions = bad[~missing]
        return others

    def _columns(self, lines: Lines, cells: Floats64, n_missing: int) -> DenseRows:
        label, singles = self._label, to_singles(cells)
        rest = remainders_of(cells[:, self._fine]) if self._fine else None
        X = without_columns(singles, self._others)
        weights = singles[:, self._weight] if self._weight >= 0 else None
        y, written = np.zeros(len(cells), np.float32), None
        if self._layout.has_label:
            y = singles[:, label]
            written = unless_equal(cells[:, label], y)
        return DenseRows(lines.offsets, y, X, written, n_missing, rest, weights=weights)

    def _problem_of(self, line: bytes, places: Places = None) -> str | None:
        if b"\r" in line:
            return "a CR is within the line"
        cells = line.split(self._delimiter)
        if len(cells) != self._layout.n_columns:
            if b'"' in line:
                return "quoted fields are not supported"
            if line.lstrip().startswith(b"#"):
                return "comments are not supported"
            return f"{len(cells)} columns where {self._layout.n_columns} are expected"
        for place, column in enumerate(self._kept):
            at = place_of(column, places)
            cell = cells[at]
            problem = self._problem_of_cell(column, cell)
            is_excused = self._may_lack[place] and self._spelling.is_missing(cell)
            if problem is not None and not is_excused:
                if column == self._layout.label_column:
                    problem = problem.replace("a missing value", "a missing label")
                return f"{self._layout.column_title(column, at)} {problem}"
        column = self._layout.weight_column
        if column >= 0:
            at = place_of(column, places)
            value = self._number_in(cells[at])
            if not are_weights(value).all():
                return self._layout.weight_problem(value.item(), at)
        column = self._layout.validation_column
        return None if column < 0 else self._problem_of_validation(cells, place_of(column, places))

    def _problem_of_cell(self, column: int, cell: bytes) -> str | None:
        if column == self._layout.label_column and self._layout.label_kind != "number":
            return label_problem(cell, self._layout.label_kind, self._spelling)
        if self._spelling.is_missing(cell):
            return missing_problem(cell)
        return self._spelling.number_problem(cell)

    def _number_in(self, cell: bytes) -> Floats64:
        return np.array([number_of(with_points(cell, self._layout.dialect))])

    def _problem_of_validation(self, cells: Sequence[bytes], at: int) -> str | None:
        if not self._layout.do_validate(self._number_in(cells[at]))[1].any():
            return None
        title = self._layout.column_title(self._layout.validation_column, at)
        return f"{title} is {shortened(cells[at], 40)!r}, expected {VALIDATES}"
