"""Checks of settings by column that play no part in partitioning."""

from __future__ import annotations

from collections.abc import Mapping

from stepml.job.columns import matches
from stepml.job.data import Data
from stepml.job.errors import InvalidJobError
from stepml.job.suggestions import did_you_mean
from stepml.ml.data.layout import Layout


def require_scaled_columns(data: Data, layout: Layout) -> None:
    """Raise `InvalidJobError` if ``data.scale`` names a column that is no number of a feature."""
    if not isinstance(data.scale, dict):
        return
    names = [each.name for each in layout.raw_columns]
    if not any(names):
        raise InvalidJobError("data.scale: the columns of the data have no names")
    for pattern in data.scale:
        if not any(matches(name, pattern) for name in names):
            hint = did_you_mean(pattern, names)
            raise InvalidJobError(f"data.scale: no feature of the data is {pattern!r}{hint}")
    _refuse_no_numbers(data.scale, layout)


def _refuse_no_numbers(scale: Mapping[str, str], layout: Layout) -> None:
    for column in layout.raw_columns:
        is_number = column.kind not in ("boolean", "category") or column.encode == "ordinal"
        if column.name in scale and not is_number:
            raise InvalidJobError(
                f"data.scale: {column.title} is a {column.kind}, whose features are 0 or 1 and not "
                f"scaled; got {scale[column.name]!r}"
            )
