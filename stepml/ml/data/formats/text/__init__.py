"""Formats with one row a line: ranges are cut at newlines, lines are parsed in blocks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from stepml.job.errors import EmptyDataError
from stepml.ml.data.formats.base import DataFormat
from stepml.ml.data.formats.text.first_lines import FirstLines, first_lines
from stepml.ml.data.formats.text.reading import ReadLimits
from stepml.ml.data.formats.text.rows import Parser, TextRows
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.source_format import SourceFormat

__all__ = ["Parser", "TextFormat"]


class TextFormat(DataFormat):
    """A format with one row a line.

    Attributes
    ----------
    limits : ReadLimits
    """

    limits = ReadLimits()

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

    @abstractmethod
    def parser(self, layout: Layout) -> Parser:
        """Return a parser of lines."""

    def sniff(
        self, reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
    ) -> Layout:
        return self._sniffed(reader, objects, source)[1]

    def review(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        source: SourceFormat,
    ) -> list[str]:
        filled = [each for each in objects if each.value_bytes]
        return self.review_lines(self._sniffed(reader, filled, source)[0], layout, source)

    def review_lines(self, first: FirstLines, layout: Layout, source: SourceFormat) -> list[str]:
        """Return notes on the lines from which ``layout`` was inferred; see `review`."""
        return []

    def _sniffed(
        self, reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
    ) -> tuple[FirstLines, Layout]:
        without_rows: list[EmptyDataError] = []
        for each in objects:
            try:
                first = first_lines(reader, each)
                return first, self.layout_of(first, source)
            except EmptyDataError as exc:
                without_rows.append(exc)
        raise without_rows[0]

    def open_rows(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int,
    ) -> TextRows:
        parser = self.parser(layout)
        return TextRows(reader, objects, layout, parser, request_bytes, self.limits)
