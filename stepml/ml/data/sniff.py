"""The first lines of a data set → its `Layout`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest

from stepml.job.errors import EmptyDataError, InvalidDataError
from stepml.ml.data.formats.numbers import is_missing
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.sniff_binary import BINARY_FORMATS, sniff_binary
from stepml.ml.data.source_format import SourceFormat

# Longer lines are refused: each reader of a range may have to hold one.
MAX_LINE_BYTES = 16 * 2**20
SNIFF_BYTES = 64 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_FORMATS = ("csv", "tsv", "libsvm", *BINARY_FORMATS)
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip (or npz)",
    b"PAR1": "parquet",
    b"\x93NUMPY": "npy",
    b"\x89HDF": "HDF5",
}


def sniff(reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat) -> Layout:
    """Find out how the rows are written, from the first object that has some.

    Its first line decides on the number of columns, also where bad rows are skipped.

    Raises
    ------
    EmptyDataError
        If there is nothing but empty lines and headers.
    InvalidDataError
        If the content is binary or compressed, the label is not one of the columns, or there are
        not ``n_features``.
    ValueError
        If the format is not known.
    """
    if source.format not in _FORMATS:
        raise ValueError(f"format is one of {', '.join(_FORMATS)}, not {source.format!r}")
    written = _with_content(objects)
    if source.format in BINARY_FORMATS:
        layout = sniff_binary(reader, written, source)
    else:
        layout = _first_with_rows(written, lambda data: _text_layout(reader, data, source))
    layout = replace(layout, on_bad_row=source.on_bad_row)
    return layout if source.format == "libsvm" else replace(layout, missing=source.missing)


def _with_content(objects: Sequence[DataObject]) -> list[DataObject]:
    found = [each for each in objects if each.value_bytes]
    if not found:
        named = f" (s3 object {objects[0].key} has 0 bytes)" if objects else ""
        raise EmptyDataError(
            f"the data set is empty: {len(objects)} objects without content{named}"
        )
    return found


def _first_with_rows(
    objects: Sequence[DataObject], layout_of: Callable[[DataObject], Layout]
) -> Layout:
    """Return the first object's layout, or the next one's if it holds a header only, and so on."""
    without_rows: list[EmptyDataError] = []
    for each in objects:
        try:
            return layout_of(each)
        except EmptyDataError as exc:
            without_rows.append(exc)
    raise without_rows[0]


def _text_layout(reader: ObjectReader, data: DataObject, source: SourceFormat) -> Layout:
    start = _first_bytes(reader, data)
    lines = start.removeprefix(BYTE_ORDER_MARK).splitlines()
    if source.format == "libsvm":
        _require_rows(data, start, lines)
        return Layout("libsvm", "", 0, 0, False, (), source.n_features)
    layout = _columns(data, lines, start, source)
    if source.n_features not in (None, layout.n_features):
        raise InvalidDataError(
            f"data.n_features is {source.n_features}, but s3 object {data.key} has "
            f"{layout.n_features} columns{' beside the label' if source.has_label else ''}"
        )
    return layout


def _first_bytes(reader: ObjectReader, data: DataObject) -> bytes:
    start = reader.load_range(data.key, 0, SNIFF_BYTES)
    _refuse_binary(data, start)
    # A first line of thousands of columns may be longer.
    while b"\n" not in start and len(start) < min(data.value_bytes, MAX_LINE_BYTES):
        more = reader.load_range(data.key, len(start), 2 * len(start))
        if not more:
            break
        start += more
    return start


def _refuse_binary(data: DataObject, start: bytes) -> None:
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            raise InvalidDataError(
                f"s3 object {data.key} is {kind}: it cannot be cut by bytes; "
                "store it as plain csv, tsv or libsvm"
            )
    if b"\0" in start:
        raise InvalidDataError(
            f"s3 object {data.key} is binary, not text: byte {start.index(0)} is zero"
        )


def _require_rows(data: DataObject, start: bytes, lines: Sequence[bytes]) -> None:
    # Nothing but empty lines in the first bytes of a longer object is left to the parser.
    if not any(line.strip() for line in lines) and len(start) >= data.value_bytes:
        raise EmptyDataError(f"s3 object {data.key} has no data rows")


def _columns(
    data: DataObject, lines: Sequence[bytes], start: bytes, source: SourceFormat
) -> Layout:
    written = [line for line in lines if line]
    if not written:
        raise EmptyDataError(f"s3 object {data.key} has no data rows")
    delimiter = _DELIMITERS[source.format]
    label, has_label = (source.label if source.has_label else None), source.has_label
    names = _fields(written[0], delimiter)
    if has_label:
        _require_features(data, names, source.format, delimiter)
    header = _is_header(names, label) if source.header is None else source.header
    if header and not lines[0]:
        raise InvalidDataError(
            f"s3 object {data.key} starts with an empty line: a header must be the first line"
        )
    if header:
        _require_rows(data, start, lines[1:])
    n_columns = len(names)
    names = names if header else ()
    column = label_column(data, names, n_columns, label) if has_label else -1
    n_features = n_columns - int(has_label)
    return Layout(source.format, delimiter, n_columns, column, header, names, n_features)


def _fields(line: bytes, delimiter: str) -> tuple[str, ...]:
    text = line.decode("utf-8", "replace")
    return tuple(field.strip() for field in next(csv.reader([text], delimiter=delimiter)))


def _is_header(fields: Sequence[str], label: str | int | None) -> bool:
    # A line with a few fields that are no numbers is a bad row rather than a header: refused
    # rows are seen, rows that were taken for a header are not. Missing values are no names.
    n_names = sum(not _is_number(field) and not is_missing(field.encode()) for field in fields)
    return (isinstance(label, str) and label in fields) or 2 * n_names > len(fields)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def label_column(
    data: DataObject, names: Sequence[str], n_columns: int, label: str | int | None
) -> int:
    """Return the 0-based index of the label's column, named ``names`` if they have names.

    Raises
    ------
    InvalidDataError
        If ``label`` is none of the columns, or the name of several.
    """
    if isinstance(label, str):
        if not names:
            raise InvalidDataError(
                f"data.label is {label!r}, but s3 object {data.key} has no header; "
                f"name the label's column by its index, 0 to {n_columns - 1}"
            )
        if label not in names:
            raise InvalidDataError(
                f"data.label is {label!r}, which is none of the columns of s3 object {data.key}: "
                + shortened(", ".join(names).encode(), 400)
            )
        if names.count(label) > 1:
            raise InvalidDataError(
                f"data.label is {label!r}, the name of {names.count(label)} columns of s3 object "
                f"{data.key}: name the label's column by its index"
            )
        return names.index(label)
    column = n_columns - 1 if label is None else label
    if not -n_columns <= column < n_columns:
        raise InvalidDataError(
            f"data.label is {label}, but s3 object {data.key} has {n_columns} columns: "
            f"allowed are 0 to {n_columns - 1}, or -{n_columns} to -1 from the end"
        )
    return column % n_columns


def _require_features(
    data: DataObject,
    names: Sequence[str],
    format: str,  # noqa: A002
    delimiter: str,
) -> None:
    if len(names) < 2:
        raise InvalidDataError(
            f"s3 object {data.key} has one column, a label and no features: format {format!r} "
            f"separates columns by {delimiter!r}, the first line is {names[0][:60]!r}"
        )


def require_same_header(reader: ObjectReader, data: DataObject, layout: Layout) -> None:
    """Refuse an object whose header names other columns than the data set's first object.

    Raises
    ------
    InvalidDataError
        Names the object and the first column that differs.
    """
    lines = _first_bytes(reader, data).removeprefix(BYTE_ORDER_MARK).splitlines()
    names = _fields(lines[0], layout.delimiter) if lines else ()
    if names == layout.column_names:
        return
    pairs = zip_longest(names, layout.column_names, fillvalue="")
    column, (found, expected) = next(
        (column, pair) for column, pair in enumerate(pairs, start=1) if pair[0] != pair[1]
    )
    raise InvalidDataError(
        f"s3 object {data.key}: its header is not that of the first object: "
        f"column {column} is {found[:40]!r} instead of {expected[:40]!r}"
    )
