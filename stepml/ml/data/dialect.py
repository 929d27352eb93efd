"""The way in which the text of a table is written, beyond its delimiter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """The conventions of an object of text; all objects of a data set share them."""

    encoding: str = "utf-8"  # utf-8, utf-16 or latin-1
    compression: str = ""  # gzip, bzip2, xz or zstd; empty: none
    line_end: str = "\n"  # or "\r", where CR alone ends lines
    has_quotes: bool = False  # fields behind the header are quoted, as in RFC 4180
    quoted_newlines: bool = False  # … and may have line ends
    comment: str = ""  # lines that begin with it are left out
    decimal: str = "."
    thousands: str = ""  # a separator within numbers
    missing_words: tuple[str, ...] = ()  # beside the usual ones

    @property
    def is_cut(self) -> bool:
        """Whether objects may be cut into byte ranges; otherwise one function reads an object."""
        return not (
            self.compression
            or self.quoted_newlines
            or self.encoding == "utf-16"
            or self.line_end == "\r"
        )


PLAIN = Dialect()
