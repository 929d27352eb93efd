"""The fitted pipeline of a table: one JSON document says what its columns became.

It is part of a trained model's card. Partitioning and predictions build the same `Encoder` from it,
so that a row means the same on both sides. Fills, centres and divisors are those of the model's
`Scale`, whose arrays are exact; here they are for reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import msgspec
import numpy as np

from stepml.job.data import Data
from stepml.job.formats import FORMATS
from stepml.ml.data.encoding import Encoder
from stepml.ml.data.formats.text.spelling import plain_words
from stepml.ml.data.layout import Layout
from stepml.ml.data.manifest import Manifest
from stepml.ml.data.scaling import Scale
from stepml.ml.data.table import Table, TableColumn
from stepml.ml.data.treatments import USUAL_FILL

VERSION = 1

Fitted = float | str | list[float] | None


class PipelineLabel(msgspec.Struct, frozen=True, omit_defaults=True):
    """The label of a table."""

    name: str  # empty without a header
    column: int  # 0-based
    kind: str = "number"  # or text, boolean, integer
    classes: tuple[str, ...] = ()  # by code, if the label is no number


class PipelineColumn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column of features, and what it became."""

    name: str  # empty without a header
    column: int  # 0-based
    kind: str  # number, boolean, category or time
    missing: str | float  # as `TableColumn`; level: a missing value is a level of its own
    encode: str = ""  # of a category: one_hot, ordinal or hash
    levels: tuple[str, ...] = ()  # of a category, in the order of its features or codes
    are_numbers: bool = False  # the levels are numbers
    width: int = 0  # features, if encode is hash
    parts: tuple[str, ...] = ()  # of a time; empty: its seconds
    indicator: bool = False
    fill: Fitted = None  # of missing values: a number, a level, or a number for each part
    centre: Fitted = None  # subtracted …
    divisor: Fitted = None  # … and divided by, in training
    left_out: bool = False  # it says nothing: it has no features, or they are 0

    def table_column(self) -> TableColumn:
        """Return the column as readers and the encoder take it."""
        names = TableColumn.__dataclass_fields__
        return TableColumn(**{name: getattr(self, name) for name in names})


