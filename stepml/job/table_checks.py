"""Checks of the fields that say what a table's columns become."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from stepml.job.data import Data
from stepml.job.errors import InvalidJobError
from stepml.job.format_checks import check_format_of
from stepml.job.formats import FormatFacts
from stepml.job.spec import JobSpec

_FIELDS = (
    "columns",
    "encode",
    "hash_width",
    "unknown_levels",
    "dates",
    "missing_indicator",
)


def _has_columns(facts: FormatFacts) -> bool:
    return facts.label == "column"


def _check_hash_width(spec: JobSpec) -> None:
    data = spec.data
    encodings = [data.encode] if isinstance(data.encode, str) else list(data.encode.values())
    if data.hash_width != Data(uri=data.uri).hash_width and "hash" not in encodings:
        raise InvalidJobError(
            "data.hash_width: has no effect, as no column has data.encode 'hash'; set that, or "
            f"remove it; got {data.hash_width}"
        )


def _check_dates(spec: JobSpec) -> None:
    dates = spec.data.dates
    if not isinstance(dates, str) and len(set(dates)) < len(dates):
        raise InvalidJobError(f"data.dates: expected each part once, got {', '.join(dates)}")


TABLE_CHECKS: tuple[Callable[[JobSpec], Any], ...] = (
    *(partial(check_format_of, field, _has_columns) for field in _FIELDS),
    _check_hash_width,
    _check_dates,
)
