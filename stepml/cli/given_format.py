"""The format of rows to predict, as the command line and the model's job give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from stepml.cli.data_settings import data_with
from stepml.cli.errors import BadInputError
from stepml.cli.prediction_source import Source
from stepml.job.conversion import converted
from stepml.job.data import Data
from stepml.job.formats import FORMATS as FACTS
from stepml.ml.data import SourceFormat
from stepml.ml.data.formats import format_of_file
from stepml.ml.data.table import TableSettings

# The model says what the columns are, not the rows to predict.
ALL_NUMBERS = TableSettings(types=(("*", "number"),))


# They may be others than in the training data.
_SETTINGS = (
    "delimiter",
    "encoding",
    "comment",
    "decimal",
    "thousands",
    "quoted_newlines",
    "missing_words",
    "path_columns",
)


@dataclass(frozen=True, slots=True)
class GivenFormat:
    """The format of the data, as given on the command line."""

    format: str | None = None
    header: bool | None = None
    label: str | None = None  # name or index
    has_label: bool | None = None
    keep: tuple[str, ...] = ()  # names or indices of columns to copy
    settings: tuple[str, ...] = ()  # fields of a job's data, as ``decimal=,``


def asked_format(
    format: str,  # noqa: A002 - the job's field
    given: GivenFormat,
    data: Mapping[str, Any],
) -> SourceFormat:
    """Return the job's conventions of text and missing values, with those that are ``given``.

    Parameters
    ----------
    format : str
    given : GivenFormat
    data : mapping
        ``data`` of the job.

    Raises
    ------
    BadInputError
        A setting is not allowed.
    """
    asked = SourceFormat.from_data(data_with(converted(data, Data), given.settings, _SETTINGS))
    missing = asked.missing if FACTS[format].has_missing_values else "fail"
    return replace(
        asked,
        format=format,
        missing=missing,
        on_bad_row="fail",
        header=None,
        label=None,
        has_label=True,
        n_features=None,
        validates=None,
        validates_after=None,
        weight=None,
        settings=ALL_NUMBERS,
    )


def format_of(source: Source) -> str | None:
    """Return the format that the objects' names tell, or None.

    Raises
    ------
    BadInputError
        They tell several.
    """
    found = {known for each in source.objects if (known := format_of_file(each.name)) is not None}
    if len(found) > 1:
        raise BadInputError(
            f"--format: expected one of {', '.join(sorted(found))}, because there are files of all "
            f"at {source.title}"
        )
    return next(iter(found), None)
