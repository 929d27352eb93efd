"""Notes on features that say nothing, or nothing new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from stepml.ml.data import Moments, Scale
from stepml.ml.data.feature_names import NamedFeatures
from stepml.ml.matrices import CsrMatrix, Floats, Matrix

_MOST_NAMED = 3
_MOST_COMPARED = 1000  # features; more are not looked at


def notes_on_features(
    features: NamedFeatures, moments: Moments, sample: Callable[[], Matrix]
) -> list[str]:
    """Return notes on features that are constant, or that repeat others.

    Parameters
    ----------
    features : NamedFeatures
    moments : Moments
        Of the training rows.
    sample : callable
        Returns training rows as in the data. Called only if features have the same mean.
    """
    is_empty = moments.n == 0
    kinds = (
        (is_empty, ("has no value", "have no value")),
        (moments.are_constant & ~is_empty, ("is constant", "are constant")),
    )
    notes = [
        _note(titles, *verbs)
        for found, verbs in kinds
        if found.any() and (titles := features.titles_of(found))
    ]
    repeated = _repeated(moments, sample)
    pairs = [
        f"{features.feature_title(other)} repeats {features.feature_title(first)}"
        for first, other in repeated
    ]
    return notes + ([_note(pairs, "", "repeat others")] if pairs else [])


def notes_on_left_out(features: NamedFeatures, scale: Scale | None) -> list[str]:
    """Return a note on the columns that a job's scale leaves out."""
    titles = [] if scale is None else features.titles_of(np.isinf(scale.scale))
    if not titles:
        return []
    verbs = ("is left out", "are left out")
    return [f"{_note(titles, *verbs)}, as data.columns.uninformative says"]


def _note(texts: Sequence[str], verb: str, plural: str) -> str:
    if len(texts) == 1:
        return f"{texts[0]} {verb}".rstrip()
    more = ", …" if len(texts) > _MOST_NAMED else ""
    return f"{len(texts):,} features {plural}: {', '.join(texts[:_MOST_NAMED])}{more}"


def _repeated(moments: Moments, sample: Callable[[], Matrix]) -> list[tuple[int, int]]:
    """Return features that are equal, each with the first one of its kind."""
    alike = _with_one_mean(moments)
    if not 0 < sum(map(len, alike)) <= _MOST_COMPARED:
        return []
    X = sample()
    if isinstance(X, CsrMatrix):  # has no columns to compare; rare words are often alike
        return []
    return sorted(pair for group in alike for pair in _equal_columns(X, group))


def _with_one_mean(moments: Moments) -> list[list[int]]:
    """Return the features that change, if they share the number of values and the mean."""
    groups = defaultdict(list)
    for feature in np.flatnonzero(~moments.are_constant).tolist():
        groups[moments.n[feature], moments.mean[feature]].append(feature)
    return [group for group in groups.values() if len(group) > 1]


def _equal_columns(X: Floats, features: Sequence[int]) -> Iterator[tuple[int, int]]:
    first_of: dict[bytes, int] = {}
    for feature in features:
        column = np.ascontiguousarray(X[:, feature])
        if (column == column[0]).all():  # a rare value, which the sample lacks
            continue
        first = first_of.setdefault(column.tobytes(), feature)
        if first != feature:
            yield first, feature
