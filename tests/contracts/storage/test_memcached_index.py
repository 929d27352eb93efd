"""Memcached's keys are listed and cleared on servers that list none, such as ElastiCache's."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from storage.memcached import MemcachedStorage
from storage.memcached_index import Item, namespace_of
from tests.support.servers import Server, memcached_server


@pytest.fixture(params=["memcached_one", "memcached_two"])
def servers(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def clients(servers: Server) -> Iterator[list[MemcachedStorage]]:
    """Three functions of one job."""
    made = [MemcachedStorage(servers.url) for _ in range(3)]
    yield made
    for each in made:
        each.close()


@pytest.fixture
def job() -> str:
    return f"jobs/{uuid.uuid4().hex}/exchange/run/"


def names_of(storage: MemcachedStorage, prefix: str) -> set[str]:
    """Return the names in the indexes, also those without a value."""
    return set().union(*(index.names(prefix) for index in storage._indexes.values()))


def test_what_one_function_has_written_another_lists_and_clears(
    clients: list[MemcachedStorage], job: str
) -> None:
    writer, cleaner, reader = clients
    writer.save_many({f"{job}000001/{number}": b"old" for number in range(50)})
    writer.publish(f"{job}000001/p", b"old")
    assert writer.compare_and_save(f"{job}000001/c", b"old", writer.load_version(f"{job}x")[1])
    writer.save(f"{job}000002/kept", b"kept")
    assert len([*cleaner.list(f"{job}000001/")]) == 52
    cleaner.clear(f"{job}000001/")
    # The next attempt of the same warm function meets none of the old values.
    assert reader.publish(f"{job}000001/p", b"new") == b"new"
    assert writer.publish(f"{job}000001/7", b"new") == b"new"
    assert sorted(reader.list(job)) == [f"{job}000001/7", f"{job}000001/p", f"{job}000002/kept"]
    reader.clear(job)
    assert [*writer.list(job)] == []
    assert names_of(writer, job) == set()


def test_a_job_walks_through_its_own_names_alone(clients: list[MemcachedStorage], job: str) -> None:
    mine, theirs, _ = clients
    other = job.replace("/run/", "/other/")
    theirs.save_many({f"{other}{number}": b"1" for number in range(100)})
    mine.save(f"{job}k", b"1")
    assert names_of(mine, job) == {f"{job}k"}
    everything = {f"{job}k", *(f"{other}{number}" for number in range(100))}
    assert set(mine.list(job.partition("exchange")[0])) == everything
    mine.clear(job)
    assert len([*theirs.list(other)]) == 100


def test_names_of_deleted_values_do_not_pile_up(clients: list[MemcachedStorage], job: str) -> None:
    storage = clients[0]
    for step in range(80):
        keys = [f"{job}000001/{step:09d}/c/{'0' * 60}/{rank:06d}" for rank in range(250)]
        storage.save_many(dict.fromkeys(keys, b"1"))
        if step < 79:
            storage.delete_many(keys)
    assert sorted(storage.list(job)) == keys
    assert len(names_of(storage, job)) < 20_000 / 2


def test_a_full_index_loses_no_value_and_is_tidied(
    clients: list[MemcachedStorage], job: str
) -> None:
    storage = clients[0]
    full = b"".join(b"%s%0150d\n" % (job.encode(), number) for number in range(5_000))
    for number in range(16):
        for server in storage._servers:
            with server.client() as client:
                client.set(Item(job, number).key, full)
    storage.save_many({f"{job}{'a' * 120}{number}": b"1" for number in range(2_000)})
    assert len([*storage.list(f"{job}a")]) == 2_000


def test_a_server_without_an_index_takes_values_and_forgets_their_names() -> None:
    with memcached_server() as server:
        storage = MemcachedStorage(server.url)
        storage.save("jobs/a/exchange/run/k", b"1")
        server.flush()  # as evicted
        assert [*storage.list("jobs/a/")] == []
        storage.save("jobs/a/exchange/run/k", b"2")
        assert [*storage.list("jobs/a/")] == ["jobs/a/exchange/run/k"]
        storage.close()


@pytest.mark.parametrize(
    ("key", "namespace"),
    [
        ("k", ""),
        ("jobs/a/probe/run", ""),
        ("jobs/a/exchange/run", ""),
        ("jobs/a/exchange/run/", "jobs/a/exchange/run/"),
        ("jobs/a/exchange/run/000001/c/0", "jobs/a/exchange/run/"),
    ],
)
def test_the_values_of_a_run_are_a_namespace(key: str, namespace: str) -> None:
    assert namespace_of(key) == namespace
