"""Fields of a job's ``data`` in arguments: ``--set FIELD=VALUE``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from stepml.cli.errors import BadInputError
from stepml.job.conversion import converted
from stepml.job.data import Data
from stepml.job.explanations import mistakes
from stepml.job.spec import JobSpec
from stepml.job.spec_base import listed

_FIELD = "data."


def data_with(data: Data, settings: Sequence[str], allowed: Sequence[str] | None = None) -> Data:
    """Return ``data`` with the fields of ``settings``, each ``FIELD=VALUE``.

    A value is JSON, or a string without quotes if it is none. Only ``allowed`` fields may be given;
    None: all.

    Raises
    ------
    BadInputError
        There is no such field, or its value is not allowed.
    """
    given = dict(map(_parsed, settings))
    if not given:
        return data
    strange = [name for name in given if allowed is not None and name not in allowed]
    if allowed is not None and strange:
        raise BadInputError(f"--set: expected {listed(tuple(allowed))}, got {strange[0]!r}")
    document = {"data": {"uri": data.uri, **given}}
    found = [each for each in mistakes(document, JobSpec) if each.startswith("data")]
    if found:
        raise BadInputError(f"--set: {'; '.join(each.removeprefix(_FIELD) for each in found)}")
    fields = converted(document["data"], Data)
    return msgspec.structs.replace(data, **{name: getattr(fields, name) for name in given})


def _parsed(setting: str) -> tuple[str, Any]:
    name, equals, text = setting.partition("=")
    if not equals:
        raise BadInputError(f"--set: expected FIELD=VALUE, got {setting!r}")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return name.strip().removeprefix(_FIELD), value
