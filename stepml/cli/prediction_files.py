"""Files of predictions: CSV, JSON lines or Parquet, written a block of rows at a time."""

from __future__ import annotations

import csv
import gzip
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from stepml.cli.model_files import whole_file
from stepml.cli.prediction_formats import COMPRESSED, OutFormat
from stepml.ml.data.formats.arrow import import_arrow

Column = npt.NDArray[Any] | Sequence[Any]
"""Values of a block of rows: an array of NumPy, a list of texts, or an array of Arrow."""


class TextOut(Protocol):
    """A stream of text."""

    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


class PredictionWriter(ABC):
    """Writes tables of the same columns, one after the other, at least one."""

    @abstractmethod
    def write(self, columns: Mapping[str, Column]) -> None:
        """Write some rows, perhaps none; the first call determines the columns."""

    @abstractmethod
    def end(self) -> None:
        """Write the rest."""


class CsvWriter(PredictionWriter):
    """Writes a header, and a line for each row."""

    def __init__(self, file: TextOut) -> None:
        self._file = file
        self._is_begun = False

    def write(self, columns: Mapping[str, Column]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._is_begun:
            writer.writerow(columns)
        writer.writerows(zip(*map(_texts, columns.values()), strict=True))
        self._file.write(text.getvalue())
        self._is_begun = True

    def end(self) -> None:
        self._file.flush()


class JsonLinesWriter(PredictionWriter):
    """Writes an object for each row."""

    def __init__(self, file: TextOut) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def write(self, columns: Mapping[str, Column]) -> None:
        rows = zip(*map(_values, columns.values()), strict=True)
        lines = self._encoder.encode_lines(dict(zip(columns, row, strict=True)) for row in rows)
        self._file.write(lines.decode())

    def end(self) -> None:
        self._file.flush()


class ParquetWriter(PredictionWriter):
    """Writes a row group for each block."""

    def __init__(self, file: BinaryIO) -> None:
        self._pyarrow, self._parquet = import_arrow("parquet", "Parquet")
        self._file = file
        self._writer: Any = None

    def write(self, columns: Mapping[str, Column]) -> None:
        pyarrow = self._pyarrow
        text = pyarrow.string()
        arrays = {
            name: pyarrow.array(each, text) if isinstance(each, list) else pyarrow.array(each)
            for name, each in columns.items()
        }
        table = pyarrow.table(arrays)
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def end(self) -> None:
        self._writer.close()


@contextmanager
def opened(out: Path | None, kind: OutFormat, stdout: Any) -> Iterator[PredictionWriter]:
    """Yield the writer of a file, which becomes visible when it is complete, or of ``stdout``."""
    if out is None:
        yield _text_writer(kind, stdout)
        return
    with whole_file(out, "--out") as file:
        if kind is OutFormat.PARQUET:
            yield ParquetWriter(file)
            return
        with _binary(file, out) as content, _utf8(content) as text:
            yield _text_writer(kind, text)


def _text_writer(kind: OutFormat, file: TextOut) -> PredictionWriter:
    return CsvWriter(file) if kind is OutFormat.CSV else JsonLinesWriter(file)


@contextmanager
def _binary(file: BinaryIO, out: Path) -> Iterator[Any]:
    if out.suffix.lower() != COMPRESSED:
        yield file
        return
    # Without the time, the same predictions are the same bytes.
    with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
        yield packed


def _utf8(file: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="\n")


def _texts(column: Column) -> Sequence[str]:
    """Format labels, numbers or clusters, whole ones without a trailing ``.0``."""
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        return [text.removesuffix(".0") for text in column.astype(str).tolist()]
    return ["" if each is None else str(each) for each in _values(column)]


def _values(column: Column) -> Sequence[Any]:
    if not isinstance(column, np.ndarray):
        found: Any = column
        return column if isinstance(column, list) else list(found.to_pylist())
    if column.dtype == np.float32:  # with its own digits, not those of float64
        column = column.astype(str).astype(np.float64)
    values: Sequence[Any] = column.tolist()
    return values
