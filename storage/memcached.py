"""Memcached, one server or several: a fast channel that forgets what it has no room for.

Keys are spread over several servers by rendezvous hashing. A server that is down is not replaced
by another: ranks that notice it at different times would look for the same value in two places.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from queue import Empty, LifoQueue
from typing import Any
from urllib.parse import unquote

import xxhash
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError

from stepml.job.errors import StorageError, StorageUnavailableError
from storage.base import CA_FILE_VARIABLE, Buffer, Storage, Version, backoff
from storage.streams import Request, Stream

EXPIRY_S = 86_400  # longer than any epoch; what a dead job leaves is gone by then
DEFAULT_PORT = 11211

_TIMEOUT_S = 20.0  # of a command; a server that takes longer is as good as down
_CONNECT_TIMEOUT_S = 5.0
_KEYS_A_LINE = 50  # of a get
_KEYS_AT_ONCE = 2000
_MAX_CONFLICTS = 10
_LISTING_S = 30.0  # while another client walks through the server's keys
_BUSY = "BUSY"

Parts = tuple[Buffer, ...]  # of a command
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
        self._servers = [
            _Server(host, port, context) for host, port, context in _addresses(url, ca_file)
        ]
        self._expiry = b"%d" % expiry_s

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        self._require_size(values.values())
        self._run(values, lambda key: self._store(b"set", key, values[key]), {b"STORED"})

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
        for server in self._servers:
            yield from (key for key in server.all_keys() if key.startswith(prefix))

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        self._require_size(values.values())
        published: dict[str, Buffer] = {}
        for _ in range(_MAX_CONFLICTS):
            left = [key for key in values if key not in published]
            answers = self._run(
                left,
                lambda key: self._store(b"add", key, values[key]),
                {b"STORED", b"NOT_STORED"},
            )
            published |= {key: values[key] for key in left if answers[key] == b"STORED"}
            published |= self.load_many([key for key in left if key not in published])
            if len(published) == len(values):  # else: deleted, expired or evicted since
                return published
        raise StorageUnavailableError(f"Memcached neither takes nor has a value for {left[0]}")

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        with self._server(key).client() as client:
            value, token = client.gets(key)
        return value, Version(None if token is None else token.decode())

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        self._require_size([data])
        expire = int(self._expiry)
        with self._server(key).client() as client:
            if version.token is None:
                return bool(client.add(key, bytes(data), expire=expire))
            # None: the key is absent; a token is a number of the server.
            token = version.token if version.token.isdigit() else "0"
            return client.cas(key, bytes(data), token, expire=expire) is True

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def _store(self, command: bytes, key: str, data: Buffer) -> Parts:
        head = b"%s %s 0 %s %d\r\n" % (command, key.encode(), self._expiry, len(data))
        return (head, data, b"\r\n")

    def _run(
        self, keys: Collection[str], command: Callable[[str], Parts], expected: Set[bytes]
    ) -> dict[str, bytes]:
        """Send a command for each key to its server; return the lines that answer them."""
        answers: dict[str, bytes] = {}
        for batch in _batches([*keys]):
            by_server = self._by_server(batch)
            with ExitStack() as connections:
                streams = {
                    server: connections.enter_context(server.stream()) for server in by_server
                }
                for server, names in by_server.items():
                    streams[server].send(_request(command(key) for key in names))
                for server, names in by_server.items():
                    for key in names:
                        answers[key] = answer = streams[server].read_line()
                        if answer not in expected:
                            raise _refusal(answer, key)
        return answers

    def _get(self, targets: Mapping[str, memoryview | None]) -> dict[str, Buffer]:
        by_server = self._by_server(targets)
        found: dict[str, Buffer] = {}
        with ExitStack() as connections:
            streams = {server: connections.enter_context(server.stream()) for server in by_server}
            for server, names in by_server.items():
                starts = range(0, len(names), _KEYS_A_LINE)
                lines = [" ".join(names[start : start + _KEYS_A_LINE]) for start in starts]
                streams[server].send(_request((b"get ", line.encode(), b"\r\n") for line in lines))
            for server, names in by_server.items():
                for _ in range(0, len(names), _KEYS_A_LINE):
                    found |= _read_values(streams[server], targets)
        return found

    def _by_server(self, keys: Collection[str]) -> Mapping[_Server, Sequence[str]]:
        by_server: dict[_Server, Keys] = {}
        for key in keys:
            by_server.setdefault(self._server(key), []).append(key)
        return by_server

    def _server(self, key: str) -> _Server:
        if len(self._servers) == 1:
            return self._servers[0]
        return max(self._servers, key=lambda server: server.score(key))

    def _require_size(self, values: Any) -> None:
        for data in values:
            if len(data) > self.max_value_bytes:
                raise ValueError(
                    f"a value of Memcached has at most {self.max_value_bytes} bytes, got "
                    f"{len(data)}"
                )


class _Server:
    """One server and the connections to it that are not in use."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self.name = f"{host}:{port}"
        self._seed = xxhash.xxh3_64_intdigest(self.name.encode())
        self._address = (host, port)
        self._context = context
        self._idle: LifoQueue[tuple[Client, Stream]] = LifoQueue()

    def score(self, key: str) -> int:
        """Return the server's rank for ``key``: the highest one holds it."""
        return xxhash.xxh3_64_intdigest(key.encode(), self._seed)

    @contextmanager
    def stream(self) -> Iterator[Stream]:
        """Lend a connection's stream."""
        with self._connection() as (_, stream):
            yield stream

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Lend a connection's client."""
        with self._connection() as (client, _):
            yield client

    def all_keys(self) -> Iterator[str]:
        """Yield all keys: the server walks through all that it holds."""
        with self.stream() as stream:
            deadline = time.monotonic() + _LISTING_S
            for delay_s in backoff(start_s=0.01, most_s=0.5):
                stream.send(_request([(b"lru_crawler metadump hash\r\n",)]))
                line = stream.read_line().decode()
                if not line.startswith(_BUSY):
                    break
                if time.monotonic() > deadline:
                    raise StorageUnavailableError(f"Memcached at {self.name}: {line}")
                time.sleep(delay_s)
            while line != "END":
                if not line.startswith("key="):
                    raise StorageError(f"Memcached at {self.name}: {line}")
                yield unquote(line.split(" ", 1)[0].removeprefix("key="))
                line = stream.read_line().decode()

    def close(self) -> None:
        while True:
            try:
                client, _ = self._idle.get_nowait()
            except Empty:
                return
            client.close()

    @contextmanager
    def _connection(self) -> Iterator[tuple[Client, Stream]]:
        """Lend a connection; one that is left by an error may have answers under way: it is cut."""
        with _translated(self.name):
            client, stream = self._take()
            try:
                yield client, stream
            except BaseException:
                client.close()
                raise
            self._idle.put((client, stream))

    def _take(self) -> tuple[Client, Stream]:
        while True:
            try:
                client, stream = self._idle.get_nowait()
            except Empty:
                return self._connect()
            if stream.is_quiet():
                return client, stream
            client.close()  # the server was restarted, or has closed it for its age

    def _connect(self) -> tuple[Client, Stream]:
        client = Client(
            self._address,
            default_noreply=False,  # its default: errors are lost, and what is stored is not sure
            connect_timeout=_CONNECT_TIMEOUT_S,
            timeout=_TIMEOUT_S,
            no_delay=True,
            tls_context=self._context,
        )
        client.version()  # connects
        assert client.sock is not None
        return client, Stream(client.sock)


