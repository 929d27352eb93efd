"""Fields of a job's ``data`` in arguments: ``--set FIELD=VALUE``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from stepml.cli.errors import BadInputError
from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job
from stepml.job.spec import Data

# Of a job that checks the fields: it takes any label, and none.
_MODEL = {"name": "kmeans", "n_clusters": 2}
_FIELD = "data."


def data_with(data: Data, settings: Sequence[str]) -> Data:
    """Return ``data`` with the fields of ``settings``, each ``FIELD=VALUE``.

    A value is JSON, or a string without quotes if it is none.

    Raises
    ------
    BadInputError
        There is no such field, or its value is not allowed.
    """
    given = dict(map(_parsed, settings))
    if not given:
        return data
    fields = {"format": data.format, "header": data.header, **given}
    try:
        spec = parse_job({"data": {"uri": "data/x", **fields}, "model": _MODEL})
    except InvalidJobError as error:
        mistakes = [each.removeprefix(_FIELD) for each in error.mistakes or [str(error)]]
        raise BadInputError(f"--set: {'; '.join(mistakes)}") from None
    return msgspec.structs.replace(data, **{name: getattr(spec.data, name) for name in given})


def _parsed(setting: str) -> tuple[str, Any]:
    name, equals, text = setting.partition("=")
    if not equals:
        raise BadInputError(f"--set: expected FIELD=VALUE, got {setting!r}")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return name.strip().removeprefix(_FIELD), value
