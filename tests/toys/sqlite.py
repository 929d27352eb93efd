"""A toy channel: one table in a file, which functions on one machine share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from storage.base import ABSENT, Buffer, Storage, Version

_TABLE = "CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, value BLOB, version INTEGER)"


class SqliteStorage(Storage):
    """The rows of a table; `version` counts the writes of a key."""

    def __init__(self, path: str) -> None:
        self._table = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._table.execute(_TABLE)

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        for key, value in values.items():
            self._table.execute(
                "INSERT INTO items VALUES (?1, ?2, 1) "
                "ON CONFLICT DO UPDATE SET value = ?2, version = version + 1",
                (key, bytes(value)),
            )

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        found = {key: self.load_version(key)[0] for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def find_many(self, keys: Sequence[str]) -> set[str]:
        return set(self.load_many(keys))

    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._table.execute("DELETE FROM items WHERE key = ?", (key,))

    def list(self, prefix: str) -> Iterator[str]:
        rows = self._table.execute("SELECT key FROM items").fetchall()
        return (key for (key,) in rows if key.startswith(prefix))

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        for key, value in values.items():
            self.compare_and_save(key, value, ABSENT)
        return self.load_many([*values])

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        query = "SELECT value, version FROM items WHERE key = ?"
        value, version = self._table.execute(query, (key,)).fetchone() or (None, None)
        return value, ABSENT if version is None else Version(str(version))

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        if version == ABSENT:
            query = "INSERT OR IGNORE INTO items VALUES (?1, ?2, 1)"
        else:
            query = (
                "UPDATE items SET value = ?2, version = version + 1 WHERE key = ?1 AND version = ?3"
            )
        arguments = (key, bytes(data)) if version == ABSENT else (key, bytes(data), version.token)
        return self._table.execute(query, arguments).rowcount == 1


def open_storage(url: str, environment: Mapping[str, str]) -> SqliteStorage:
    """Open the storage at ``sqlite:<path>``."""
    return SqliteStorage(url.removeprefix("sqlite:"))
