"""Checks of settings by column: each name or pattern has to match a column of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from stepml.job.columns import matches
from stepml.job.errors import InvalidJobError
from stepml.job.explanations import did_you_mean
from stepml.job.spec import Data
from stepml.ml.data.layout import Layout


def require_columns(data: Data, layout: Layout) -> None:
    """Raise `InvalidJobError` if a setting names a column that the data do not have."""
    table = layout.table.columns if layout.table else ()
    names = dict.fromkeys([*layout.column_names, *(each.name for each in table)])
    for field, patterns in _settings(data):
        require_matches(field, patterns, list(filter(None, names)))


def require_matches(field: str, patterns: Iterable[str], names: Sequence[str]) -> None:
    """Raise `InvalidJobError` if a pattern matches none of the ``names`` of columns."""
    for pattern in patterns:
        if not names:
            raise InvalidJobError(
                f"{field}: the columns of the data have no names, got {pattern!r}"
            )
        if not any(matches(name, pattern) for name in names):
            hint = did_you_mean(pattern, names)
            raise InvalidJobError(f"{field}: no column of the data is {pattern!r}{hint}")


def _settings(data: Data) -> Iterator[tuple[str, Iterable[str]]]:
    if isinstance(data.missing, dict):
        yield "data.missing", data.missing
    if isinstance(data.missing_indicator, list):
        yield "data.missing_indicator", data.missing_indicator
    if isinstance(data.scale, dict):
        yield "data.scale", data.scale