def open_storage(url: str, environment: Mapping[str, str]) -> MemcachedStorage:
    """Open the Memcached of this deployment."""
    return MemcachedStorage(url, ca_file=environment.get(CA_FILE_VARIABLE) or None)


def _addresses(url: str, ca_file: str | None) -> Iterator[tuple[str, int, ssl.SSLContext | None]]:
    scheme, _, rest = url.partition("://")
    names = [name for name in rest.split(",") if name]
    if scheme not in ("memcached", "memcacheds") or not names:
        raise ValueError(
            "the address of Memcached: expected memcached://host:port,host:port or "
            f"memcacheds://…, got {url!r}"
        )
    context = ssl.create_default_context(cafile=ca_file) if scheme == "memcacheds" else None
    for name in names:
        host, _, port = name.partition(":")
        yield host, int(port or DEFAULT_PORT), context


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    # All of a batch is sent before its answers are read: they have to fit the sockets' buffers.
    return (keys[start : start + _KEYS_AT_ONCE] for start in range(0, len(keys), _KEYS_AT_ONCE))


def _request(commands: Iterable[Parts]) -> Request:
    request = Request()
    for parts in commands:
        for part in parts:
            request.add(part)
    return request


def _read_values(
    stream: Stream, targets: Mapping[str, memoryview | None]
) -> Iterator[tuple[str, Buffer]]:
    """Yield the values that answer one get, each in its target if it fits in there."""
    while (line := stream.read_line()) != b"END":
        if not line.startswith(b"VALUE "):
            raise _refusal(line, "a get")
        _, name, _, size = line.split(b" ")[:4]
        target = targets[name.decode()]
        fits = target is not None and len(target) == int(size)
        yield name.decode(), stream.read_value(int(size), target if fits else None)


def _refusal(answer: bytes, key: str) -> StorageError:
    message = f"Memcached at {key}: {answer.decode(errors='replace')}"
    # "out of memory storing object" passes once other values have expired.
    return StorageUnavailableError(message) if b"memory" in answer else StorageError(message)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn the errors of sockets and of pymemcache into those of the contract."""
    try:
        yield
    except StorageError:
        raise
    except (MemcacheError, OSError) as error:
        message = f"Memcached at {name}: {type(error).__name__}: {error}"
        raise StorageUnavailableError(message) from error
