"""Objects of S3: documents in the database, large values in files."""

from __future__ import annotations

import datetime
import inspect
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

from moto.s3.models import FakeDeleteMarker, FakeKey, S3Backend, s3_backends

from stepml.local.keeping.shelves import Shelf, after, each_backend
from stepml.local.keeping.store import INLINE_BYTES, Store

logger = logging.getLogger(__name__)

# Of an object; all are texts, numbers, booleans or None.
_FIELDS = (
    *("account_id", "region_name", "_storage_class", "_version_id", "_is_versioned"),
    *("website_redirect_location", "checksum_algorithm", "encryption", "kms_key_id"),
    *("bucket_key_enabled", "lock_mode", "lock_legal_status", "lock_until", "checksum_value"),
    *("checksum_type", "checksum_parts"),
)
_WRITERS = (
    *("put_object", "delete_object", "restore_object"),
    *("put_object_acl", "put_object_legal_hold", "put_object_retention"),
)
_INSERT = "INSERT INTO objects VALUES(?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM objects WHERE bucket = ? AND name = ?"


class KeptKey(FakeKey):
    """An object of an earlier run, whose value is read when somebody asks for it."""

    store: ClassVar[Store]
    kept: str  # the name of the file

    def __deepcopy__(self, memo: Any) -> KeptKey:
        """Return a copy for moto's lists, without reading the value."""
        copied: KeptKey = object.__new__(KeptKey)
        copied.__dict__.update(self.__dict__)
        return copied

    @property
    def stored(self) -> bytes:
        value = self.__dict__.get("stored")
        if value is None:
            value = self.__dict__["stored"] = self.store.value(self.kept)
        return bytes(value)

    @stored.setter
    def stored(self, value: bytes) -> None:
        self.__dict__["stored"] = value


class KeptObjects(Shelf):
    """The objects of all buckets.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = KeptKey.store = store
        self._writing = threading.Lock()
        self._touched = threading.local()
        names = [name for (name,) in store.rows("SELECT value FROM objects WHERE value != ''")]
        store.remove_all_values_but(names)

    def watch(self) -> None:
        """Notice every object that a request changes."""
        for name in _WRITERS:
            signature = inspect.signature(getattr(S3Backend, name))

            def touch(
                _: Any, *given: Any, signature: inspect.Signature = signature, **named: Any
            ) -> None:
                arguments = signature.bind(*given, **named).arguments
                self._touch(arguments["bucket_name"], arguments["key_name"])

            after(S3Backend, name, touch)
        after(S3Backend, "complete_multipart_upload", self._touch_completed)

    def owners(self) -> dict[str, Any]:
        """Return the buckets."""
        return {
            name: bucket
            for _, backend in each_backend(s3_backends)
            for name, bucket in list(backend.buckets.items())
        }

    def attach(self, name: str, owner: Any) -> None:
        """Put the kept objects into a bucket, unless it has newer ones."""
        query = "SELECT name, doc, value, data FROM objects WHERE bucket = ? ORDER BY name, version"
        new = {*dict.keys(owner.keys)}
        for key, doc, value, data in self._store.rows(query, (name,)):
            document = json.loads(doc)
            if value and self._store.value_bytes(value) != document["size"]:
                logger.warning("s3://%s/%s was not written whole and is left out", name, key)
            elif key not in new:
                owner.keys[key] = self._restored(owner, key, document, value, data)

    def drop(self, name: str) -> None:
        """Forget the objects of a bucket."""
        query = "SELECT value FROM objects WHERE bucket = ? AND value != ''"
        values = [value for (value,) in self._store.rows(query, (name,))]
        self._store.write(("DELETE FROM objects WHERE bucket = ?", (name,)))
        self._store.remove_values(values)

    def save_touched(self) -> None:
        """Write the objects that this thread's request has changed."""
        touched: set[tuple[str, str]] = getattr(self._touched, "objects", set())
        while touched:
            bucket, key = next(iter(touched))
            self._save(bucket, key)
            touched.discard((bucket, key))  # if it fails, the thread's next request tries again

    def _touch(self, bucket: str, key: str) -> None:
        self._touched.objects = {*getattr(self._touched, "objects", ()), (bucket, key)}

    def _touch_completed(self, key: Any, *_: Any, **__: Any) -> None:
        if key is not None:
            self._touch(key.bucket_name, key.name)

    def _save(self, bucket_name: str, key: str) -> None:
        with self._writing:  # the last writer of a key writes its last state
            bucket = self.owners().get(bucket_name)
            versions = [] if bucket is None else list(bucket.keys.getlist(key, []))
            query = "SELECT value FROM objects WHERE bucket = ? AND name = ? AND value != ''"
            before = {value for (value,) in self._store.rows(query, (bucket_name, key))}
            rows = [
                (_INSERT, (bucket_name, key, number, *self._row(version)))
                for number, version in enumerate(versions)
            ]
            self._store.write((_DELETE, (bucket_name, key)), *rows)
            used = {row[1][4] for row in rows}
            self._store.remove_values(before - used)

    def _row(self, version: Any) -> tuple[str, str, bytes | None]:
        """Return the document of a version, and the name of its file or its value."""
        if isinstance(version, FakeDeleteMarker):
            marker = {"version_id": version._version_id, "modified": _text(version.last_modified)}
            return json.dumps(marker), "", None
        document = json.dumps(_document(version))
        if version.contentsize <= INLINE_BYTES:
            return document, "", version.value
        if getattr(version, "kept", None) is None:
            version.kept = self._store.add_value(version.value)
        return document, version.kept, None

    def _restored(
        self, bucket: Any, name: str, doc: dict[str, Any], value: str, data: bytes | None
    ) -> Any:
        if "fields" not in doc:
            marker = FakeDeleteMarker(bucket.keys[name])
            marker._version_id = doc["version_id"]
            marker.last_modified = datetime.datetime.fromisoformat(doc["modified"])
            return marker
        key: Any = KeptKey(name, data or b"", "", bucket.region_name, bucket_name=bucket.name)
        for field, given in doc["fields"].items():
            setattr(key, field, given)
        key.contentsize, key._etag = doc["size"], doc["etag"]
        key.last_modified = datetime.datetime.fromisoformat(doc["modified"])
        key._expiry = doc["expiry"] and datetime.datetime.fromisoformat(doc["expiry"])
        key._metadata.clear()
        key._metadata.update(doc["metadata"])
        if value:
            key.kept = value
            key.__dict__["stored"] = None
        return key


def _document(key: Any) -> dict[str, Any]:
    return {
        "fields": {field: getattr(key, field) for field in _FIELDS},
        "size": key.contentsize,
        "etag": key.etag.strip('"'),
        "modified": _text(key.last_modified),
        "expiry": key._expiry and _text(key._expiry),
        "metadata": dict(_items(key._metadata)),
    }


def _items(metadata: Any) -> Iterator[tuple[str, Any]]:
    for name in metadata:
        yield name, metadata[name]


def _text(moment: datetime.datetime) -> str:
    return moment.isoformat()
