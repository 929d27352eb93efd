"""CSV and TSV: the same number of unquoted columns in every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stepml.job.errors import EmptyDataError, InvalidDataError
from stepml.ml.data.formats.columns import other_columns
from stepml.ml.data.formats.text import Parser, TextFormat
from stepml.ml.data.formats.text.first_lines import FirstLines
from stepml.ml.data.formats.text.headers import Header
from stepml.ml.data.formats.text.number_parser import NumberParser
from stepml.ml.data.formats.text.path_fields import have_quotes
from stepml.ml.data.formats.text.reading import ReadLimits
from stepml.ml.data.formats.text.review import comment_hint, header_of, review_table
from stepml.ml.data.formats.text.types import FirstCells, with_label_kind, with_types
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject
from stepml.ml.data.path_columns import require_own_names
from stepml.ml.data.source_format import SourceFormat


@dataclass(frozen=True)
class Csv(TextFormat):
    """Columns between delimiters."""

    name: str
    delimiter: str
    endings: tuple[str, ...]
    limits: ReadLimits = field(default_factory=ReadLimits)

    def layout_of(self, first: FirstLines, source: SourceFormat) -> Layout:
        header = self.has_header(first, source)
        table = first.table(1)
        path_names = _path_names(first.data, table[0], header, source)
        names = (*table[0], *path_names)
        layout = replace(
            self._layout(first.data, names, header, source),
            delimiter=first.delimiter,
            path_names=path_names,
        )
        # Columns that are empty at first, and rare words, are not seen in a hundred rows.
        rows = first.values(None)[int(header) :]
        rows = [row for row in rows if len(row) == layout.n_own_columns]
        cells = FirstCells(rows, [each.telling_values for each in source.path])
        layout = with_label_kind(layout, cells, source)
        layout = with_types(first.data, layout, cells, source)
        dialect = first.dialect
        # Numbers with delimiters in them are quoted.
        is_quoted = dialect.has_quotes or first.delimiter in (dialect.decimal, dialect.thousands)
        is_quoted |= have_quotes(source.path, first.delimiter)
        return replace(layout, is_general=layout.is_general or is_quoted)

    def has_header(self, first: FirstLines, source: SourceFormat) -> bool:
        table = first.table(1)
        if not table:
            raise EmptyDataError(f"s3 object {first.data.key} has no data rows")
        _require_no_cr(first)
        if source.has_label and not source.path:
            self._require_features(first, table[0])
        header = header_of(first.values(), source) in (Header.YES, Header.BY_EVIDENCE)
        if header:
            first.require_rows(1)
        return header

    def review_lines(self, first: FirstLines, layout: Layout, source: SourceFormat) -> list[str]:
        return review_table(first, layout, source)

    def parser(self, layout: Layout) -> Parser:
        if not layout.is_general:
            return NumberParser(layout)
        # The plain functions' package has no pyarrow.
        from stepml.ml.data.formats.text.general import GeneralParser

        return GeneralParser(layout)

    def _require_features(self, first: FirstLines, names: Sequence[str]) -> None:
        if len(names) < 2:
            hint = comment_hint(first)
            raise InvalidDataError(
                f"s3 object {first.data.key} has one column, a label and no features: format "
                f"{self.name!r} separates columns by {first.delimiter!r}, the first line is "
                f"{names[0][:60]!r}{hint}"
            )

    def _layout(
        self, data: DataObject, first: Sequence[str], header: bool, source: SourceFormat
    ) -> Layout:
        names = tuple(first) if header else ()
        n_columns = len(first)
        roles = other_columns(data, names, n_columns, source)
        n_features = n_columns - roles.count
        if not n_features:
            raise InvalidDataError(f"s3 object {data.key} has no column for a feature")
        if source.n_features not in (None, n_features):
            raise InvalidDataError(
                f"data.n_features is {source.n_features}, but s3 object {data.key} has "
                f"{n_features} columns of features"
            )
        return Layout(
            format=self.name,
            delimiter=self.delimiter,
            n_columns=n_columns,
            label_column=roles.label,
            header=header,
            column_names=names,
            n_features=n_features,
            missing=source.missing,
            on_bad_row=source.on_bad_row,
            validates=source.validates,
            validation_column=roles.validation,
            validates_after=source.validates_after,
            weight=source.weight,
            weight_column=roles.weight,
        )


def _path_names(
    data: DataObject, names: Sequence[str], header: bool, source: SourceFormat
) -> tuple[str, ...]:
    path_names = tuple(each.name for each in source.path)
    if path_names and not header:
        raise InvalidDataError(
            "data.path_columns: expected objects with a header, which names their columns as "
            f"well; s3 object {data.key} has none"
        )
    require_own_names(data, names, path_names)
    return path_names


def _require_no_cr(first: FirstLines) -> None:
    if b"\r" in next(filter(None, first.lines)):
        raise InvalidDataError(
            f"s3 object {first.data.key}: the first line ends with CR alone, others do not; save "
            "it with LF or CRLF"
        )
