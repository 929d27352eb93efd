"""A job's understanding of its data, in words and numbers for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

from stepml.job.formats import FORMATS
from stepml.job.reports import MOST_LISTED, DatasetFacts
from stepml.job.spec import JobSpec
from stepml.ml.data import Layout, Manifest
from stepml.ml.data.table import MISSING_LEVEL, TableColumn
from stepml.ml.data.uninformative import is_identifier
from stepml.ml.doubts import doubts_about_data


def dataset_facts(
    spec: JobSpec, manifest: Manifest, n_objects: int, notes: Sequence[str]
) -> DatasetFacts:
    """Return the facts about a partitioned data set, as the job takes them.

    ``notes`` are those of the data's plan.
    """
    layout = manifest.layout
    classes = manifest.labels if spec.model.has_classes else None
    return DatasetFacts(
        rows=manifest.n_rows,
        columns=layout.n_columns,
        objects=n_objects,
        format=layout.format,
        header=layout.header if FORMATS[layout.format].has_header else None,
        label=_label_of(layout),
        is_learnt=spec.model.needs_labels,
        classes=manifest.names.labels(classes or ()),
        label_range=_range_of(manifest),
        missing_values=manifest.missing_values,
        **_about_table(manifest),
        notes=[
            *notes,
            *_note_on_unused_label(spec, layout),
            *_notes_on_identifiers(manifest),
            *_note_on_missing(spec, manifest),
            *_note_on_validation(spec, manifest),
            *_note_on_weights(manifest),
        ],
        warnings=doubts_about_data(spec, manifest),
    )


def _about_table(manifest: Manifest) -> dict[str, Any]:
    """Return the facts about a table's columns; of a table of numbers alone, there are none."""
    table = manifest.layout.table
    if table is None:
        return {"features": manifest.n_features}
    titles = {each.column: each.name or f"column {each.column + 1}" for each in table.columns}
    identifiers = _identifiers_left_out(manifest)
    columns = [each for each in table.columns if each not in identifiers]
    found_levels = dict(zip((c.column for c in table.categories), manifest.levels, strict=True))
    fills: dict[str, list[str]] = {}
    for each in columns:
        if _may_lack(each, manifest, found_levels.get(each.column, ())):
            fills.setdefault(str(each.missing), []).append(titles[each.column])
    levels = {
        titles[each.column]: sum(map(bool, found))
        for each, found in zip(table.categories, manifest.levels, strict=True)
        if each not in identifiers
    }
    left_out = [*table.dropped, *(titles[each.column] for each in identifiers)]
    return {
        "kinds": dict(Counter(each.kind for each in columns)),
        "levels": dict(islice(levels.items(), MOST_LISTED)),
        "left_out": left_out[:MOST_LISTED],
        "fills": {fill: names[:MOST_LISTED] for fill, names in fills.items()},
        "features": manifest.n_features,
    }


def _may_lack(column: TableColumn, manifest: Manifest, levels: Sequence[str]) -> bool:
    """Return whether a column, of these levels, may lack values; not known of each column."""
    if not column.is_category:
        return manifest.missing_values > 0
    if column.missing != "level" or not column.has_levels:
        return True
    return MISSING_LEVEL in levels


def _range_of(manifest: Manifest) -> list[float]:
    is_range = manifest.layout.has_label and manifest.layout.label_kind != "text"
    return [manifest.min_label, manifest.max_label] if is_range else []


def _label_of(layout: Layout) -> str:
    if not layout.has_label:
        return ""
    if FORMATS[layout.format].label != "column":
        return FORMATS[layout.format].label_words
    names, column = layout.column_names, layout.label_column
    return names[column] if names else f"column {column + 1}"


def _notes_on_identifiers(manifest: Manifest) -> list[str]:
    """Return notes on categories that have about as many levels as rows."""
    table = manifest.layout.table
    found = []
    for column, levels in zip(table.categories if table else (), manifest.levels, strict=False):
        if is_identifier(levels, manifest.n_rows):
            found.append(
                f"{column.title} has {len(levels):,} levels in {manifest.n_rows:,} rows, like an "
                "identifier; data.columns.drop leaves it out"
            )
    found += [
        f"{column.title} has a level for almost each row, like an identifier; it is left out, as "
        "data.columns.uninformative says"
        for column in _identifiers_left_out(manifest)
    ]
    return found[:MOST_LISTED]


def _identifiers_left_out(manifest: Manifest) -> list[TableColumn]:
    """Return the categories that have lost their levels."""
    table = manifest.layout.table
    if table is None or not table.drops_identifiers:
        return []
    levels = zip(table.categories, manifest.levels, strict=True)
    return [column for column, own in levels if column.has_levels and not own]


def _note_on_missing(spec: JobSpec, manifest: Manifest) -> list[str]:
    """Return a note on the fills if values are missing, and the job does not say what they are.

    Of the columns of a table, `DatasetFacts.fills` says it.
    """
    is_said = spec.data.missing is not None or manifest.layout.table is not None
    if not manifest.missing_values or is_said:
        return []
    return ["missing numbers become the mean of the training rows; data.missing says another fill"]


def _note_on_validation(spec: JobSpec, manifest: Manifest) -> list[str]:
    """Return a note on the rows that validate, unless they are a share of all rows."""
    named = manifest.n_validation
    if named is not None:
        return [f"{named:,} rows validate, as data.validation says"]
    if spec.data.validation_fraction == 0:
        return ["no row is held out: loss and metrics are measured on training rows"]
    if spec.data.stratify:
        return ["the same share of each label's rows validates"]
    return []


def _note_on_weights(manifest: Manifest) -> list[str]:
    """Return a note on the column, or array, that says how much rows count."""
    layout, ends = manifest.layout, manifest.weight_ends
    if not layout.has_weights or ends is None:
        return []
    column = layout.weight_column
    where = layout.column_title(column) if column >= 0 else f"the array {layout.weight!r}"
    return [f"rows count by their weights, {where}: {ends[0]:g} to {ends[1]:g}"]


def _note_on_unused_label(spec: JobSpec, layout: Layout) -> list[str]:
    """Return a note if the last column is left out as the label, although none is named."""
    is_said = spec.data.label is not None or FORMATS[layout.format].label != "column"
    if spec.model.needs_labels or not layout.has_label or is_said:
        return []
    title = layout.column_title(layout.label_column)
    return [f"{title} is left out as the label; data.has_label false makes it a feature"]
