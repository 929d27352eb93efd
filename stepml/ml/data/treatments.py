"""The settings of a job → the treatment of each feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from stepml.job.columns import value_for
from stepml.job.spec import Data
from stepml.ml.data.fitting import Strategy, Treatments

_T = TypeVar("_T")

USUAL_FILL: Strategy = "mean"
"""The replacement of a missing number, unless the job says otherwise."""


def treatments_of(data: Data, names: Sequence[str]) -> Treatments:
    """Return the treatments of features that are columns of numbers.

    Parameters
    ----------
    data : Data
    names : sequence of str
        Of the features; empty without a header.
    """
    fills = USUAL_FILL if data.missing is None else data.missing
    rescalings = data.scale if isinstance(data.scale, dict) else data.rescaling
    return Treatments(
        _by_feature(fills, names, USUAL_FILL), _by_feature(rescalings, names, data.rescaling)
    )


def _by_feature(setting: _T | Mapping[str, _T], names: Sequence[str], default: _T) -> _T | list[_T]:
    if not isinstance(setting, Mapping):
        return setting
    return [value_for(name, setting, default) for name in names]
