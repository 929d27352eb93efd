"""Redis and Memcached storages when their servers fail, refuse or require TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from threading import Event

import pytest
import redis

from stepml.job.errors import (
    StorageDeniedError,
    StorageError,
    StorageUnavailableError,
    WaitTimeoutError,
)
from storage import Storage
from storage.base import ABSENT
from storage.blocks import BlockStorage
from storage.memcached import MemcachedStorage
from storage.redis import RedisStorage
from tests.contracts.conftest import emptied
from tests.support.clocks import TickingClock
from tests.support.running_aws import eventually
from tests.support.servers import Certificates, Server, certificates, memcached_server, redis_server

WAIT_S = 600.0  # longer than a test may take: a refused connection is known without waiting
USER, PASSWORD = "worker", "a secret: /?#@"


@dataclass
class Backend:
    """A storage and its own server."""

    server: Server
    storage: Storage


Run = Callable[[Path], AbstractContextManager[Server]]
Make = Callable[[str], Storage]
BACKENDS: dict[str, tuple[Run, Make]] = {
    "redis": (redis_server, RedisStorage),
    "redis-blocks": (redis_server, lambda url: BlockStorage(RedisStorage(url))),
    "redis-cluster": (lambda path: redis_server(path, cluster=True), RedisStorage),
    "memcached": (lambda _: memcached_server(), MemcachedStorage),
    "memcached-blocks": (
        lambda _: memcached_server(nodes=2),
        lambda url: BlockStorage(MemcachedStorage(url)),
    ),
}


@pytest.fixture(scope="module", params=[*BACKENDS])
def own(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Make]]:
    run, make = BACKENDS[request.param]
    with run(tmp_path_factory.mktemp("own")) as server:
        yield server, make


@pytest.fixture
def backend(own: tuple[Server, Make]) -> Iterator[Backend]:
    server, make = own
    server.start()  # an earlier test may have stopped it
    server.flush()
    storage = make(server.url)
    yield Backend(server, storage)
    storage.close()


def test_a_server_that_is_down_is_reported_and_used_again_once_it_is_back(backend: Backend) -> None:
    storage = backend.storage
    storage.save("k", b"1")
    backend.server.stop()
    attempts: dict[str, Callable[[], object]] = {
        "save": lambda: storage.save("k", b"2"),
        "save_many": lambda: storage.save_many({"k": b"2", "l": b"2"}),
        "load_many": lambda: storage.load_many(["k", "l"]),
        "load_into": lambda: storage.load_into({"k": memoryview(bytearray(1))}),
        "find_many": lambda: storage.find_many(["k"]),
        "delete": lambda: storage.delete("k"),
        "list": lambda: [*storage.list("k")],
        "clear": lambda: storage.clear("k"),
        "publish": lambda: storage.publish("k", b"2"),
        "load_version": lambda: storage.load_version("k"),
        "compare_and_save": lambda: storage.compare_and_save("k", b"2", ABSENT),
        "wait_many": lambda: storage.wait_many(["k"], timeout_s=WAIT_S),
    }
    for attempt in attempts.values():
        with pytest.raises(StorageUnavailableError):
            attempt()
    backend.server.start()
    assert storage.load_many(["k"]) == {}
    assert storage.publish("k", b"3") == b"3"
    assert storage.wait_many(["k"], timeout_s=WAIT_S) == {"k": b"3"}


def test_a_server_that_was_restarted_costs_one_call_at_most(backend: Backend) -> None:
    storage = backend.storage
    with ThreadPoolExecutor(4) as pool:  # several connections
        list(pool.map(lambda number: storage.save(f"k/{number}", b"1"), range(40)))
    backend.server.stop()
    backend.server.start()
    with suppress(StorageUnavailableError):
        storage.publish("first", b"2")
    assert storage.publish("k", b"3") == b"3"
    assert storage.wait_many(["k"], timeout_s=WAIT_S) == {"k": b"3"}
    assert storage.load_many(["k/0", "k"]) == {"k": b"3"}


def test_a_wait_ends_when_its_server_does(backend: Backend) -> None:
    waits = Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            backend.storage.wait_many, ["absent"], timeout_s=WAIT_S, watch=waits.set
        )
        waits.wait()
        backend.server.stop()
        with pytest.raises(StorageUnavailableError):
            waiting.result()


def test_who_waits_for_a_value_of_redis_is_woken_by_it(redis_one: Server) -> None:
    storage = RedisStorage(redis_one.url)
    with redis.Redis.from_url(redis_one.url) as other, ThreadPoolExecutor(1) as pool:

        def n_blocked() -> int:
            return int(other.info("clients")["blocked_clients"])

        for number, save in enumerate([storage.save, storage.publish]):
            eventually(n_blocked, lambda now: now == 0)
            waiting = pool.submit(storage.wait_many, [f"woken/{number}"], timeout_s=WAIT_S)
            eventually(n_blocked, lambda now: now == 1)
            save(f"woken/{number}", b"1")
            assert n_blocked() == 0  # Redis serves it before the next command
            assert waiting.result() == {f"woken/{number}": b"1"}
    storage.close()


@pytest.mark.parametrize("keys", [["x"], ["x", "y", "z"]])
def test_who_waits_blocks_redis_for_a_second_at_most_between_two_looks(
    redis_one: Server, keys: list[str]
) -> None:
    storage, clock = RedisStorage(redis_one.url), TickingClock(tick_s=0.4)
    absent = [f"blocked/{key}" for key in keys]
    with redis.Redis.from_url(redis_one.url) as other, other.monitor() as monitor:
        with pytest.raises(WaitTimeoutError):
            storage.wait_many(absent, timeout_s=1.7, clock=clock)
        storage.save("blocked/end", b"1")
        seen = takewhile(lambda each: "blocked/end" not in each["command"], monitor.listen())
        blocked = [
            float(each["command"].split()[-1])
            for each in seen
            if each["command"].startswith("BLMOVE")
        ]
    looks = [sum(blocked[at : at + len(keys)]) for at in range(0, len(blocked), len(keys))]
    assert looks == pytest.approx([1.0, 0.5, 0.0], abs=0.01)  # the rest of the time
    storage.close()


def test_a_node_of_several_that_is_down_fails_its_own_keys_only(tmp_path: Path) -> None:
    with memcached_server(nodes=2) as server:
        storage = MemcachedStorage(server.url)
        keys = [f"k/{number}" for number in range(20)]
        storage.save_many(dict.fromkeys(keys, b"1"))
        server.processes[1].stop()
        alive = 0
        for key in keys:
            try:
                assert storage.load(key) == b"1"
                alive += 1
            except StorageUnavailableError:
                pass
        assert 0 < alive < len(keys)
        storage.close()


def test_values_of_others_are_not_loaded_from_redis_to_be_deleted(redis_one: Server) -> None:
    mine, theirs = (BlockStorage(RedisStorage(redis_one.url)) for _ in range(2))
    sizes = {f"jobs/{number}": number * 2**18 for number in range(1, 7)}  # whole, and in blocks
    theirs.save_many({key: bytes(size) for key, size in sizes.items()})
    with redis.Redis.from_url(redis_one.url) as server:
        before = server.info("stats")["total_net_output_bytes"]
        mine.delete_many([*sizes])
        assert server.info("stats")["total_net_output_bytes"] - before < 2**18
    assert [*mine.inner.list("jobs/")] == []


@pytest.mark.parametrize("name", ["redis_one", "redis_cluster"])
@pytest.mark.parametrize("way", ["clear", "delete"])
def test_redis_holds_nothing_after_a_clear(
    request: pytest.FixtureRequest, name: str, way: str
) -> None:
    server = emptied(request, name)
    storage = BlockStorage(RedisStorage(server.url))
    keys = [f"a/{number}" for number in range(10)]
    for key in keys:
        storage.publish(key, bytes(2_000_000))
        storage.save(key + "/s", b"1")
        storage.wait_many([key], timeout_s=WAIT_S)
    if way == "clear":
        storage.clear("a/")
    else:
        storage.delete_many([*keys, *(key + "/s" for key in keys)])
    for process in server.processes:
        with redis.Redis(port=process.port) as client:
            assert client.keys() == []
    storage.close()


# --- TLS and users --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def guarded_redis(tls: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis with TLS only and one user."""
    directory = tmp_path_factory.mktemp("redis")
    with redis_server(directory, tls=tls, user=USER, password=PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def guarded_memcached(tls: Certificates) -> Iterator[Server]:
    with memcached_server(tls=tls) as server:
        yield server


def test_redis_is_used_over_tls_by_a_user_with_a_password(
    guarded_redis: Server, tls: Certificates
) -> None:
    assert guarded_redis.url.startswith(f"rediss://{USER}@")
    hold_a_conversation(RedisStorage(guarded_redis.url, password=PASSWORD, ca_file=str(tls.ca)))


def test_memcached_is_used_over_tls(guarded_memcached: Server, tls: Certificates) -> None:
    assert guarded_memcached.url.startswith("memcacheds://")
    hold_a_conversation(MemcachedStorage(guarded_memcached.url, ca_file=str(tls.ca)))


def hold_a_conversation(inner: Storage) -> None:
    storage = BlockStorage(inner)
    small, large = b"small", bytes(range(256)) * 20_000
    storage.save_many({"small": small, "large": large})
    assert storage.load_many(["small", "large"]) == {"small": small, "large": large}
    assert storage.publish("p", large) == large
    assert storage.wait_many(["p", "small"], timeout_s=WAIT_S) == {"p": large, "small": small}
    value, version = storage.load_version("small")
    assert value == small
    assert storage.compare_and_save("small", large, version)
    assert sorted(storage.list("")) == ["large", "p", "small"]
    storage.clear("s")
    assert storage.find_many(["large", "p", "small"]) == {"large", "p"}
    storage.close()


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_wrong_password_is_denied(
    guarded_redis: Server, tls: Certificates, password: str
) -> None:
    storage = RedisStorage(guarded_redis.url, password=password, ca_file=str(tls.ca))
    for attempt in (
        lambda: storage.load_many(["k"]),
        lambda: storage.publish("k", b"1"),
        lambda: storage.wait_many(["k"], timeout_s=WAIT_S),
        lambda: [*storage.list("k")],
    ):
        with pytest.raises(StorageDeniedError):
            attempt()
    storage.close()


def test_the_error_of_a_wrong_password_does_not_tell_it(
    guarded_redis: Server, tls: Certificates
) -> None:
    storage = RedisStorage(guarded_redis.url, password="hunter2", ca_file=str(tls.ca))
    with pytest.raises(StorageDeniedError) as caught:
        storage.load("k")
    assert "hunter2" not in str(caught.value)
    storage.close()


@pytest.mark.parametrize("service", ["redis", "memcached"])
def test_a_server_that_nobody_trusts_is_not_spoken_to(
    guarded_redis: Server, guarded_memcached: Server, service: str
) -> None:
    storage = (
        RedisStorage(guarded_redis.url, password=PASSWORD)
        if service == "redis"
        else MemcachedStorage(guarded_memcached.url)
    )
    with pytest.raises(StorageError, match=r"(?i)certificate.verify.failed"):
        storage.save("k", b"1")
    storage.close()


@pytest.mark.parametrize("url", ["", "redis://", "http://127.0.0.1:1", "127.0.0.1:6379"])
@pytest.mark.parametrize("make", [RedisStorage, MemcachedStorage])
def test_an_address_that_is_none_is_refused_by_name(make: Make, url: str) -> None:
    with pytest.raises(ValueError, match=r"the address of (Redis|Memcached): expected .*got"):
        make(url)


def test_a_user_without_the_rights_is_denied_and_not_asked_to_try_again(
    redis_one: Server,
) -> None:
    administrator = redis.Redis.from_url(redis_one.url)
    administrator.acl_setuser(
        "reader", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@read", "+auth"]
    )
    storage = RedisStorage(redis_one.url.replace("redis://", "redis://reader@"), password="secret")
    assert storage.load_many(["k"]) == {}
    with pytest.raises(StorageDeniedError, match="NOPERM"):
        storage.save("k", b"1")
    storage.close()
    administrator.acl_deluser("reader")
    administrator.close()


def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match=r"got one with a password in it$"):
        RedisStorage("redis://user:secret@localhost:6379")