class Pipeline(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fate of the columns of a table.

    Attributes
    ----------
    version : int
    columns : tuple of PipelineColumn
        In the order of the data.
    label : PipelineLabel or None
    dropped : tuple of str
        Columns that are no features.
    unknown_levels : {"ignore", "fail"}
        What happens at predictions to levels that training did not have.
    fine : tuple of int
        The numbers of raw rows with remainders: their places among the columns that are no
        categories.
    missing_words : tuple of str
        The job's own words for missing values; numbers have a decimal point.
    has_words : bool
        Whether text such as "NA" is a missing value, as in files of text; in Parquet it is a level.
    """

    version: int
    columns: tuple[PipelineColumn, ...]
    label: PipelineLabel | None = None
    dropped: tuple[str, ...] = ()
    unknown_levels: str = "ignore"
    fine: tuple[int, ...] = ()
    missing_words: tuple[str, ...] = ()
    has_words: bool = True

    @classmethod
    def of(cls, manifest: Manifest, scale: Scale | None, data: Data) -> Self:
        """Return the pipeline of a partitioned table, with what was learnt from training rows."""
        layout = manifest.layout
        table = layout.table or _table_of_numbers(layout, data)
        levels = manifest.levels or ((),) * len(table.categories)
        encoder = Encoder(table, levels, layout.fine)
        label = None
        if layout.has_label:
            names = layout.column_names
            label = PipelineLabel(
                name=names[layout.label_column] if names else "",
                column=layout.label_column,
                kind=layout.label_kind,
                classes=manifest.class_names,
            )
        fitted = _fitted(table, encoder, scale)
        # Identifiers that are left out have no features, so rows to predict may lack them.
        widths = zip(fitted, encoder.widths, strict=True)
        left_out = [each for each, width in widths if each.name and not width]
        return cls(
            VERSION,
            tuple(each for each in fitted if each not in left_out),
            label,
            (*table.dropped, *_names_of_roles(layout), *(each.name for each in left_out)),
            table.unknown_levels,
            layout.fine,
            plain_words(layout.dialect),
            FORMATS[layout.format].is_text,
        )

    @classmethod
    def from_card(cls, document: Any) -> Self:
        """Return the pipeline of a model's card, or raise `msgspec.ValidationError`."""
        return msgspec.convert(document, cls)

    def to_card(self) -> dict[str, Any]:
        """Return the JSON document."""
        built = msgspec.to_builtins(self)
        assert isinstance(built, dict)
        return built

    @property
    def table(self) -> Table:
        """The columns of features."""
        columns = tuple(each.table_column() for each in self.columns)
        return Table(columns, self.dropped, self.unknown_levels)

    @property
    def encoder(self) -> Encoder:
        """The encoder of raw rows."""
        levels = [each.levels for each in self.columns if each.kind == "category"]
        return Encoder(self.table, levels, self.fine)

    @property
    def is_plain(self) -> bool:
        """Whether each column is a number and one feature, so that rows need no encoding."""
        return all(each.kind == "number" and not each.indicator for each in self.columns)


def _names_of_roles(layout: Layout) -> list[str]:
    """Return the names of columns that say which rows validate, or how much rows count."""
    columns = sorted(layout.named_columns - {layout.label_column})
    return [layout.column_names[each] for each in columns] if layout.column_names else []


def _table_of_numbers(layout: Layout, data: Data) -> Table:
    fill = USUAL_FILL if data.missing is None else data.missing
    assert not isinstance(fill, dict)  # columns that differ make a table
    return Table(tuple(replace(each, missing=fill) for each in layout.raw_columns))


def _fitted(table: Table, encoder: Encoder, scale: Scale | None) -> Sequence[PipelineColumn]:
    found = []
    levels = iter(encoder.levels)
    first = 0
    for column, width in zip(table.columns, encoder.widths, strict=True):
        facts = {name: getattr(column, name) for name in TableColumn.__dataclass_fields__}
        own = tuple(next(levels)) if column.is_category else ()
        learnt = {} if scale is None else _learnt(column, own, scale, slice(first, first + width))
        found.append(PipelineColumn(**facts, levels=own, **learnt))
        first += width
    return found


def _learnt(column: TableColumn, levels: Sequence[str], scale: Scale, own: slice) -> dict[str, Any]:
    """Return fill, centre and divisor of a column's features without the indicator."""
    if column.indicator:
        own = slice(own.start, own.stop - 1)
    fill, centre, divisor = (each[own].astype(np.float64) for each in _values(scale))
    if np.isinf(divisor).all():  # also without features
        return {"left_out": True}
    if column.encode == "hash":
        return {}
    if column.encode == "one_hot":
        chosen = np.flatnonzero(fill == 1)
        is_learnt = column.missing == "most_frequent" and len(chosen) == 1
        return {"fill": levels[chosen[0]] if is_learnt else None}
    return {
        "fill": None if np.isnan(fill).any() or column.missing == "fail" else _plain(fill),
        "centre": _plain(centre) if centre.any() else None,
        "divisor": _plain(divisor) if (divisor != 1).any() else None,
    }


def _values(scale: Scale) -> tuple[Any, Any, Any]:
    """Return fills, centres and divisors of all features, in float64 where they are fine."""
    fill, centre = scale.fill.astype(np.float64), scale.mean.astype(np.float64)
    fill[scale.fine], centre[scale.fine] = scale.fine_fills, scale.fine_mean
    return fill, centre, scale.scale


def _plain(values: Any) -> Fitted:
    return float(values[0]) if len(values) == 1 else [float(each) for each in values]
