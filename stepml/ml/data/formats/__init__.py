"""One module per text format: blocks of lines → arrays."""

from __future__ import annotations

from typing import Protocol

from stepml.ml.data.formats.csv import CsvParser
from stepml.ml.data.formats.libsvm import LibsvmParser
from stepml.ml.data.formats.lines import BadLines
from stepml.ml.data.formats.rows import DenseRows, SparseRows
from stepml.ml.data.layout import Layout


class Parser(Protocol):
    """Parses blocks of whole lines."""

    def parse(self, text: bytes, offset: int) -> DenseRows | SparseRows:
        """Return the rows of ``text``, which ends with a newline and starts at ``offset``.

        Raises
        ------
        MalformedRowError
            For the first row that does not parse.
        """
        ...

    def parse_good(self, text: bytes, offset: int) -> tuple[DenseRows | SparseRows, BadLines]:
        """Return the rows that parse, and the lines that do not.

        A line is bad if `parse` would refuse it: a wrong number of columns, quotes, indices that
        do not ascend, or a value that is none. As fast as `parse` if there is no such line.
        """
        ...


def parser_for(layout: Layout) -> Parser:
    """Return the parser of a data set's format."""
    return LibsvmParser(layout) if layout.format == "libsvm" else CsvParser(layout)
