"""The layout of rows to predict: what the files say, and what the model expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stepml.cli.errors import BadInputError
from stepml.cli.given_format import ALL_NUMBERS, GivenFormat, asked_format, format_of
from stepml.cli.kept_columns import column_index
from stepml.cli.prediction_order import Order, with_table
from stepml.cli.prediction_source import Source
from stepml.job.errors import EmptyDataError, InvalidDataError
from stepml.job.formats import FORMATS as FACTS
from stepml.ml.data import Layout, SourceFormat, sniff
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.formats.base import DataFormat
from stepml.ml.data.formats.columns import names_shown
from stepml.ml.data.formats.row_shapes import shape_note
from stepml.ml.data.table import TableSettings
from stepml.trained.columns import column_order

if TYPE_CHECKING:
    from stepml.trained.model_table import ModelTable
    from stepml.trained_model import TrainedModel


_OF_FUNCTIONS = "one function reads an object"


@dataclass(frozen=True, slots=True)
class Found:
    """The layout of rows to predict."""

    layout: Layout
    order: Order
    assumed: tuple[str, ...]  # guesses about the format that the user should see


def find_layout(source: Source, model: TrainedModel, given: GivenFormat) -> Found:
    """Return the layout of the rows of ``source``.

    Raises
    ------
    InvalidDataError
        They do not have the given format, or the features of the model.
    """
    data: dict[str, Any] = model.card["job"]["data"]
    format = given.format or format_of(source) or str(data["format"])  # noqa: A001
    find = _Finder(source, model, given, format, data)
    places = {"column": find.columns, "first": find.labels_first, "apart": find.arrays}
    return places[FACTS[format].label]()


@dataclass(frozen=True, slots=True)
class _Finder:
    """Detects the format of rows and the column of the label."""

    source: Source
    model: TrainedModel
    given: GivenFormat
    format: str
    data: dict[str, Any]  # of the job

    def labels_first(self) -> Found:
        """Return rows that begin with their label."""
        if self.given.label is not None:
            raise BadInputError(f"--label: rows of {self.format} begin with their label")
        zero_based = self.data.get("zero_based", False)  # models of before have no such field
        asked = self._asked(n_features=self.model.n_features_in_, zero_based=zero_based)
        reader, objects = self.source.reader, self.source.objects
        layout = sniff(reader, objects, asked)
        notes = self._format.review(reader, objects, layout, asked)
        has_label = self.given.has_label is not False
        assumed = () if self.given.has_label is not None else (FACTS[self.format].label_words,)
        layout = replace(layout, label_column=0 if has_label else -1)
        return self._rows(
            self._with_fine(layout), Order(), *assumed, *map(self.source.named_in, notes)
        )

    def arrays(self) -> Found:
        """Return rows whose labels are a separate array."""
        if self.given.label is not None:
            raise BadInputError(f"--label: {self.format} has no columns to choose from")
        layout = self._sniffed(has_label=False)
        self._require_features(layout.n_features or 0)
        self._require_image_shape(layout.row_shape)
        if self.given.has_label is False:
            return self._rows(self._with_fine(layout), Order())
        if not self._format.has_labels(self.source.reader, self.source.objects):
            return self._rows(self._with_fine(layout), Order(), "there are no labels")
        found = replace(self._sniffed(has_label=True), label_kind=self._label_kind)
        return self._rows(self._with_fine(found), Order(), FACTS[self.format].label_words)

    def columns(self) -> Found:
        """Return rows of columns, one of which may be the label."""
        asked = self._asked(has_label=False, header=self._header())
        reader, objects = self.source.reader, self.source.objects
        layout = self._completed(sniff(reader, objects, asked))
        layout = self._without_roles(layout)
        column, *assumed = self._label(layout)
        layout = replace(layout, label_column=column, label=None, unlabelled=True)
        layout = replace(layout, label_kind=self._label_kind)
        layout, *left_out = self._without_others(layout)
        table = self.model.table
        found, order = self._numbers(layout) if table is None else self._table(layout, table)
        notes = self._format.review(reader, objects, found, asked)
        notes = [each for each in notes if not each.startswith(_OF_FUNCTIONS)]
        return self._rows(found, order, *assumed, *left_out, *map(self.source.named_in, notes))

    def _completed(self, layout: Layout) -> Layout:
        """Return the layout with the names of its columns, whatever the type of those beside."""

        def complete(settings: TableSettings | None) -> Layout:
            given = replace(layout, settings=settings)
            found = self._format.complete(self.source.reader, self.source.objects, given)
            return replace(found, table=None)

        if layout.settings is None or not self._expected:
            return complete(layout.settings)
        try:
            return complete(replace(ALL_NUMBERS, use=tuple(self._expected)))
        except InvalidDataError:  # a column is missing, which is said with more words below
            return complete(layout.settings)

    def _numbers(self, layout: Layout) -> tuple[Layout, Order]:
        """Return the layout of rows whose columns of features are all numbers."""
        others = layout.other_columns
        names = [name for at, name in enumerate(layout.column_names) if at not in others]
        order = self._places(names)
        n_features = layout.n_columns - len(others)
        self._require_features(n_features)
        fine = self.model.fine_features
        fine = fine if order is None else [order[feature] for feature in fine]
        return replace(layout, n_features=n_features, fine=tuple(fine)), Order(order)

    def _table(self, layout: Layout, model: ModelTable) -> tuple[Layout, Order]:
        """Return the layout of rows with columns of other types, which the model knows."""
        others = layout.other_columns
        own = [at for at in range(layout.n_columns) if at not in others]
        names = layout.column_names
        places = self._places([names[at] for at in own] if names else [])
        self._require_features(len(own))
        return with_table(layout, model, own if places is None else [own[each] for each in places])

    def _without_others(self, layout: Layout) -> tuple[Any, ...]:
        """Leave out columns that are no features of the model, and say which."""
        names, expected = layout.column_names, set(self._expected)
        if not names or not expected:
            return (layout,)
        others = layout.other_columns
        surplus = [at for at, name in enumerate(names) if name not in expected and at not in others]
        layout = replace(layout, ignored=(*layout.ignored, *surplus))
        dropped = self.model.dropped_columns
        strange = [names[at] or "(no name)" for at in surplus if names[at] not in dropped]
        if not strange:
            return (layout,)
        return layout, f"no features, and left out: {names_shown(strange)}"

    def _without_roles(self, layout: Layout) -> Layout:
        """Leave out the columns that said to the job which rows validate, and how much rows count.

        Those that are there are found by their names or, if there are as many columns as in the
        job's data, by their indices.
        """
        roles = (self.data.get("validation") or {}).get("column"), self.data.get("weight")
        asked = [each for each in roles if each is not None]
        n_columns = self._width + len(asked) + (self.data.get("has_label") is not False)
        names, has_all = layout.column_names, layout.n_columns == n_columns
        found = [names.index(each) for each in asked if names.count(each) == 1]
        found += [each % n_columns for each in asked if isinstance(each, int) and has_all]
        return replace(layout, ignored=tuple(found))

    def _rows(self, layout: Layout, order: Order, *assumed: str) -> Found:
        said = () if self.given.format else (f"format {self.format}",)
        return Found(layout, order, (*said, *assumed))

    def _with_fine(self, layout: Layout) -> Layout:
        return replace(layout, fine=tuple(self.model.fine_features))

    def _sniffed(self, **options: Any) -> Layout:
        return sniff(self.source.reader, self.source.objects, self._asked(**options))

    def _asked(self, **options: Any) -> SourceFormat:
        return replace(asked_format(self.format, self.given, self.data), **options)

    def _header(self) -> bool | None:
        """Return whether there is a header: as given, else if line 1 names the model's features."""
        features = set(self._expected)
        if self.given.header is not None or not features:
            return self.given.header
        try:
            named = self._sniffed(has_label=False, header=True)
        except EmptyDataError:  # there is only one line
            return None
        return True if features <= set(named.column_names) else None

    def _label(self, layout: Layout) -> tuple[Any, ...]:
        """Return the label's column, or -1 if there is none, and the assumption behind it."""
        names, n_columns, n_features = layout.column_names, layout.n_columns, self._width
        if self.given.has_label is False:
            return (-1,)
        if self.given.label is not None:
            return (column_index(self.given.label, layout, "--label"),)
        label = self.model.card["label"]
        if label and names.count(label) == 1:
            return names.index(label), f"the label is column {label!r}"
        n_others = n_columns - len(layout.other_columns)
        if n_others == n_features or (names and self._expected):
            return -1, "there is no label"
        if n_others != n_features + 1 or not self.data["has_label"]:
            self._require_features(n_others)
        asked = self.data["label"]
        if isinstance(asked, str):
            raise InvalidDataError(
                f"{self._name} has {n_others} columns, one more than the model has features, "
                f"and none is named {asked!r}; give the label's column with --label"
            )
        column = n_columns - 1 if asked is None else column_index(str(asked), layout, "--label")
        return column, f"the label is {layout.column_title(column)}"

    def _places(self, names: Sequence[str]) -> list[int] | None:
        """Return the place among ``names`` of each of the model's columns; None: the same."""
        if not names or not self._expected:
            return None
        try:
            return column_order(names, self._expected)
        except ValueError as error:
            raise InvalidDataError(f"{self._name}: {error}{self._path_hint(names)}") from None

    def _path_hint(self, names: Sequence[str]) -> str:
        folders = self.source.objects[0].key.split("/")[:-1]
        in_path = [each.partition("=")[0] for each in folders if "=" in each]
        is_there = any(name in in_path for name in {*self._expected} - {*names})
        return "; the path has columns: give --set path_columns=true" if is_there else ""

    def _require_features(self, found: int) -> None:
        if found == self._width:
            return
        shape = self.model.image_shape
        hint = f"; one image is X of shape {(1, *shape)}" if found in shape[-1:] else ""
        raise InvalidDataError(
            f"{self._name}: the model has {self._width} features, the data have {found}{hint}"
        )

    def _require_image_shape(self, found: Sequence[int]) -> None:
        shape = self.model.image_shape
        if not shape or not found or (1, *found)[-3:] == shape:
            return
        expected, got = (shape_note(each).strip(" ()") for each in (shape, found))
        raise InvalidDataError(
            f"{self._name}: the model takes images of {expected}, the data have {got}"
        )

    @property
    def _label_kind(self) -> str:
        """The kind of the labels: as in training; those that no score needs may be anything."""
        if hasattr(self.model, "cluster_centers_"):
            return "text"
        return str(self.model.card.get("label_kind", "number"))

    @property
    def _format(self) -> DataFormat:
        return FORMATS[self.format]

    @property
    def _expected(self) -> list[str]:
        """The names of the columns that are features of the model; empty if it has none."""
        return list(getattr(self.model, "feature_names_in_", ()))

    @property
    def _width(self) -> int:
        return self.model.n_features_in_

    @property
    def _name(self) -> str:
        return self.source.objects[0].name
