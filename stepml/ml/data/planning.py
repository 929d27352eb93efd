"""The plan for a data set's partition: its objects, their layout and the byte ranges to parse."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stepml.job.data import Data
from stepml.job.errors import (
    DataDeniedError,
    DataNotFoundError,
    KeyNotFoundError,
    StorageDeniedError,
)
from stepml.job.places import absolute, bucket_and_key
from stepml.job.spec_base import settled
from stepml.ml.data.column_settings import require_scaled_columns
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.formats.text.plain_text import unpacked_name
from stepml.ml.data.hidden_files import is_hidden, note_on_hidden
from stepml.ml.data.layout import Layout, dataset_digest
from stepml.ml.data.meant_keys import hint_at_key
from stepml.ml.data.objects import DataObject, ObjectCatalogue, ObjectInfo
from stepml.ml.data.path_columns import review_paths
from stepml.ml.data.ranges import ByteRange, Cut, plan_ranges
from stepml.ml.data.sniff import sniff
from stepml.ml.data.source_format import SourceFormat


@dataclass(frozen=True, slots=True)
class DataPlan:
    """The plan by which a data set is partitioned."""

    objects: list[DataObject]  # in order of their keys
    layout: Layout
    tasks: list[list[ByteRange]]  # the byte ranges of each range task
    digest: str  # content address of the partitioned data set, see `dataset_digest`
    notes: list[str]  # on facts that were inferred
    cuts: list[Cut]  # where each object may be cut


@dataclass(frozen=True, slots=True)
class FoundObjects:
    """The objects that lie at a place."""

    objects: list[DataObject]  # in order of their keys
    hidden: list[str]  # names of those that hold no rows, see `is_hidden`


def plan_data(
    source: ObjectCatalogue,
    path: str,
    data: Data,
    own_bucket: str = "",
    *,
    has_classes: bool = False,
) -> DataPlan:
    """Plan the partition of the data at ``path``, from names and first lines.

    Parameters
    ----------
    source : ObjectCatalogue
        The bucket of ``data.uri``.
    path : str
        The key of one object, or the prefix of several keys.
    data : Data
    own_bucket : str
        The stack's bucket, for messages.
    has_classes : bool
        The labels are classes.

    Raises
    ------
    InvalidJobError
        A setting names a column that the data do not have.
    InvalidDataError
        The objects do not match ``data``, or a fact about them is ambiguous; see
        `look_for_objects`, `review_paths`, `sniff` and `DataFormat.review`.
    """
    held_out = _validation_objects(source, data, own_bucket)
    found = look_for_objects(source, path, data, own_bucket)
    training = _without(found.objects, held_out, data)
    data_format = FORMATS[settled(data.format)]
    training, left_out = data_format.select(training)
    notes = [*note_on_hidden(found.hidden), *left_out, *review_paths(training, data)]
    asked = SourceFormat.from_data(data, has_classes=has_classes)
    layout = sniff(source, training, asked)
    if layout.n_columns:  # otherwise only range tasks know them
        require_scaled_columns(data, layout)
    objects = _as_unpacked([*training, *held_out], layout)
    if held_out:
        layout = replace(layout, first_validation=len(training))
    notes += data_format.review(source, objects, layout, asked)
    cuts = data_format.cuts_of(objects, layout)
    return DataPlan(
        objects=objects,
        layout=layout,
        tasks=[list(ranges) for ranges in plan_ranges(objects, data.ranges, cuts)],
        digest=dataset_digest(objects, layout, data.seed),
        notes=notes,
        cuts=cuts,
    )


def find_objects(
    source: ObjectCatalogue, path: str, data: Data, own_bucket: str = "", field: str = "data.uri"
) -> list[DataObject]:
    """Return the objects that `look_for_objects` finds, without the hidden ones."""
    return look_for_objects(source, path, data, own_bucket, field).objects


def look_for_objects(
    source: ObjectCatalogue, path: str, data: Data, own_bucket: str = "", field: str = "data.uri"
) -> FoundObjects:
    """Return the object at ``path``, or the objects below it, in order of their keys.

    If ``path`` is an object of images, the object of their labels is included. Messages name
    ``field``.

    Raises
    ------
    DataNotFoundError
        There is no such object, no object below it but hidden ones, no such bucket, or no labels.
    DataDeniedError
        The functions' role may not read there.
    """
    uri = _uri_of(data, path)
    try:
        found = _look(source, path, data, field)
    except KeyNotFoundError as error:
        own = f"; the bucket of this stack is {own_bucket!r}" if own_bucket else ""
        raise DataNotFoundError(f"{field}: there is no bucket for {uri}{own}") from error
    except StorageDeniedError as error:
        raise DataDeniedError(
            f"{field}: the functions may not read {uri}; a bucket other than the stack's own "
            "is named by the parameter DataBucketName of the stack"
        ) from error
    if found.hidden and not found.objects:
        raise DataNotFoundError(
            f"{field}: no data lie at {uri}; {note_on_hidden(found.hidden)[0]}; one object may "
            "have any name"
        )
    if not found.objects:
        hint = hint_at_key(source, path) or _hint_to_upload(uri, own_bucket)
        raise DataNotFoundError(f"{field}: nothing lies at {uri}{hint}")
    return found


def _look(source: ObjectCatalogue, path: str, data: Data, field: str) -> FoundObjects:
    if not path.endswith("/") and (found := _one(source, path, data, field)):
        folder = path.rpartition("/")[0] + "/" if "/" in path else ""
        return FoundObjects([_described(each, folder) for each in found], [])
    folder = path.rstrip("/") + "/"
    below = [_described(each, folder) for each in source.describe_many(folder) if each.value_bytes]
    hidden = [each.name for each in below if is_hidden(each.name)]
    return FoundObjects([each for each in below if not is_hidden(each.name)], hidden)


def _described(info: ObjectInfo, folder: str) -> DataObject:
    return DataObject(info.key, info.key.removeprefix(folder), info.value_bytes, info.etag)


def _as_unpacked(objects: list[DataObject], layout: Layout) -> list[DataObject]:
    """Return objects whose rows have the ids of the same text without compression."""
    if not layout.dialect.compression:
        return objects
    names = [unpacked_name(each.name) for each in objects]
    if len(set(names)) < len(names):
        return objects
    return [replace(each, name=name) for each, name in zip(objects, names, strict=True)]


def _validation_objects(source: ObjectCatalogue, data: Data, own_bucket: str) -> list[DataObject]:
    """Return the objects of ``data.validation.uri``, which is in the bucket of ``data.uri``."""
    if data.validation is None or data.validation.uri is None:
        return []
    _, path = bucket_and_key(data.validation.uri)
    return find_objects(source, path, data, own_bucket, "data.validation.uri")


def _without(objects: list[DataObject], held_out: list[DataObject], data: Data) -> list[DataObject]:
    """Return the objects that are not for validation, which may lie below the same prefix."""
    keys = {each.key for each in held_out}
    training = [each for each in objects if each.key not in keys]
    if not training:
        raise DataNotFoundError(
            f"data.uri: all that lies at {data.uri} is for validation, as data.validation.uri says"
        )
    return training


def _uri_of(data: Data, path: str) -> str:
    return absolute(path, bucket_and_key(data.uri)[0])


def _hint_to_upload(uri: str, own_bucket: str) -> str:
    bucket, key = bucket_and_key(uri)
    if bucket != own_bucket or not key.startswith("data/"):
        return ""
    return f"; upload it with: stepml data put FILE --to {key}"


def _one(source: ObjectCatalogue, path: str, data: Data, field: str) -> list[ObjectInfo]:
    """Return the object at ``path`` and its companion, or nothing if there is no such object."""
    found = source.describe(path)
    if found is None:
        return []
    has_label = data.has_label is not False
    places = FORMATS[settled(data.format)].labels_beside(path) if has_label else ()
    labels = next(filter(None, map(source.describe, places)), None)
    if places and labels is None:
        raise DataNotFoundError(
            f"{field}: {_uri_of(data, path)} has no labels: nothing lies at {' or '.join(places)}"
        )
    return [found] if labels is None else [found, labels]
