"""The settings of a job → the treatment of each feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from stepml.job.columns import value_for
from stepml.job.errors import InvalidJobError
from stepml.job.spec import Data
from stepml.ml.data.encoding import Encoder, Feature
from stepml.ml.data.fitting import Strategy, Treatments
from stepml.ml.data.layout import Layout
from stepml.ml.data.table import TableColumn

_T = TypeVar("_T")

USUAL_FILL: Strategy = "mean"
"""The replacement of a missing number, unless the job says otherwise."""

LEVEL: Strategy = "level"
"""Missing values of a category are a level of their own, unless the job says otherwise."""

_OF_LEVELS = ("fail", "zero", "most_frequent")
_UNKNOWN_CODE = -1.0  # of an ordinal level that is not one of them


def fill_for(column: TableColumn, setting: object) -> Strategy:
    """Return what a missing value of a column becomes.

    Parameters
    ----------
    column : TableColumn
        With its kind and its encoding.
    setting : object
        The job's ``data.missing``. What a category cannot have, such as a mean, counts for other
        columns only.

    Raises
    ------
    InvalidJobError
        The setting names a category, and says what it cannot have.
    """
    own: Strategy | Mapping[str, Strategy] | None = setting  # type: ignore[assignment]
    if own is None:
        own = {}
    if not column.is_category:
        return value_for(column.name, own, USUAL_FILL)
    allowed = _OF_LEVELS[:2] if column.encode == "hash" else _OF_LEVELS
    found = value_for(column.name, own, LEVEL)
    if found in allowed:
        return found
    if isinstance(own, Mapping) and column.name in own:
        encoding = f" of encoding {column.encode!r}" if column.encode == "hash" else ""
        raise InvalidJobError(
            f"data.missing: {column.title} is a category{encoding}, so {' or '.join(allowed)} is "
            f"expected (without a setting, missing values are a level of their own), got {found!r}"
        )
    return LEVEL


def treatments_of(data: Data, layout: Layout, encoder: Encoder | None = None) -> Treatments:
    """Return the treatments of the features of a data set.

    Parameters
    ----------
    data : Data
    layout : Layout
    encoder : Encoder, optional
        Of a table.
    """
    if encoder is not None:
        return _of_table(data, encoder)
    others = set(layout.other_columns)
    names = [name for place, name in enumerate(layout.column_names) if place not in others]
    fills = USUAL_FILL if data.missing is None else data.missing
    rescalings = data.scale if isinstance(data.scale, dict) else data.rescaling
    return Treatments(
        _by_feature(fills, names, USUAL_FILL), _by_feature(rescalings, names, data.rescaling)
    )


def _of_table(data: Data, encoder: Encoder) -> Treatments:
    features = list(encoder.features())
    scale = data.rescaling if data.scale is None else data.scale
    return Treatments(
        fills=[_fill_of(each) for each in features],
        rescalings=[
            value_for(each.column.name, scale, data.rescaling) if each.is_scaled else "none"
            for each in features
        ],
        levels=[
            own[: len(own) - column.indicator]
            for column, own in encoder.spans()
            if column.encode == "one_hot" and column.missing == "most_frequent"
        ],
        in_each_row=np.array([each.role not in ("level", "hash") for each in features], np.bool_),
    )


def _fill_of(feature: Feature) -> Strategy:
    column = feature.column
    if column.is_category and column.missing in (LEVEL, "zero"):
        # Only rows to predict lack such a level: it is none of those that training had.
        return _UNKNOWN_CODE if feature.role == "value" else "zero"
    # A column of levels is filled in as a whole.
    is_level = feature.role == "level" and column.missing == "most_frequent"
    return "zero" if is_level else column.missing


def _by_feature(setting: _T | Mapping[str, _T], names: Sequence[str], default: _T) -> _T | list[_T]:
    if not isinstance(setting, Mapping):
        return setting
    return [value_for(name, setting, default) for name in names]
