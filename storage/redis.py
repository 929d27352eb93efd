"""Redis, or a service that speaks its protocol (ElastiCache, Valkey): the fast channel.

Requires Redis 6.2. redis-py connects, logs in and finds a cluster's nodes; values travel over its
sockets by `storage.streams`, which avoids the library's copies.

**Waking.** Each value has a list with one token, ``ready:{key}``. A waiter moves the token from the
list to the same list (``BLMOVE``), so the token stays and wakes every waiter. The command names one
key, so it works on a cluster. A token that outlives its value is removed by the next waiter.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

from stepml.job.errors import StorageUnavailableError, WaitTimeoutError
from storage.base import CA_FILE_VARIABLE, Buffer, Clock, Storage, Version
from storage.redis_nodes import Pool, open_nodes, translated
from storage.resp import Command, Reply, encoded, is_value, read_reply
from storage.streams import Stream

PASSWORD_VARIABLE = "STEPML_REDIS_PASSWORD"  # noqa: S105 — its name
EXPIRY_S = 86_400  # longer than any epoch; removes the values of dead jobs

_LOOK_S = 1.0  # a waiter blocks this long before it checks whether it should go on
_STALE_DELAY_S = 0.01  # after a token without a value
_MAX_CONFLICTS = 10
_READY = "ready:"
_WAKE_COMMANDS = 3

# The token of a version is the value's SHA-1, computed by Redis; "" stands for an absent key.
_COMPARE_AND_SAVE = """
local value = redis.call('GET', KEYS[1])
local token = value and redis.sha1hex(value) or ''
if token ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""

# Only while the value is absent: if it has been saved again, the token is a new one.
_REMOVE_STALE = """
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('UNLINK', KEYS[2]) end
return 1
"""

KeyedCommand = tuple[str, Command]  # a command, and the key that determines its server
Commands = list[KeyedCommand]
Replies = list[Reply]


