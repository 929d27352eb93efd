"""The names of the keys on a Memcached server, which lists no keys itself.

(`lru_crawler metadump` does, but ElastiCache does not allow it.) Beside the values of a job, the
server has a few items with their names, one a line. A write appends its names first, so a name may
have no value, but no value lacks its name, unless the server has evicted the item with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import xxhash

from stepml.job.errors import StorageError
from storage.memcached_servers import Command, Server

_LEVELS = 4  # of a key: jobs/<job>/exchange/<run>/ is a namespace of its own
_ITEMS = 16  # of a namespace: an item holds at most 1 MiB, and appending copies it
_TIDY_BYTES = 16_384  # appended by this client, after which it looks for names without a value
_EXPIRY_S = 30 * 86_400  # the longest that Memcached accepts; a job may go on for weeks
_MOST_CONFLICTS = 10
_ROOT = ""  # the namespace of short keys; it also lists the other namespaces, after a space


class Item(NamedTuple):
    """One of the items with the names of a namespace."""

    namespace: str
    number: int

    @property
    def key(self) -> str:
        # With braces, which the keys of a storage do not have.
        return f"{{names}}/{xxhash.xxh3_64_hexdigest(self.namespace.encode())}/{self.number}"


class KeyIndex:
    """The names of the keys on one server.

    Parameters
    ----------
    server : Server
    find : callable
        Returns those of some keys that exist.
    """

    def __init__(self, server: Server, find: Callable[[Sequence[str]], set[str]]) -> None:
        self._server = server
        self._find = find
        self._appended: dict[Item, int] = {}

    def names(self, prefix: str) -> set[str]:
        """Return every name that starts with ``prefix``; its value may be gone."""
        namespace = namespace_of(prefix)
        if namespace == _ROOT:
            return set(self._names_everywhere(prefix))
        return {name for name in self._lines(namespace) if name.startswith(prefix)}

    def settle(
        self, lines: Mapping[Item, bytes], answers: Mapping[tuple[Server, Item], bytes]
    ) -> None:
        """Complete the appends of ``lines`` that found no item, or a full one."""
        for item, added in lines.items():
            if answers[self._server, item] != b"STORED":
                # What cannot be listed expires: a write does not fail for this.
                with suppress(StorageError):
                    self._create(item, added)
            self._appended[item] = self._appended.get(item, 0) + len(added)
            if self._appended[item] >= _TIDY_BYTES:
                self._appended[item] = 0
                self._tidy(item, share=0.5)  # others are about to write the values of new names

    def forget(self, prefix: str) -> None:
        """Drop the names of ``prefix`` that have no value."""
        namespace = namespace_of(prefix)
        if namespace != _ROOT:
            for item in _items(namespace):
                self._tidy(item, share=1.0)

    def _names_everywhere(self, prefix: str) -> Iterator[str]:
        for line in self._lines(_ROOT):
            if line.startswith(" "):
                yield from (name for name in self._lines(line[1:]) if name.startswith(prefix))
            elif line.startswith(prefix):
                yield line

    def _lines(self, namespace: str) -> set[str]:
        with self._server.client() as client:
            texts = client.get_many([item.key for item in _items(namespace)]).values()
        return {line for text in texts for line in text.decode().split("\n") if line}

    def _create(self, item: Item, added: bytes) -> None:
        with self._server.client() as client:
            is_new = client.add(item.key, added, expire=_EXPIRY_S)
        if not is_new:  # another client has created it, or it is full
            self._tidy(item, share=1.0)
            with self._server.client() as client:
                client.append(item.key, added)
        elif item.namespace != _ROOT:
            line = f" {item.namespace}"
            self._create(_item_of(_ROOT, line), f"{line}\n".encode())

    def _tidy(self, item: Item, share: float) -> None:
        """Drop the names without a value in the older ``share`` of an item."""
        with self._server.client() as client:
            text = client.get(item.key) or b""
            older = text[: text.find(b"\n", int((len(text) - 1) * share)) + 1]
            kept = "".join(f"{name}\n" for name in self._alive(older.decode().split("\n")))
            for _ in range(_MOST_CONFLICTS if len(kept) < len(older) else 0):
                now, token = client.gets(item.key)
                if now is None or not now.startswith(older):  # another client has tidied
                    return
                rest = now[len(older) :]
                if client.cas(item.key, kept.encode() + rest, token, expire=_EXPIRY_S):
                    return

    def _alive(self, lines: Iterable[str]) -> list[str]:
        names = dict.fromkeys(line for line in lines if line)
        found = self._find([name for name in names if not name.startswith(" ")])
        return [name for name in names if name in found or self._is_used(name)]

    def _is_used(self, line: str) -> bool:
        return line.startswith(" ") and bool(self._lines(line[1:]))


def lines_of(keys: Iterable[str]) -> dict[Item, bytes]:
    """Return the lines to append for ``keys``, by item."""
    lines: dict[Item, bytes] = {}
    for key in keys:
        item = _item_of(namespace_of(key), key)
        lines[item] = lines.get(item, b"") + key.encode() + b"\n"
    return lines


def append(item: Item, lines: bytes) -> Command:
    """Return the command that appends ``lines``."""
    return (b"append %s 0 0 %d\r\n%s\r\n" % (item.key.encode(), len(lines), lines),)


def namespace_of(key: str) -> str:
    """Return the namespace of ``key``, or the shortest one for a key of few levels."""
    parts = key.split("/", _LEVELS)
    return "/".join(parts[:_LEVELS]) + "/" if len(parts) > _LEVELS else _ROOT


def _item_of(namespace: str, line: str) -> Item:
    return Item(namespace, xxhash.xxh32_intdigest(line.encode()) % _ITEMS)


def _items(namespace: str) -> list[Item]:
    return [Item(namespace, number) for number in range(_ITEMS)]
