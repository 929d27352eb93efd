"""Fields of a job's ``data`` in arguments: ``--set FIELD=VALUE``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from stepml.cli.errors import BadInputError
from stepml.cli.job_input import of_option
from stepml.client.job_changes import Change, changed
from stepml.job.conversion import converted
from stepml.job.data import Data
from stepml.job.explanations import mistakes
from stepml.job.spec import JobSpec
from stepml.job.spec_base import listed

_GROUP = "data"


def data_with(data: Data, settings: Sequence[str], allowed: Sequence[str] | None = None) -> Data:
    """Return ``data`` with the fields of ``settings``, each ``FIELD=VALUE``.

    A value is JSON, or a string without quotes if it is none. Only ``allowed`` fields may be given;
    None: all.

    Raises
    ------
    BadInputError
        There is no such field, or its value is not allowed.
    """
    document, names = _given(data.uri, settings)
    strange = [name for name in names if allowed is not None and name not in allowed]
    if allowed is not None and strange:
        raise BadInputError(f"--set: expected {listed(tuple(allowed))}, got {strange[0]!r}")
    _require_valid(document)
    fields = converted(document[_GROUP], Data)
    return msgspec.structs.replace(data, **{name: getattr(fields, name) for name in names})


def data_fields(settings: Sequence[str]) -> dict[str, Any]:
    """Return the fields of ``settings`` as a job has them; see `data_with` for errors."""
    document, names = _given("rows", settings)
    _require_valid(document)
    return {name: document[_GROUP][name] for name in names}


def _given(uri: str, settings: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return a job with the fields of ``settings`` alone, and their names."""
    with of_option():
        changes = [_within_data(Change.parsed(each)) for each in settings]
        document = changed({_GROUP: {"uri": uri}}, changes)
    return document, [change.path[1] for change in changes]


def _require_valid(document: dict[str, Any]) -> None:
    found = [each for each in mistakes(document, JobSpec) if each.startswith(_GROUP)]
    if found:
        raise BadInputError(
            f"--set: {'; '.join(each.removeprefix(f'{_GROUP}.') for each in found)}"
        )


def _within_data(change: Change) -> Change:
    """Return a change of the job; its path may be given without the group's name."""
    is_whole = len(change.path) > 1 and change.path[0] == _GROUP
    return change if is_whole else Change((_GROUP, *change.path), change.value)