class RedisStorage(Storage):
    """The keys of one Redis server or cluster; they expire.

    Parameters
    ----------
    url : str
        ``redis://host:port``, or ``rediss://user@host:port`` with TLS; ``?cluster=true`` for a
        cluster.
    password : str, optional
        The password of the user.
    ca_file : str, optional
        Certificates to trust with TLS, instead of the system's.
    expiry_s : int
        Seconds after which a value is gone.
    """

    max_value_bytes = 512 * 2**20  # Redis' proto-max-bulk-len
    block_bytes = 2**20 + 4096  # measured as the fastest; holds 1 MiB and its header
    wakes_waiters = True

    def __init__(
        self, url: str, *, password: str = "", ca_file: str | None = None, expiry_s: int = EXPIRY_S
    ) -> None:
        self._nodes = open_nodes(url, password, ca_file)
        self._expiry_ms = b"%d" % (expiry_s * 1000)
        self._streams: WeakKeyDictionary[Any, Stream] = WeakKeyDictionary()  # by connection

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        self.require_size(*values.values())
        self._run([(key, self._set(key, data)) for key, data in values.items()])

    def save(self, key: str, data: Buffer) -> None:
        self.require_size(data)
        self._run([(key, self._set(key, data)), *self._wake(key)])

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        replies = self._run([(key, (b"GET", key)) for key in keys])
        return {key: value for key, value in zip(keys, replies, strict=True) if is_value(value)}

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        commands = [(key, (b"GET", key)) for key in targets]
        replies = self._run(commands, [*targets.values()])
        return {key for key, value in zip(targets, replies, strict=True) if value is targets[key]}

    def load_heads(self, keys: Sequence[str], n_bytes: int) -> dict[str, Buffer]:
        end = b"%d" % (n_bytes - 1)
        replies = self._run([(key, (b"GETRANGE", key, b"0", end)) for key in keys])
        # That of an absent key is empty.
        return {
            key: head for key, head in zip(keys, replies, strict=True) if is_value(head) and head
        }

    def find_many(self, keys: Sequence[str]) -> set[str]:
        replies = self._run([(key, (b"EXISTS", key)) for key in keys])
        return {key for key, found in zip(keys, replies, strict=True) if found}

    def delete_many(self, keys: Sequence[str]) -> None:
        self._run([(key, (b"UNLINK", key, _ready(key))) for key in keys])

    def list(self, prefix: str) -> Iterator[str]:
        pattern = "".join(f"\\{c}" if c in "*?[]\\" else c for c in prefix) + "*"
        seen: set[str] = set()  # a scan may return a key twice
        for client in self._nodes.clients():
            with translated(self._nodes.refresh):
                for key in client.scan_iter(match=pattern, count=1000):
                    name = key.decode()
                    if name not in seen and not name.startswith(_READY):
                        seen.add(name)
                        yield name

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        self.require_size(*values.values())
        published: dict[str, Buffer] = {}
        for _ in range(_MAX_CONFLICTS):
            left = {key: data for key, data in values.items() if key not in published}
            # Each value is followed by its wake: waiters load it while the others are on their way.
            commands: Commands = []
            for key, data in left.items():
                commands += [(key, self._set(key, data, b"NX")), *self._wake(key)]
            replies = self._run(commands)[:: 1 + _WAKE_COMMANDS]
            stored = {key for key, reply in zip(left, replies, strict=True) if reply is not None}
            published |= {key: data for key, data in left.items() if key in stored}
            published |= self.load_many([key for key in left if key not in stored])
            if len(published) == len(values):  # else: deleted or expired since
                return published
        raise StorageUnavailableError(f"Redis accepts no value for {next(iter(left))} and has none")

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        value = self.load_many([key]).get(key)
        return value, Version(None if value is None else _digest(value))

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        self.require_size(data)
        script = (b"EVAL", _COMPARE_AND_SAVE.encode(), b"1", key)
        arguments = ((version.token or "").encode(), data, self._expiry_ms)
        saved, *_rest = self._run([(key, (*script, *arguments)), *self._wake(key)])
        return saved == 1

    def wait_each(
        self,
        keys: Sequence[str],
        *,
        timeout_s: float,
        first_delay_s: float = 0.0,
        clock: Clock = time,
        watch: Callable[[], None] | None = None,
    ) -> Iterator[tuple[str, Buffer]]:
        deadline = clock.monotonic() + timeout_s
        missing = [*dict.fromkeys(keys)]
        found: dict[str, Buffer] = {}
        while missing:
            if watch is not None:
                watch()
            absent = [key for key in missing if key not in found]
            look_s = max(0.0, min(_LOOK_S, deadline - clock.monotonic()))
            for key, value in self._blocking_look(absent, look_s, clock):
                found[key] = value
                while missing and missing[0] in found:
                    first = missing.pop(0)
                    yield first, found.pop(first)
            absent = [key for key in missing if key not in found]
            if absent and clock.monotonic() >= deadline:
                raise WaitTimeoutError(absent, timeout_s)

    def close(self) -> None:
        self._nodes.close()

    def _blocking_look(
        self, keys: Sequence[str], look_s: float, clock: Clock
    ) -> Iterator[tuple[str, Buffer]]:
        """Yield those of ``keys`` that exist, waiting ``look_s`` seconds if all are absent.

        Half of it is for the first key: the others often follow at once, and are needed later.
        """
        stale = []
        pools = {key: self._nodes.pool(key) for key in keys}
        each_s = look_s if len(keys) == 1 else look_s / 2 / max(1, len(keys) - 1)
        block_s = dict.fromkeys(keys, each_s) | dict.fromkeys(keys[:1], max(each_s, look_s / 2))
        with ExitStack() as connections:
            streams = {
                pool: connections.enter_context(self._stream(pool)) for pool in {*pools.values()}
            }
            for pool, stream in streams.items():
                names = [key for key in keys if pools[key] is pool]
                waits = [_wait(key, block_s[key]) for key in names]
                loads = [(b"GET", key) for key in names]
                stream.send(encoded(chain.from_iterable(zip(waits, loads, strict=True))))
            for key in keys:
                stream = streams[pools[key]]
                token, value = read_reply(stream, key), read_reply(stream, key)
                if not is_value(value):
                    if token is not None:
                        stale.append(key)
                elif key != keys[-1]:
                    yield key, value
        # The last value is yielded after the connections are returned. A caller may stop there, and
        # a generator that is closed while it borrows connections has to close these, too.
        if keys and is_value(value):
            yield keys[-1], value
        if stale:  # BLMOVE would return at once every time
            script = (b"EVAL", _REMOVE_STALE.encode(), b"2")
            self._run([(key, (*script, key, _ready(key))) for key in stale])
            clock.sleep(_STALE_DELAY_S)

    def _set(self, key: str, data: Buffer, *conditions: bytes) -> Command:
        return (b"SET", key, data, b"PX", self._expiry_ms, *conditions)

    def _wake(self, key: str) -> Commands:
        ready = _ready(key)
        push, trim = (b"RPUSH", ready, b"1"), (b"LTRIM", ready, b"0", b"0")
        return [(key, push), (key, trim), (key, (b"PEXPIRE", ready, self._expiry_ms))]

    def _run(
        self,
        commands: Sequence[KeyedCommand],
        targets: Sequence[memoryview] | None = None,
    ) -> Replies:
        """Run each command on the node of its key; return the replies in the commands' order.

        All nodes receive their commands before the first reply is read.
        """
        pools = [self._nodes.pool(key) for key, _ in commands]
        with ExitStack() as connections:
            streams = {pool: connections.enter_context(self._stream(pool)) for pool in set(pools)}
            for pool, stream in streams.items():
                stream.send(
                    encoded(
                        command
                        for (_, command), its in zip(commands, pools, strict=True)
                        if its is pool
                    )
                )
            return [
                read_reply(streams[pool], key, None if targets is None else targets[number])
                for number, (pool, (key, _)) in enumerate(zip(pools, commands, strict=True))
            ]

    @contextmanager
    def _stream(self, pool: Pool) -> Iterator[Stream]:
        """Lend a connection; after an error it is closed, as replies may still arrive on it."""
        with translated(self._nodes.refresh):
            connection: Any = pool.get_connection()
            try:
                yield self._stream_of(connection)
            except BaseException:
                connection.disconnect()
                raise
            finally:
                pool.release(connection)

    def _stream_of(self, connection: Any) -> Stream:
        # redis-py has no public access to a connection's socket; the contract tests cover this.
        stream = self._streams.get(connection)
        if stream is None or stream.socket is not connection._sock:
            stream = self._streams[connection] = Stream(connection._sock)
        return stream


def open_storage(url: str, environment: Mapping[str, str]) -> RedisStorage:
    """Open the Redis of this deployment."""
    return RedisStorage(
        url,
        password=environment.get(PASSWORD_VARIABLE, ""),
        ca_file=environment.get(CA_FILE_VARIABLE) or None,
    )


def _ready(key: str) -> str:
    # The part in braces determines the slot, so the token is on the same node as its value.
    return f"{_READY}{{{key}}}"


def _wait(key: str, block_s: float) -> Command:
    most_s = b"%.3f" % max(0.001, block_s)  # 0 would wait for ever
    return (b"BLMOVE", _ready(key), _ready(key), b"LEFT", b"RIGHT", most_s)


def _digest(value: Buffer) -> str:
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()
