"""Checks of fields that have an effect with some formats alone."""

from __future__ import annotations

from collections.abc import Callable

from stepml.job.data import Data
from stepml.job.errors import InvalidJobError
from stepml.job.formats import FORMATS, FormatFacts, names_of
from stepml.job.spec import JobSpec
from stepml.job.spec_base import listed


def check_format_of(field: str, has_it: Callable[[FormatFacts], bool], spec: JobSpec) -> None:
    """Raise `InvalidJobError` if a field of ``data`` has no effect with the job's format."""
    data, value = spec.data, getattr(spec.data, field)
    if data.format is None or value == getattr(Data(uri=data.uri), field):
        return
    if not has_it(FORMATS[data.format]):
        shown = f"{value!r} " if isinstance(value, (str, int, list)) else ""
        raise InvalidJobError(
            f"data.{field}: {shown}requires data.format {listed(names_of(has_it))}, "
            f"got {data.format!r}"
        )
