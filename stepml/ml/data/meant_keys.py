"""The keys of objects that are meant by wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from stepml.job.errors import StorageDeniedError
from stepml.job.suggestions import did_you_mean
from stepml.ml.data.objects import ObjectInfo

_MOST_KEYS = 1000  # among which a key that is meant is looked for


class Catalogue(Protocol):
    """Lists objects."""

    def describe_many(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the description of each object whose key starts with ``prefix``, in key order."""
        ...


def hint_at_key(source: Catalogue, path: str) -> str:
    """Return a hint at the key or folder that is meant by a wrong ``path``, or ""."""
    if hint := _hint_at_folder(path):
        return hint
    folder = path.rstrip("/").rpartition("/")[0]
    for prefix in dict.fromkeys([f"{folder}/" if folder else "", ""]):
        try:
            keys = [each.key for each in islice(source.describe_many(prefix), _MOST_KEYS)]
        except StorageDeniedError:  # what lies there may be none of the functions' business
            return ""
        folders = {key.rpartition("/")[0] + "/" for key in keys if "/" in key}
        if hint := did_you_mean(path, [*keys, *sorted(folders)]):
            return hint
    return ""


def _hint_at_folder(path: str) -> str:
    """Return a hint at the folder of a pattern, which a key with such characters hardly is."""
    if set(path).isdisjoint("*?"):
        return ""
    folder = path.partition("*")[0].partition("?")[0].rpartition("/")[0]
    return f" (no pattern, but a prefix: {folder}/ is all objects below it)"
