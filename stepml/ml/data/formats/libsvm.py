"""libsvm (svmlight): a label and ``index:value`` pairs with ascending indices, from 1 or 0."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from stepml.ml.class_names import label_name, not_of_kind
from stepml.ml.data.formats.index_base import counts_from_zero
from stepml.ml.data.formats.rows import MalformedRowError, SparseRows, unless_equal
from stepml.ml.data.formats.text import TextFormat
from stepml.ml.data.formats.text.first_lines import FirstLines
from stepml.ml.data.formats.text.lines import BadLines, Lines, parse_good
from stepml.ml.data.formats.text.numbers import (
    decode_doubles,
    decode_integers,
    index_of,
    number_problem,
    to_singles,
)
from stepml.ml.data.formats.text.plain_text import PlainText
from stepml.ml.data.formats.text.reading import BLOCK_BYTES, ReadLimits
from stepml.ml.data.formats.text.records import NEWLINE
from stepml.ml.data.formats.text.words import Flags, Positions, Text
from stepml.ml.data.labels import LabelCodes, kind_of_numbers
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.remainders import remainders_of_pairs
from stepml.ml.data.source_format import SourceFormat

_LARGEST_INDEX = 2**32 - 1
# The query of a row, for rankings, behind its label.
_QUERY = re.compile(rb"^([^ \n]+) qid:\d+(?=[ \n])", re.MULTILINE)
_COUNTS_FROM_1 = "indices count from 1, unless data.zero_based is true"
_ZERO_INDEX = re.compile(rb" 0+:")


@dataclass(frozen=True)
class Libsvm(TextFormat):
    """Labels and pairs of index and value."""

    name = "libsvm"
    endings = (".libsvm", ".svm")
    limits: ReadLimits = field(default_factory=ReadLimits)

    def sniff(
        self, reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
    ) -> Layout:
        layout = super().sniff(reader, objects, source)
        zero_based = source.zero_based
        if zero_based == "auto":
            texts = [PlainText(reader, each, layout.dialect) for each in objects]
            zero_based = counts_from_zero(texts, source.n_features)
        return replace(layout, zero_based=zero_based)

    def review_lines(self, first: FirstLines, layout: Layout, source: SourceFormat) -> list[str]:
        notes = []
        if layout.zero_based and source.zero_based == "auto":
            notes.append(
                "indices count from 0, as one of the first rows has index 0; data.zero_based is "
                "true"
            )
        if any(_QUERY.search(b" ".join(line.split()) + b"\n") for line in first.lines):
            notes.append("the queries of rows (qid) are left out")
        return notes

    def layout_of(self, first: FirstLines, source: SourceFormat) -> Layout:
        first.require_rows()
        return Layout(
            format=self.name,
            delimiter="",
            n_columns=0,
            label_column=0,
            header=False,
            column_names=(),
            n_features=source.n_features,
            on_bad_row=source.on_bad_row,
            label_kind=_label_kind(first) if source.has_classes else "number",
        )

    def parser(self, layout: Layout) -> LibsvmParser:
        return LibsvmParser(layout)


class LibsvmParser:
    """Parses rows of index and value pairs."""

    block_bytes = BLOCK_BYTES
    levels = ()  # there are no categories

    def __init__(self, layout: Layout) -> None:
        self._first_index = 0 if layout.zero_based else 1
        n_features = layout.n_features or _LARGEST_INDEX
        self._last_index = n_features - 1 + self._first_index
        self._fine = layout.fine
        self._last_index_title = (
            f"n_features {n_features}"
            if self._first_index
            else f"{self._last_index}, the last one of n_features {n_features}"
        )
        self._codes = LabelCodes(layout.label_kind)
        self._is_plain = True  # so far: single spaces between pairs and no comments

    @property
    def label_names(self) -> tuple[str, ...]:
        return self._codes.names

    def parse(self, lines: Lines) -> SparseRows:
        plain_rows = self._plain_rows(lines)
        if plain_rows is not None:
            return plain_rows
        lines = self._made_plain(lines)
        rows = self._rows_of(lines)
        if isinstance(rows, np.ndarray):
            lines.refuse_first(self._problem_of)
        return rows

    def parse_good(self, lines: Lines) -> tuple[SparseRows, BadLines]:
        plain_rows = self._plain_rows(lines)
        if plain_rows is not None:
            return plain_rows, BadLines([], self._problem_of)
        rows, bad = parse_good(self._made_plain(lines), self._rows_of, self._problem_of)
        self._require_first_index(bad)
        return rows, bad

    def _require_first_index(self, bad: BadLines) -> None:
        """Refuse index 0: without such rows, the features of all others would be wrong as well."""
        for offset, line in bad.lines:
            problem = self._problem_of(line) if _ZERO_INDEX.search(line) else None
            if problem is not None and _COUNTS_FROM_1 in problem:
                raise MalformedRowError(offset, problem, line)

    def _plain_rows(self, lines: Lines) -> SparseRows | None:
        # The search for comments and superfluous blanks takes a sixth of the time. It is left out
        # until a block does not parse. Tabs are searched, because a number may have tabs around it.
        if not self._is_plain or b"\t" in lines.text:
            return None
        rows = self._rows_of(lines)
        return None if isinstance(rows, np.ndarray) else rows

    def _made_plain(self, lines: Lines) -> Lines:
        plain = lines.without_ends_in_comments().with_single_blanks()
        if b" qid:" in plain.text:
            plain = replace(plain, text=_QUERY.sub(rb"\1", plain.text))
        # If nothing has changed, the block has a bad row, and later blocks may still be plain.
        self._is_plain = self._is_plain and plain.text == lines.text
        return plain

    def _rows_of(self, lines: Lines) -> SparseRows | Flags:
        """Return the rows, or flags of bad lines."""
        tokens = Text.of(lines.text)
        ends_row = tokens.characters == NEWLINE
        colons = tokens.characters == ord(":")
        ends = np.flatnonzero(ends_row | colons | (tokens.characters == ord(" ")))
        starts = np.empty_like(ends)
        starts[:1] = tokens.margin
        np.add(ends[:-1], 1, out=starts[1:])
        return self._rows(lines, tokens, (starts, ends), (colons[ends], ends_row[ends]))

    def _rows(
        self,
        lines: Lines,
        tokens: Text,
        spans: tuple[Positions, Positions],
        separators: tuple[Flags, Flags],
    ) -> SparseRows | Flags:
        starts, ends = spans
        before_colon, before_newline = separators
        if not _alternates(before_colon, before_newline):
            return _out_of_turn(before_colon, before_newline)
        keys = np.flatnonzero(before_colon)
        rest = np.flatnonzero(~before_colon)  # labels and values
        indices, bad_indices = decode_integers(tokens, starts[keys], ends[keys])
        numbers, bad_numbers = decode_doubles(tokens, starts[rest], ends[rest])
        row_ends = np.flatnonzero(before_newline[rest])  # the last value of each row, or its label
        label_places = np.concatenate([[0], row_ends[:-1] + 1])[: len(row_ends)]
        counts = row_ends - label_places
        if len(bad_indices) or len(bad_numbers) or not self._ascends(indices, counts):
            bad_tokens = np.concatenate([keys[bad_indices], rest[bad_numbers]])
            return _of_lines(bad_tokens, before_newline) | self._disorder(indices, counts)
        is_value = np.ones(len(numbers), np.bool_)
        is_value[label_places] = False
        labels, singles = numbers[label_places], to_singles(numbers)
        y = singles[label_places]
        if self._codes.kind != "number":
            y = self._codes.codes_of(labels)
            labels = y.astype(np.float64)
            if np.isnan(y).any():
                return np.isnan(y)
        features = (indices - np.uint64(self._first_index)).astype(np.uint32)
        return SparseRows(
            lines.offsets,
            y,
            counts.astype(np.uint32),
            features,
            singles[is_value],
            unless_equal(labels, y),
            remainders=remainders_of_pairs(features, numbers[is_value], self._fine),
        )

    def _ascends(self, indices: np.ndarray, counts: Positions) -> bool:
        if not len(indices):
            return True
        rises = _rises(indices, counts)
        is_within = indices.min() >= self._first_index and indices.max() <= self._last_index
        return bool(rises.all() and is_within)

    def _disorder(self, indices: np.ndarray, counts: Positions) -> Flags:
        """Flag lines with an index that does not ascend or is out of range."""
        wrong = (indices < self._first_index) | (indices > self._last_index)
        wrong[1:] |= ~_rises(indices, counts)
        flags = np.zeros(len(counts), np.bool_)
        flags[np.repeat(np.arange(len(counts)), counts)[wrong]] = True
        return flags

    def _problem_of(self, line: bytes) -> str | None:
        label, *pairs = line.split(b" ")
        problem = number_problem(label)
        kind = self._codes.kind
        if problem is None and kind != "number" and label_name(label.decode(), kind) is None:
            problem = f"is {label.decode()!r}, {not_of_kind(kind)}"
        if problem is not None:
            return f"the label {problem}"
        previous = self._first_index - 1
        for pair in pairs:
            index, colon, value = pair.partition(b":")
            problem = self._problem_of_index(index, previous) if colon else "has no ':'"
            problem = problem or number_problem(value)
            if problem is not None:
                return f"the pair {pair.decode('utf-8', 'backslashreplace')[:40]!r} {problem}"
            previous = int(index)
        return None

    def _problem_of_index(self, index: bytes, previous: int) -> str | None:
        number = index_of(index)
        if number is None:
            return "has an index that is not an integer below 2**32"
        if number < self._first_index:
            return f"has index 0: {_COUNTS_FROM_1}"
        if number <= previous:
            return f"has an index that does not ascend: it comes after {previous}"
        if number > self._last_index:
            return f"has an index above {self._last_index_title}"
        return None


def _label_kind(first: FirstLines) -> str:
    """Return the kind of labels that are classes: numbers, or integers that float32 lacks."""
    labels = [line.split(maxsplit=1)[0] for line in first.lines if line.strip()]
    numbers = [float(label) for label in labels if number_problem(label) is None]
    return kind_of_numbers(numbers)


def _alternates(before_colon: Flags, before_newline: Flags) -> bool:
    """Return whether each row is a label and pairs: no colon, then colon, no colon, and so on."""
    if not len(before_colon):
        return True
    repeats = before_colon[1:] == before_colon[:-1]
    return not before_colon[0] and bool((repeats == before_newline[:-1]).all())


def _out_of_turn(before_colon: Flags, before_newline: Flags) -> Flags:
    """Flag lines with a token that breaks the order of `_alternates`."""
    wrong = before_colon.copy()  # right for the first token
    repeats = before_colon[1:] == before_colon[:-1]
    # The last token of a line has no colon behind it, so each line is independent.
    wrong[1:] = repeats != before_newline[:-1]
    return _of_lines(np.flatnonzero(wrong), before_newline)


def _of_lines(tokens: Positions, before_newline: Flags) -> Flags:
    """Flag the lines of the ``tokens``."""
    ends = np.cumsum(before_newline)
    flags = np.zeros(ends[-1] if len(ends) else 0, np.bool_)
    flags[ends[tokens] - before_newline[tokens]] = True
    return flags


def _rises(indices: np.ndarray, counts: Positions) -> Flags:
    """Flag indices, from the second on, that are larger than the one before or start a row."""
    rises = indices[1:] > indices[:-1]
    row_starts = np.cumsum(counts)[:-1]
    rises[row_starts[(row_starts > 0) & (row_starts < len(indices))] - 1] = True
    return rises
