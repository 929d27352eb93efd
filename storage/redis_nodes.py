"""The nodes of Redis: one server, or a cluster that distributes keys over several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import NoPermissionError, RedisClusterException
from redis.retry import Retry

from stepml.job.errors import StorageDeniedError, StorageError, StorageUnavailableError

_TIMEOUT_S = 20.0  # of a command; a server that takes longer counts as down
_CONNECT_TIMEOUT_S = 5.0

Pool = redis.ConnectionPool


class RedisNodes(ABC):
    """Maps keys to servers."""

    @abstractmethod
    def pool(self, key: str) -> Pool:
        """Return the connections to the server of ``key``."""

    @abstractmethod
    def clients(self) -> Sequence[redis.Redis]:
        """Return a client for each primary server."""

    @abstractmethod
    def refresh(self) -> None:
        """Forget which server holds which keys."""

    @abstractmethod
    def close(self) -> None: ...


class _OneServer(RedisNodes):
    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def pool(self, key: str) -> Pool:
        return self._client.connection_pool

    def clients(self) -> Sequence[redis.Redis]:
        return [self._client]

    def refresh(self) -> None:
        """Do nothing: the one server holds all keys."""

    def close(self) -> None:
        self._client.close()


class _Cluster(RedisNodes):
    """Connects when first used, so a cluster that is down raises its error then."""

    def __init__(self, connect: Callable[[], RedisCluster]) -> None:
        self._connect = connect
        self._client: Any = None
        self._lock = Lock()

    def pool(self, key: str) -> Pool:
        cluster = self._connected()
        with translated(self.refresh):
            node = cluster.get_node_from_key(key)
            return cast("Pool", cluster.get_redis_connection(node).connection_pool)

    def clients(self) -> Sequence[redis.Redis]:
        cluster = self._connected()
        return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]

    def refresh(self) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        with self._lock, translated():
            if self._client is None:
                self._client = self._connect()
            return self._client


def open_nodes(url: str, password: str, ca_file: str | None) -> RedisNodes:
    """Return the servers at ``url``; parameters as those of `RedisStorage`."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.password:
        shown = url if parts.password is None else "one with a password in it"
        raise ValueError(
            "the address of Redis: expected redis://host:port or rediss://user@host:port, "
            f"got {shown}"
        )
    settings: dict[str, Any] = {
        "host": parts.hostname,
        "port": parts.port or 6379,
        "username": parts.username or None,
        "password": password or None,
        "protocol": 2,  # the version that `storage.resp` reads
        "socket_timeout": _TIMEOUT_S,
        "socket_connect_timeout": _CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),  # `RetryingStorage` repeats operations
    }
    if parts.scheme == "rediss":
        settings |= {"ssl": True, "ssl_ca_certs": ca_file, "ssl_check_hostname": True}
    if parse_qs(parts.query).get("cluster") == ["true"]:
        return _Cluster(lambda: RedisCluster(**settings))
    return _OneServer(redis.Redis(**settings))


@contextmanager
def translated(refresh: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Translate errors of sockets and of redis-py into those of `Storage`."""
    try:
        yield
    except StorageUnavailableError:  # a key has moved, or its server is no longer a primary
        refresh()
        raise
    except StorageError:  # before OSError, as some are both
        raise
    except (redis.AuthenticationError, NoPermissionError) as error:
        raise StorageDeniedError(f"Redis: {error}") from error
    except (redis.RedisError, RedisClusterException, OSError) as error:
        refresh()
        raise StorageUnavailableError(f"Redis: {type(error).__name__}: {error}") from error
