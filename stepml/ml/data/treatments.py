"""The settings of a job → the treatment of each feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from stepml.job.columns import value_for
from stepml.job.data import Data
from stepml.ml.data.encoding import Encoder, Feature
from stepml.ml.data.fitting import Strategy, Treatments
from stepml.ml.data.layout import Layout

_T = TypeVar("_T")

USUAL_FILL: Strategy = "mean"
"""The replacement of a missing number, unless the job says otherwise."""

_UNKNOWN_CODE = -1.0  # of an ordinal level that is not one of them


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
    names = [each.name for each in layout.raw_columns]
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
    if column.is_category and column.missing in ("level", "zero"):
        # Only rows to predict lack such a level: it is none of those that training had.
        return _UNKNOWN_CODE if feature.role == "value" else "zero"
    # A column of levels is filled in as a whole.
    is_level = feature.role == "level" and column.missing == "most_frequent"
    return "zero" if is_level else column.missing


def _by_feature(setting: _T | Mapping[str, _T], names: Sequence[str], default: _T) -> _T | list[_T]:
    if not isinstance(setting, Mapping):
        return setting
    return [value_for(name, setting, default) for name in names]
