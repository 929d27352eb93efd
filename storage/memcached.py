"""Memcached, one server or several: a fast channel that evicts values when its memory is full.

Rendezvous hashing spreads keys over several servers. No server replaces one that is down: ranks
that notice it at different times would look for the same value in two places.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack

from stepml.job.errors import StorageError, StorageFullError, StorageUnavailableError
from storage.base import CA_FILE_VARIABLE, Buffer, Storage, Version
from storage.memcached_index import Item, KeyIndex, append, lines_of
from storage.memcached_servers import Command, Server, open_servers, request_of
from storage.streams import Stream

EXPIRY_S = 86_400  # longer than any epoch; removes the values of dead jobs

_KEYS_A_LINE = 50  # of a get
_KEYS_AT_ONCE = 2000
_MAX_CONFLICTS = 10

Keys = list[str]


class MemcachedStorage(Storage):
    """The keys of one or several Memcached servers; they expire.

    Parameters
    ----------
    url : str
        ``memcached://host:port,host:port``, or ``memcacheds://…`` with TLS.
    ca_file : str, optional
        Certificates to trust with TLS, instead of the system's.
    expiry_s : int
        Seconds after which a value is gone; at most 30 days.
    """

    max_value_bytes = 2**20 - 1024  # an item holds 1 MiB by default, with its key and header
    block_bytes = max_value_bytes
    looks_are_cheap = True
    poll_start_s = 0.0002
    poll_most_s = 0.005

    def __init__(self, url: str, *, ca_file: str | None = None, expiry_s: int = EXPIRY_S) -> None:
        self._servers = open_servers(url, ca_file)
        self._indexes = {server: KeyIndex(server, self.find_many) for server in self._servers}
        self._expiry = b"%d" % expiry_s

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        self.require_size(*values.values())
        self._write(values, lambda key: self._store(b"set", key, values[key]), {b"STORED"})

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        found: dict[str, Buffer] = {}
        for batch in _batches(keys):
            found |= self._get(dict.fromkeys(batch))
        return found

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        return {key for key, value in self._get(targets).items() if value is targets[key]}

    def find_many(self, keys: Sequence[str]) -> set[str]:
        answers = self._run(keys, lambda key: (b"mg ", key.encode(), b"\r\n"), {b"HD", b"EN"})
        return {key for key, answer in answers.items() if answer == b"HD"}

    def delete_many(self, keys: Sequence[str]) -> None:
        self._run(keys, lambda key: (b"delete ", key.encode(), b"\r\n"), {b"DELETED", b"NOT_FOUND"})

    def list(self, prefix: str) -> Iterator[str]:
        for index in self._indexes.values():
            yield from self.find_many([*index.names(prefix)])

    def clear(self, prefix: str) -> None:
        super().clear(prefix)
        for index in self._indexes.values():
            index.forget(prefix)

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        self.require_size(*values.values())
        published: dict[str, Buffer] = {}
        for _ in range(_MAX_CONFLICTS):
            left = [key for key in values if key not in published]
            answers = self._write(
                left,
                lambda key: self._store(b"add", key, values[key]),
                {b"STORED", b"NOT_STORED"},
            )
            published |= {key: values[key] for key in left if answers[key] == b"STORED"}
            published |= self.load_many([key for key in left if key not in published])
            if len(published) == len(values):  # else: deleted, expired or evicted since
                return published
        raise StorageUnavailableError(f"Memcached accepts no value for {left[0]} and has none")

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        with self._server(key).client() as client:
            value, token = client.gets(key)
        return value, Version(None if token is None else token.decode())

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        self.require_size(data)
        if version.token is None:
            command, stored = self._store(b"add", key, data), {b"STORED", b"NOT_STORED"}
            return self._write([key], lambda _: command, stored)[key] == b"STORED"
        with self._server(key).client() as client:
            # Tokens are numbers; cas returns None if the key is absent.
            token = version.token if version.token.isdigit() else "0"
            return client.cas(key, bytes(data), token, expire=int(self._expiry)) is True

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def _store(self, command: bytes, key: str, data: Buffer) -> Command:
        head = b"%s %s 0 %s %d\r\n" % (command, key.encode(), self._expiry, len(data))
        return (head, data, b"\r\n")

    def _write(
        self, keys: Collection[str], command: Callable[[str], Command], expected: Set[bytes]
    ) -> dict[str, bytes]:
        """Do as `_run`, with the keys' names in the indexes of their servers."""
        answers: dict[str, bytes] = {}
        for batch in _batches([*keys]):
            lines = {server: lines_of(names) for server, names in self._by_server(batch).items()}
            appended, found = self._exchange(batch, lines, command, expected)
            for server, added in lines.items():
                self._indexes[server].settle(added, appended)
            answers |= found
        return answers

    def _run(
        self, keys: Collection[str], command: Callable[[str], Command], expected: Set[bytes]
    ) -> dict[str, bytes]:
        """Send a command for each key to its server; return the answer of each, a line."""
        answers: dict[str, bytes] = {}
        for batch in _batches([*keys]):
            answers |= self._exchange(batch, {}, command, expected)[1]
        return answers

    def _exchange(
        self,
        keys: Collection[str],
        lines: Mapping[Server, Mapping[Item, bytes]],
        command: Callable[[str], Command],
        expected: Set[bytes],
    ) -> tuple[dict[tuple[Server, Item], bytes], dict[str, bytes]]:
        """Append ``lines`` on their servers, then run the keys' commands; return the answers."""
        appended: dict[tuple[Server, Item], bytes] = {}
        answers: dict[str, bytes] = {}
        by_server = self._by_server(keys)
        with ExitStack() as connections:
            streams = {server: connections.enter_context(server.stream()) for server in by_server}
            for server, names in by_server.items():
                appends = (append(item, text) for item, text in lines.get(server, {}).items())
                streams[server].send(request_of((*appends, *map(command, names))))
            for server, names in by_server.items():
                for item in lines.get(server, {}):
                    appended[server, item] = streams[server].read_line()
                for key in names:
                    answers[key] = answer = streams[server].read_line()
                    if answer not in expected:
                        raise _refusal(answer, key)
        return appended, answers

    def _get(self, targets: Mapping[str, memoryview | None]) -> dict[str, Buffer]:
        by_server = self._by_server(targets)
        found: dict[str, Buffer] = {}
        with ExitStack() as connections:
            streams = {server: connections.enter_context(server.stream()) for server in by_server}
            for server, names in by_server.items():
                starts = range(0, len(names), _KEYS_A_LINE)
                lines = [" ".join(names[start : start + _KEYS_A_LINE]) for start in starts]
                streams[server].send(
                    request_of((b"get ", line.encode(), b"\r\n") for line in lines)
                )
            for server, names in by_server.items():
                for _ in range(0, len(names), _KEYS_A_LINE):
                    found |= _read_values(streams[server], targets)
        return found

    def _by_server(self, keys: Collection[str]) -> Mapping[Server, Sequence[str]]:
        by_server: dict[Server, Keys] = {}
        for key in keys:
            by_server.setdefault(self._server(key), []).append(key)
        return by_server

    def _server(self, key: str) -> Server:
        if len(self._servers) == 1:
            return self._servers[0]
        return max(self._servers, key=lambda server: server.score(key))


def open_storage(url: str, environment: Mapping[str, str]) -> MemcachedStorage:
    """Open the Memcached of this deployment."""
    return MemcachedStorage(url, ca_file=environment.get(CA_FILE_VARIABLE) or None)


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    # A batch is sent before its answers are read, so these must fit into the sockets' buffers.
    return (keys[start : start + _KEYS_AT_ONCE] for start in range(0, len(keys), _KEYS_AT_ONCE))


def _read_values(
    stream: Stream, targets: Mapping[str, memoryview | None]
) -> Iterator[tuple[str, Buffer]]:
    """Yield the values that answer one get, each in its target if the sizes match."""
    while (line := stream.read_line()) != b"END":
        if not line.startswith(b"VALUE "):
            raise _refusal(line, "a get")
        _, name, _, size = line.split(b" ")[:4]
        target = targets[name.decode()]
        fits = target is not None and len(target) == int(size)
        yield name.decode(), stream.read_value(int(size), target if fits else None)


def _refusal(answer: bytes, key: str) -> StorageError:
    message = f"Memcached at {key}: {answer.decode(errors='replace')}"
    # "out of memory storing object": it evicts nothing (-M), or nothing of this size.
    return StorageFullError(message) if b"memory" in answer else StorageError(message)
