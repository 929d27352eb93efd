"""Items of DynamoDB's tables."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any

from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

from stepml.local.keeping.shelves import Shelf, after, each_backend
from stepml.local.keeping.store import Store

_SAVE = "INSERT OR REPLACE INTO items VALUES(?, ?, ?)"
_DELETE = "DELETE FROM items WHERE owner = ? AND key = ?"
_BYTES = "\0bytes"  # the only name in an object that stands for bytes
Key = tuple[Any, Any]  # hash and range, if there is one


class KeptItems(Shelf):
    """The items of all tables.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._writing = threading.Lock()
        self._touched = threading.local()

    def watch(self) -> None:
        """Notice every item that a request changes."""
        after(Table, "put_item", lambda item, table, *_, **__: self._touch(table, item))
        after(Table, "delete_item", lambda item, table, *_, **__: self._touch(table, item))
        after(DynamoDBBackend, "update_item", self._touch_updated)

    def owners(self) -> dict[str, Any]:
        """Return the tables."""
        return {
            f"{place}/{name}": table
            for place, backend in each_backend(dynamodb_backends)
            for name, table in list(backend.tables.items())
        }

    def attach(self, name: str, owner: Any) -> None:
        """Put the kept items into a table, unless it has newer ones."""
        for (doc,) in self._store.rows("SELECT doc FROM items WHERE owner = ?", (name,)):
            attributes = _read(doc)
            hash_key = DynamoType(attributes[owner.hash_key_attr])
            range_name = owner.range_key_attr
            range_key = DynamoType(attributes[range_name]) if range_name else None
            if _stored(owner, (hash_key, range_key)) is None:
                item = Item(hash_key, range_key, attributes)
                if range_key is None:
                    owner.items[hash_key] = item
                else:
                    owner.items[hash_key][range_key] = item

    def drop(self, name: str) -> None:
        """Forget the items of a table."""
        self._store.write(("DELETE FROM items WHERE owner = ?", (name,)))

    def save_touched(self) -> None:
        """Write the items that this thread's request has changed; it may have taken some back."""
        touched, self._touched.items = getattr(self._touched, "items", ()), []
        if not touched:
            return
        with self._writing:
            tables = self.owners()
            self._store.write(*(self._statement(tables, name, key) for name, key in touched))

    def _touch(self, table: Any, item: Any) -> None:
        if item is not None:  # else nothing was deleted
            name = f"{table.account_id}/{table.region_name}/{table.name}"
            key = (item.hash_key, item.range_key)
            self._touched.items = [*getattr(self._touched, "items", ()), (name, key)]

    def _touch_updated(self, item: Any, backend: Any, table_name: str, *_: Any, **__: Any) -> None:
        self._touch(backend.get_table(table_name), item)

    def _statement(
        self, tables: dict[str, Any], name: str, key: Key
    ) -> tuple[str, tuple[str, ...]]:
        table = tables.get(name)
        item = None if table is None else _stored(table, key)
        written = _written([each and {each.type: each.value} for each in key])
        if item is None:
            return _DELETE, (name, written)
        return _SAVE, (name, written, _written(item.attrs))


def _written(value: Any) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    """Return a value of moto as one that JSON has."""
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, DynamoType):
        return {value.type: value.value}
    raise TypeError(f"no value of DynamoDB: {value!r}")


def _read(text: str) -> Any:
    return json.loads(text, object_hook=_read_object)


def _read_object(read: dict[str, Any]) -> Any:
    written = read.get(_BYTES)  # an attribute may have this name; its value is an object
    return base64.b64decode(written) if isinstance(written, str) else read


def _stored(table: Any, key: Key) -> Any:
    hash_key, range_key = key
    found = table.items.get(hash_key)
    return found if range_key is None or found is None else found.get(range_key)
