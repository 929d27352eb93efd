"""The user's description of how a data set is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from stepml.job.columns import Columns
from stepml.job.data import Data, Validation
from stepml.job.spec_base import settled
from stepml.ml.data.objects import DataObject
from stepml.ml.data.path_columns import PathColumn, find_path_columns
from stepml.ml.data.table import PLAIN_SETTINGS, TableSettings


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """The job's description of the objects of a data set."""

    format: str  # a name in `FORMATS`
    # Whether line 1 of each object names the columns. None: it does if it has the label's name, or
    # if most of its fields are not numbers.
    header: bool | None = None
    # The label's column: its name, or its 0-based index; negative ones count from the end.
    # None: the last column. libsvm rows begin with the label.
    label: str | int | None = None
    # None: the number of columns beside the label, or libsvm's largest index.
    n_features: int | None = None
    has_label: bool = True  # False: all columns are features. libsvm always has a label.
    # A missing value of a feature makes the row bad (fail), or is NaN (keep) until all training
    # rows are known.
    missing: str = "fail"
    on_bad_row: str = "fail"  # fail or skip
    has_classes: bool = False  # labels are classes, so large integers must stay what they are
    # The column that says which rows validate: those with 1, or with more than ``validates_after``.
    validates: str | int | None = None
    validates_after: float | None = None
    # The column, or the array, with the weight of each row's loss; None: rows count alike.
    weight: str | int | None = None
    # Of text. None: as the first lines show.
    delimiter: str | None = None
    encoding: str | None = None
    quoted_newlines: bool | None = None
    comment: str | None = None  # the start of lines that are left out; None: there are none
    decimal: str = "."
    thousands: str | None = None
    missing_words: tuple[str, ...] = ()
    # libsvm: whether indices count from 0; auto: as rows show
    zero_based: Literal["auto"] | bool = "auto"
    settings: TableSettings = PLAIN_SETTINGS  # of the columns of a table
    path_columns: bool = False  # folders such as year=2020/ are columns …
    path: tuple[PathColumn, ...] = ()  # … these; see `with_paths_of`

    def with_paths_of(self, objects: Sequence[DataObject]) -> SourceFormat:
        """Return the description with the columns of the objects' paths, if the job wants them.

        Raises
        ------
        InvalidDataError
            Some objects lack one of them.
        """
        return replace(self, path=find_path_columns(objects)) if self.path_columns else self

    @classmethod
    def from_data(cls, data: Data, *, has_classes: bool = False) -> SourceFormat:
        """Return the description in a job's ``data``."""
        validation = data.validation or Validation()
        return cls(
            format=settled(data.format),
            header=data.header,
            label=data.label,
            n_features=data.n_features,
            has_label=data.has_label is not False,
            missing="keep" if data.may_lack_values else "fail",
            on_bad_row=data.on_bad_row,
            has_classes=has_classes,
            validates=validation.column,
            validates_after=validation.after,
            weight=data.weight,
            zero_based=data.zero_based,
            path_columns=data.path_columns,
            delimiter=data.delimiter,
            encoding=data.encoding,
            quoted_newlines=data.quoted_newlines,
            comment=data.comment,
            decimal=data.decimal,
            thousands=data.thousands,
            missing_words=tuple(data.missing_words),
            settings=_settings(data),
        )


def _settings(data: Data) -> TableSettings:
    columns = data.columns or Columns()
    indicator = data.missing_indicator
    return TableSettings(
        use=None if columns.use is None else tuple(columns.use),
        drop=tuple(columns.drop),
        types=tuple(columns.types.items()),
        drops_uninformative=columns.uninformative == "drop",
        encode=_frozen(data.encode),
        hash_width=data.hash_width,
        unknown_levels=data.unknown_levels,
        parts=() if data.dates == "seconds" else tuple(data.dates),
        missing=_frozen(data.missing),
        indicator=indicator if isinstance(indicator, bool) else tuple(indicator),
    )


def _frozen(setting: Any) -> Any:
    """Return a setting by column as pairs, which may be compared and are no part of a job."""
    return tuple(sorted(setting.items())) if isinstance(setting, Mapping) else setting
