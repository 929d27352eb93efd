"""A job's understanding of data before it starts: `stepml data show`, and the console."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from stepml.client.data_places import DataPlace
from stepml.job.data import Data
from stepml.job.formats import FORMATS
from stepml.job.printable import printable
from stepml.job.spec_base import label_text
from stepml.ml.data import DataPlan, guess_format, plan_data
from stepml.ml.data.column_facts import ColumnFacts, column_facts, first_values, shown, shown_as
from stepml.ml.data.trial import Trial, try_partition
from stepml.reports.figures import count, size

_MOST_LEVELS = 4
_MOST_CLASSES = 12


@dataclass(frozen=True, slots=True)
class DataView:
    """A job's understanding of data."""

    place: DataPlace
    plan: DataPlan
    trial: Trial | None  # None: an object is too large to try, and not cut
    columns: list[ColumnFacts]
    first: list[list[str]]  # the first rows: the label, then the columns' values

    @property
    def n_bytes(self) -> int:
        """The size of all objects."""
        return sum(each.value_bytes for each in self.plan.objects)

    @property
    def n_rows(self) -> int | None:
        """The number of rows, estimated by size unless all have been read."""
        if self.trial is None:
            return None
        n_rows = self.trial.manifest.n_rows + self.trial.manifest.skipped_rows
        return n_rows if self.trial.is_all else round(n_rows / self.trial.share)


def view_of(place: DataPlace, data: Data, n_rows: int) -> DataView:
    """Return a job's understanding of the data at ``place``; ``n_rows`` rows are shown.

    Raises
    ------
    InvalidDataError
        They would be refused.
    NotAvailableError
        The library that reads the format is not installed.
    """
    if data.format is None:
        found = guess_format(place.catalogue, place.path, data, place.own_bucket)
        data = msgspec.structs.replace(data, format=found)
    plan = plan_data(place.catalogue, place.path, data, place.own_bucket)
    trial = try_partition(place.catalogue, plan)
    if trial is None:
        return DataView(place, plan, None, [], [])
    first = first_values(place.catalogue, trial, n_rows) if n_rows else []
    return DataView(place, plan, trial, column_facts(trial), first)


def document_of(view: DataView) -> dict[str, Any]:
    """Return the view as JSON has it."""
    trial, layout = view.trial, _layout(view)
    manifest = trial and trial.manifest
    return {
        "place": view.place.title,
        "format": layout.format,
        "header": layout.header if FORMATS[layout.format].has_header else None,
        "objects": len(view.plan.objects),
        "bytes": view.n_bytes,
        "rows": view.n_rows,
        "rows_are_exact": trial is not None and trial.is_all,
        "label": _label_name(view),
        "weight": _weight_name(view),
        "classes": _classes(view),
        "columns": [_of_column(each) for each in view.columns],
        "left_out": list(layout.table.dropped) if layout.table else [],
        "n_features": manifest.n_features if manifest else layout.n_features,
        "missing_values": manifest.missing_values if manifest else None,
        "bad_rows": manifest.skipped_rows if manifest else None,
        "bad_row_samples": list(manifest.skipped_samples) if manifest else [],
        "first_rows": view.first,
        "notes": view.plan.notes,
    }


def _layout(view: DataView) -> Any:
    return view.plan.layout if view.trial is None else view.trial.manifest.layout


def summary(view: DataView) -> Iterator[str]:
    """Yield the facts of the data in words: format, rows, columns, size."""
    layout, n_rows = _layout(view), view.n_rows
    yield layout.format
    if FORMATS[layout.format].has_header:
        yield "header" if layout.header else "no header"
    if n_rows is not None:
        about = "" if view.trial and view.trial.is_all else "about "
        yield f"{about}{n_rows:,} row{'' if n_rows == 1 else 's'}"
    if layout.n_columns:
        yield count(layout.n_columns, "column")
    elif layout.row_shape:
        yield f"images of {' × '.join(map(str, layout.row_shape))}"
    elif view.trial is not None:
        yield count(view.trial.manifest.n_features, "feature")
    if len(view.plan.objects) > 1:
        yield f"{len(view.plan.objects):,} objects"
    yield size(view.n_bytes)
    if view.trial is None:
        yield "not read, as one object is too large to be tried"


