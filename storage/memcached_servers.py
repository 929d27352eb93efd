"""The servers of a Memcached and the connections to them.

pymemcache connects, negotiates TLS and runs the rare commands; values travel over its sockets by
`storage.streams`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, LifoQueue

import xxhash
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError

from stepml.job.errors import StorageError, StorageUnavailableError
from storage.base import Buffer
from storage.streams import Request, Stream

DEFAULT_PORT = 11211

_TIMEOUT_S = 20.0  # of a command; a server that takes longer counts as down
_CONNECT_TIMEOUT_S = 5.0

Command = tuple[Buffer, ...]  # its parts


class Server:
    """One server and its idle connections."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self.name = f"{host}:{port}"
        self._seed = xxhash.xxh3_64_intdigest(self.name.encode())
        self._address = (host, port)
        self._context = context
        self._idle: LifoQueue[tuple[Client, Stream]] = LifoQueue()

    def score(self, key: str) -> int:
        """Return this server's score for ``key``: the server with the highest one holds it."""
        return xxhash.xxh3_64_intdigest(key.encode(), self._seed)

    @contextmanager
    def stream(self) -> Iterator[Stream]:
        """Lend the stream of a connection."""
        with self._connection() as (_, stream):
            yield stream

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Lend the client of a connection."""
        with self._connection() as (client, _):
            yield client

    def close(self) -> None:
        while True:
            try:
                client, _ = self._idle.get_nowait()
            except Empty:
                return
            client.close()

    @contextmanager
    def _connection(self) -> Iterator[tuple[Client, Stream]]:
        """Lend a connection; after an error it is closed, as answers may still arrive on it."""
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
            client.close()  # the server has closed it, because it was idle or has restarted

    def _connect(self) -> tuple[Client, Stream]:
        client = Client(
            self._address,
            default_noreply=False,  # with True, the default, errors would be lost
            connect_timeout=_CONNECT_TIMEOUT_S,
            timeout=_TIMEOUT_S,
            no_delay=True,
            tls_context=self._context,
        )
        client.version()  # connects
        assert client.sock is not None
        return client, Stream(client.sock)


def open_servers(url: str, ca_file: str | None) -> list[Server]:
    """Return the servers at ``url``; parameters as those of `MemcachedStorage`."""
    scheme, _, rest = url.partition("://")
    names = [name for name in rest.split(",") if name]
    if scheme not in ("memcached", "memcacheds") or not names:
        raise ValueError(
            "the address of Memcached: expected memcached://host:port,host:port or "
            f"memcacheds://…, got {url!r}"
        )
    context = ssl.create_default_context(cafile=ca_file) if scheme == "memcacheds" else None
    parts = [name.partition(":") for name in names]
    return [Server(host, int(port or DEFAULT_PORT), context) for host, _, port in parts]


def request_of(commands: Iterable[Command]) -> Request:
    """Return ``commands`` as one request."""
    request = Request()
    for command in commands:
        for part in command:
            request.add(part)
    return request


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Translate errors of sockets and of pymemcache into those of `Storage`."""
    try:
        yield
    except StorageError:
        raise
    except (MemcacheError, OSError) as error:
        message = f"Memcached at {name}: {type(error).__name__}: {error}"
        raise StorageUnavailableError(message) from error
