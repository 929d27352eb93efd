"""The format of objects, by the endings of their names."""

from __future__ import annotations

import msgspec

from stepml.job.data import Data
from stepml.job.errors import InvalidDataError
from stepml.job.formats import FORMATS
from stepml.job.spec_base import listed
from stepml.ml.data.formats import format_of_file
from stepml.ml.data.objects import ObjectCatalogue
from stepml.ml.data.planning import find_objects

_MOST_NAMED = 3


def note_on_format(asked: Data, data_format: str) -> list[str]:
    """Return a note on the format of the data, if the job leaves it open."""
    if asked.format is not None:
        return []
    return [f"format {data_format}, as the names of the objects end; data.format sets another"]


def guess_format(source: ObjectCatalogue, path: str, data: Data, own_bucket: str = "") -> str:
    """Return the format of the objects at ``path``; parameters as those of `plan_data`.

    Raises
    ------
    DataNotFoundError, DataDeniedError
        As `find_objects`.
    InvalidDataError
        No name tells the format, or they tell different ones.
    """
    # Any format finds the objects; only an object with labels beside it needs its own.
    objects = find_objects(source, path, msgspec.structs.replace(data, format="csv"), own_bucket)
    found = {known for each in objects if (known := format_of_file(each.key)) is not None}
    if len(found) == 1:
        return found.pop()
    names = ", ".join(each.key for each in objects[:_MOST_NAMED])
    more = ", …" if len(objects) > _MOST_NAMED else ""
    told = f"tell several ({', '.join(sorted(found))})" if found else "do not tell it"
    raise InvalidDataError(
        f"data.format: expected {listed(tuple(FORMATS))}, because the names of the objects {told}: "
        f"{names}{more}"
    )