def _label_name(view: DataView) -> str | None:
    layout = _layout(view)
    if not layout.has_label:
        return None
    if FORMATS[layout.format].label != "column":
        return FORMATS[layout.format].label_words
    names, column = layout.column_names, layout.label_column
    return str(names[column]) if names else f"column {column + 1}"


def _classes(view: DataView) -> list[str] | None:
    """Return the labels of the first rows; None: there are too many for classes."""
    if view.trial is None or not _layout(view).has_label:
        return None
    manifest = view.trial.manifest
    if manifest.class_names:
        return list(manifest.class_names)
    return None if manifest.labels is None else [label_text(each) for each in manifest.labels]


def label_words(view: DataView) -> str:
    """Return the label and its values, in words."""
    name, classes = _label_name(view), _classes(view)
    if name is None:
        return "no label: all columns are features"
    is_column = FORMATS[_layout(view).format].label == "column"
    where = f"label: {name!r}" if is_column else name
    if view.trial is None:
        return where
    if classes is not None and len(classes) <= _MOST_CLASSES:
        return f"{where}, {count(len(classes), 'value')}: {', '.join(classes)}"
    if _layout(view).label_kind != "number":
        return f"{where}, {'over 1,000' if classes is None else len(classes)} different texts"
    ends = view.trial.manifest.min_label, view.trial.manifest.max_label
    return f"{where}, {' to '.join(map(shown, ends))}"


def _weight_name(view: DataView) -> str | None:
    layout = _layout(view)
    if not layout.has_weights:
        return None
    names, column = layout.column_names, layout.weight_column
    if isinstance(layout.weight, str):
        return str(layout.weight)
    return str(names[column]) if names else f"column {column % layout.n_columns + 1}"


def weight_words(view: DataView) -> str | None:
    """Return the weight of rows and its values, in words; None: rows have none."""
    if not _layout(view).has_weights:
        return None
    where = f"weight: {_weight_name(view)!r}"
    ends = None if view.trial is None else view.trial.manifest.weight_ends
    return where if ends is None else f"{where}, {' to '.join(map(shown, ends))}"


def values_in_words(column: ColumnFacts) -> str:
    """Return the values of a column: its levels, or the smallest and the largest."""
    if column.kind == "category":
        if not column.levels:
            return "hashed" if column.n_features > 1 else "none"
        some = ", ".join(map(_quoted, column.levels[:_MOST_LEVELS]))
        more = ", …" if len(column.levels) > _MOST_LEVELS else ""
        noun = "level" if len(column.levels) == 1 else "levels"
        return f"{len(column.levels):,} {noun}: {some}{more}"
    if math.isnan(column.low):
        return "none"
    text = shown_as(column.kind)
    if column.low == column.high:
        return f"{text(column.low)} in all rows"
    return f"{text(column.low)} to {text(column.high)}"


def _quoted(level: str) -> str:
    return repr(level) if "," in level or level != level.strip() else printable(level)


def _bad_rows(view: DataView) -> list[str]:
    return [] if view.trial is None else list(view.trial.manifest.skipped_samples[:3])


def _of_column(column: ColumnFacts) -> dict[str, Any]:
    found = {**asdict(column), "levels": list(column.levels[:1000])}
    found["n_levels"] = len(column.levels)
    # JSON has no NaN.
    return {key: None if value != value else value for key, value in found.items()}


def column_names(view: DataView) -> list[str]:
    """Return the names of the values in each of the first rows; [] if those are no columns."""
    names = [_label_name(view) or ""] * _layout(view).has_label
    names += [each.name or f"column {each.column + 1}" for each in view.columns]
    return names if view.first and len(names) == len(view.first[0]) else []


def left_out(view: DataView) -> list[str]:
    """Return the columns that are neither features nor the label."""
    table = _layout(view).table
    return [] if table is None else list(table.dropped)


def remarks(view: DataView) -> list[str]:
    """Return the notes on the data, and on malformed rows, for a person."""
    notes = [f"note: {view.place.worded(each)}" for each in view.plan.notes]
    return [*notes, *(f"bad row: {view.place.worded(each)}" for each in _bad_rows(view))]
