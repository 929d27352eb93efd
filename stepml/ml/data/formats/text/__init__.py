"""Formats with one row a line: ranges are cut at newlines, lines are parsed in blocks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from stepml.job.errors import EmptyDataError
from stepml.ml.data.formats.base import DataFormat
from stepml.ml.data.formats.text.dialects import dialect_notes, sniffed_lines
from stepml.ml.data.formats.text.first_lines import FirstLines, first_lines
from stepml.ml.data.formats.text.plain_text import unpacked_name
from stepml.ml.data.formats.text.reading import ReadLimits
from stepml.ml.data.formats.text.rows import Parser, TextRows
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.source_format import SourceFormat

__all__ = ["Parser", "TextFormat"]

Fact = TypeVar("Fact")


class TextFormat(DataFormat):
    """A format with one row a line.

    Attributes
    ----------
    delimiter : str
        Between columns, unless the job or the first lines say otherwise; empty: there are none.
    limits : ReadLimits
    """

    delimiter: str = ""
    limits = ReadLimits()

    def matches(self, name: str) -> bool:
        return super().matches(unpacked_name(name))

    @abstractmethod
    def layout_of(self, first: FirstLines, source: SourceFormat) -> Layout:
        """Return the layout, given the first lines of an object.

        Raises
        ------
        EmptyDataError
            The object has no rows; the next one is tried.
        InvalidDataError
            The lines do not match ``source``.
        """

    def has_header(self, first: FirstLines, source: SourceFormat) -> bool:
        """Return whether the first line is a header; it is much quicker than `layout_of`.

        Raises
        ------
        EmptyDataError
            As `layout_of`.
        """
        first.require_rows()
        return False

    @abstractmethod
    def parser(self, layout: Layout) -> Parser:
        """Return a parser of lines."""

    def sniff(
        self, reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
    ) -> Layout:
        def find(data: DataObject) -> FirstLines:
            return sniffed_lines(reader, data, source, self.delimiter)

        first, layout = _with_rows(objects, find, lambda first: self.layout_of(first, source))
        return replace(layout, dialect=first.dialect)

    def review(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        source: SourceFormat,
    ) -> list[str]:
        def find(data: DataObject) -> FirstLines:
            return first_lines(reader, data, layout.dialect, layout.delimiter)

        filled = [each for each in objects if each.value_bytes]
        whole = source.with_paths_of(filled)
        # The layout follows from the same lines, unless paths of more objects are at odds with it.
        look = self.layout_of if whole.path else self.has_header
        first, _ = _with_rows(filled, find, lambda first: look(first, whole))
        notes = dialect_notes(layout, source, self.delimiter)
        return notes + self.review_lines(first, layout, source)

    def review_lines(self, first: FirstLines, layout: Layout, source: SourceFormat) -> list[str]:
        """Return notes on the lines from which ``layout`` was inferred; see `review`."""
        return []

    def open_rows(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int,
    ) -> TextRows:
        parser = self.parser(layout)
        return TextRows(reader, objects, layout, parser, request_bytes, self.limits)


def _with_rows(
    objects: Sequence[DataObject],
    find: Callable[[DataObject], FirstLines],
    look: Callable[[FirstLines], Fact],
) -> tuple[FirstLines, Fact]:
    """Return the first lines of the first object with rows, and the fact that ``look`` sees."""
    without_rows: list[EmptyDataError] = []
    for each in objects:
        try:
            first = find(each)
            return first, look(first)
        except EmptyDataError as exc:
            without_rows.append(exc)
    raise without_rows[0]
