"""The scale of rows, learnt from the training rows.

Means, deviations and ends are exact: they come from the moments of all training rows. Medians,
quartiles and most frequent values come from a sample of the training rows, which often are all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.moments import Features, Floats64, Moments
from stepml.ml.data.ranks import Ranked
from stepml.ml.data.scaling import Scale
from stepml.ml.data.shards import Shard

Strategy = str | float
_Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Treatments:
    """The filling and scaling of features: one value for all, or one for each.

    Attributes
    ----------
    fills : {"fail", "zero", "mean", "median", "most_frequent"} or float
    rescalings : {"none", "standardise", "min_max", "robust"}
    levels : sequence of range
        The features of each column of levels that is filled in with the most frequent one.
    in_each_row : array of bool, optional
        Of sparse rows: the features that all rows store, so that they may be centred.
    left_out : array of bool, optional
        The features that are to be 0 in all rows.
    """

    fills: Strategy | Sequence[Strategy] = "mean"
    rescalings: str | Sequence[str] = "standardise"
    levels: Sequence[range] = ()
    in_each_row: _Flags | None = None
    left_out: _Flags | None = None


def scale_of(
    moments: Moments,
    treatments: Treatments | None = None,
    *,
    sparse: bool = False,
    sample: Callable[[], Shard] | None = None,
) -> Scale:
    """Return the scale for the training rows.

    Parameters
    ----------
    moments : Moments
        Of all training rows.
    treatments : Treatments, optional
        Left out: mean 0 and variance 1, and the mean for missing values.
    sparse : bool, default False
        Do not subtract anything, so that zeros stay zeros, but of features `in_each_row`.
    sample : callable, optional
        Returns training rows as in the data. Called only for what the moments do not say.
    """
    fitting = _Fitting(moments, treatments or Treatments(), sparse=sparse, sample=sample)
    fills, (origins, sizes), moved = fitting.fills(), fitting.places(), fitting.moved()
    fine = moments.fine[origins[moments.fine] != 0]
    scale = sizes.astype(np.float32)
    # A size below the smallest float32 counts as 0, too.
    scale[scale == 0] = 1
    is_same = np.array_equal(fills[fine], origins[fine])
    return Scale(
        fill=fills.astype(np.float32),
        mean=origins.astype(np.float32),
        scale=scale,
        fine=fine,
        fine_mean=origins[fine],
        fine_fill=np.zeros(0) if is_same else fills[fine],
        moved=moved,
    )


class _Fitting:
    """The values learnt of each feature."""

    def __init__(
        self,
        moments: Moments,
        treatments: Treatments,
        *,
        sparse: bool,
        sample: Callable[[], Shard] | None,
    ) -> None:
        self._moments = moments
        self._treatments = treatments
        self._sample = sample
        n_features = len(moments.n)
        free = treatments.in_each_row
        self._is_centred = np.full(n_features, not sparse) if free is None or not sparse else free

    def fills(self) -> Floats64:
        """Return the replacements of missing values."""
        found = np.zeros(len(self._moments.n))
        for strategy, own in self._parts(self._treatments.fills):
            found[own] = self._fill(strategy)[own]
        for features in self._treatments.levels:
            found[features] = 0
            found[self._most_frequent_level(features)] = 1
        return found

    def places(self) -> tuple[Floats64, Floats64]:
        """Return the number to subtract from each feature, and the one to divide it by then."""
        n_features = len(self._moments.n)
        origins, sizes = np.zeros(n_features), np.ones(n_features)
        for method, own in self._parts(self._treatments.rescalings):
            if method == "none":
                continue
            origin, size = getattr(self, f"_{method}")()
            origins[own], sizes[own] = origin[own], size[own]
        sizes[self._moments.are_constant] = 1
        if self._treatments.left_out is not None:
            sizes[self._treatments.left_out] = np.inf
        return np.where(self._is_centred, origins, 0.0), sizes

    def moved(self) -> Features:
        """Return the first feature of each column of levels, and its most frequent level."""
        groups = [each for each in self._treatments.levels if len(each)]
        pairs = [(each.start, self._most_frequent_level(each)) for each in groups]
        return np.array(pairs, np.int64).reshape(-1, 2)

    def _parts(self, setting: Strategy | Sequence[Strategy]) -> Iterator[tuple[Strategy, _Flags]]:
        """Yield each distinct value with the features that have it."""
        n_features = len(self._moments.n)
        if isinstance(setting, str | float | int):
            yield setting, np.ones(n_features, np.bool_)
            return
        places: dict[Strategy, list[int]] = {}
        for place, value in enumerate(setting):
            places.setdefault(value, []).append(place)
        for value, own in places.items():
            flags = np.zeros(n_features, np.bool_)
            flags[own] = True
            yield value, flags

    def _fill(self, strategy: Strategy) -> Floats64:
        n_features = len(self._moments.n)
        if strategy == "mean":
            return self._moments.mean
        if strategy == "median":
            return self._ranked.quantile(0.5)
        if strategy == "most_frequent":
            return self._ranked.most_frequent()
        constant = {"zero": 0.0, "fail": np.nan}.get(str(strategy))
        return np.full(n_features, float(strategy) if constant is None else constant)

    def _standardise(self) -> tuple[Floats64, Floats64]:
        return self._moments.mean, self._deviations

    def _min_max(self) -> tuple[Floats64, Floats64]:
        """Return the ends; a feature that is not centred is divided by its largest size."""
        has_values = self._moments.n > 0
        low = np.where(has_values, self._moments.low, 0.0)
        high = np.where(has_values, self._moments.high, 0.0)
        largest = np.maximum(np.abs(low), np.abs(high))
        return low, np.where(self._is_centred, high - low, largest)

    def _robust(self) -> tuple[Floats64, Floats64]:
        """Return medians and distances of quartiles, or deviations where these are equal."""
        low, middle, high = map(self._ranked.quantile, (0.25, 0.5, 0.75))
        return middle, np.where(high > low, high - low, self._deviations)

    @property
    def _deviations(self) -> Floats64:
        found: Floats64 = np.sqrt(self._moments.m2 / np.maximum(self._moments.n, 1))
        return found

    @cached_property
    def _ranked(self) -> Ranked:
        if self._sample is None:
            raise ValueError("medians, quartiles and most frequent values need a sample of rows")
        return Ranked.of(self._sample())

    def _most_frequent_level(self, features: range) -> int:
        own = slice(features.start, features.stop)
        rows = np.rint(self._moments.mean[own] * self._moments.n[own])
        return features.start + int(rows.argmax())
