"""The contract of every storage."""

from __future__ import annotations

import json
import math
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from stepml.job.errors import (
    KeyNotFoundError,
    StorageDeniedError,
    StorageUnavailableError,
    ValueChangedError,
    WaitTimeoutError,
)
from storage import DurableStorage, Storage
from storage.base import ABSENT, Version, backoff
from storage.s3 import S3Storage
from tests.contracts.conftest import aws_client
from tests.support.clocks import HandClock, TickingClock
from tests.support.running_aws import eventually

WAIT_S = 240.0  # more than any machine needs
LARGE = 64 * 2**20


class FrozenClock(HandClock):
    """A clock that advances only in `sleep`; a test may act at a time."""

    def __init__(self, at_s: float = math.inf, act: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.slept: list[float] = []
        self._at_s, self._act = at_s, act

    def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)
        if self.now < self._at_s <= self.now + seconds:
            self._act()
        self.now += seconds


@contextmanager
def meanwhile(*calls: Callable[[], object]) -> Iterator[None]:
    """Run each call in a thread of its own; raise the first error at the end."""
    with ThreadPoolExecutor(len(calls)) as pool:
        running = [pool.submit(call) for call in calls]
        yield
        for each in running:
            each.result(timeout=WAIT_S)


@contextmanager
def promising(n_bytes: int, body: bytes) -> Iterator[str]:
    """Serve one answer that announces ``n_bytes`` but ends after ``body``; yield its URL."""
    head = f'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: {n_bytes}\r\n\r\n'
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(head.encode() + body)

        with meanwhile(answer):
            yield f"http://127.0.0.1:{server.getsockname()[1]}"


def value_of(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@cache
def large_value() -> bytes:
    return value_of(LARGE)


def fits(storage: Storage, size: int) -> bool:
    return storage.max_value_bytes is None or size <= storage.max_value_bytes


# --- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, 100_001, 399_999])
def test_a_saved_value_is_loaded_whole(storage: Storage, size: int) -> None:
    value = value_of(size)
    storage.save("jobs/a/value", value)
    assert storage.load("jobs/a/value") == value
    assert storage.publish("jobs/a/other", value) == value
    assert storage.load("jobs/a/other") == value


def test_a_value_of_64_mb_is_saved_published_and_loaded_whole(storage: Storage) -> None:
    if not fits(storage, LARGE):
        pytest.skip(f"takes at most {storage.max_value_bytes} bytes: held by the test below")
    value = large_value()
    storage.publish("large", value)
    is_whole = storage.load("large") == value  # pytest would show all bytes
    assert is_whole
    storage.delete("large")
    assert storage.find_many(["large"]) == set()


def test_the_largest_value_fits_under_the_longest_key(storage: Storage) -> None:
    size, key = storage.max_value_bytes, "k" * 200
    if size is None or size > LARGE:
        pytest.skip("no limit that a test could reach")
    value = value_of(size)
    storage.save(key, value)
    assert storage.load(key) == value
    storage.save(key, b"")
    assert storage.publish("p" * 200, value) == value
    assert storage.compare_and_save("c" * 200, value, ABSENT)
    assert storage.load_many(["p" * 200, "c" * 200]) == {"p" * 200: value, "c" * 200: value}


def test_a_value_beyond_the_limit_is_refused_and_nothing_is_stored(storage: Storage) -> None:
    limit = storage.max_value_bytes
    if limit is None or limit > 2**30:
        pytest.skip("no limit that a test could reach")
    value = bytes(limit + 1)
    attempts: list[Callable[[], object]] = [
        lambda: storage.save("k", value),
        lambda: storage.save_many({"small": b"1", "k": value}),
        lambda: storage.publish("k", value),
        lambda: storage.compare_and_save("k", value, ABSENT),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match=f"at most {limit} bytes.*got {limit + 1}"):
            attempt()
    assert [*storage.list("")] == []


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [5, 250_000])
def test_any_buffer_can_be_saved(storage: Storage, kind: type, size: int) -> None:
    value = value_of(size)
    storage.save("k", kind(value))
    assert storage.load("k") == value
    assert storage.publish("p", kind(value)) == value
    assert storage.load("p") == value
    assert storage.compare_and_save("c", kind(value), ABSENT)
    assert storage.load("c") == value


def test_a_value_does_not_change_with_the_buffer_it_came_from(storage: Storage) -> None:
    buffer = bytearray(b"before")
    storage.save("saved", buffer)
    storage.publish("published", buffer)
    buffer[:] = b"after!"
    assert storage.load_many(["saved", "published"]) == {"saved": b"before", "published": b"before"}


def test_a_later_save_replaces_an_earlier_one(storage: Storage) -> None:
    for value in (b"first", b"second", value_of(300_000), b"small again", b""):
        storage.save("k", value)
        assert storage.load("k") == value


def test_keys_may_have_every_printable_character(storage: Storage) -> None:
    signs = "".join(chr(code) for code in range(33, 127) if chr(code) not in "{}#")
    keys = [signs, "a" * 200, "%41", "A", "a//b", "~"]
    storage.save_many({key: key.encode() for key in keys})
    assert storage.load_many(keys) == {key: key.encode() for key in keys}
    assert storage.find_many(keys) == set(keys)
    assert sorted(storage.list("")) == sorted(keys)
    storage.delete_many(keys)
    assert [*storage.list("")] == []


# --- many at once ---------------------------------------------------------------------------


def test_many_values_are_saved_found_loaded_and_deleted_at_once(storage: Storage) -> None:
    values = {f"k/{number}": value_of(number * 10, number) for number in range(130)}
    storage.save_many(values)
    keys = [*values, "absent"]
    assert storage.load_many(keys) == values
    assert storage.find_many(keys) == set(values)
    storage.delete_many([*values][:100])
    assert storage.find_many(keys) == set([*values][100:])


def test_large_values_are_saved_and_loaded_at_once(storage: Storage) -> None:
    values = {f"k/{number}": value_of(390_000, number) for number in range(30)}
    storage.save_many(values)
    assert storage.load_many([*values]) == values
    storage.delete_many([*values])
    assert storage.find_many([*values]) == set()


def test_nothing_at_once_is_no_error(storage: Storage) -> None:
    storage.save_many({})
    storage.delete_many([])
    assert storage.load_many([]) == {}
    assert storage.find_many([]) == set()
    assert storage.load_into({}) == set()
    assert storage.wait_many([], timeout_s=0) == {}


def test_a_key_that_is_named_twice_counts_once(storage: Storage) -> None:
    storage.save("k", b"1")
    twice = ["k", "absent", "k", "absent"]
    assert storage.load_many(twice) == {"k": b"1"}
    assert storage.find_many(twice) == {"k"}
    assert [*storage.wait_each(["k", "k"], timeout_s=5)] == [("k", b"1")]
    storage.delete_many(twice)
    assert storage.find_many(["k"]) == set()


def test_absent_keys_are_left_out_or_named(storage: Storage) -> None:
    storage.save("here", b"1")
    assert storage.load_many(["here", "absent"]) == {"here": b"1"}
    with pytest.raises(KeyNotFoundError, match="nothing is stored under absent"):
        storage.load("absent")


def test_deleting_twice_is_no_error(storage: Storage) -> None:
    storage.save("k", b"1")
    storage.delete("k")
    storage.delete("k")
    storage.delete_many(["k", "never-was"])
    assert storage.load_many(["k"]) == {}


def test_values_are_loaded_into_buffers_of_their_size(storage: Storage) -> None:
    storage.save_many({"small": b"12345", "large": value_of(390_000), "empty": b""})
    sizes = {"small": 5, "large": 390_000, "empty": 0, "absent": 5}
    buffers = {key: bytearray(size) for key, size in sizes.items()}
    filled = storage.load_into({key: memoryview(buffer) for key, buffer in buffers.items()})
    assert filled == {"small", "large", "empty"}
    assert buffers["small"] == b"12345"
    assert buffers["large"] == value_of(390_000)


def test_heads_of_values_are_loaded(storage: Storage) -> None:
    storage.save_many({"small": b"12345", "large": value_of(390_000), "empty": b""})
    heads = storage.load_heads(["small", "large", "empty", "absent"], 6)
    assert heads == {"small": b"12345", "large": value_of(390_000)[:6]}


@pytest.mark.parametrize("size", [0, 4, 6, 390_001])
def test_a_buffer_of_another_size_is_not_filled(storage: Storage, size: int) -> None:
    storage.save_many({"small": b"12345", "large": value_of(390_000)})
    targets = {"small": memoryview(bytearray(size)), "large": memoryview(bytearray(size))}
    assert storage.load_into(targets) == set()
    assert storage.load("small") == b"12345"


# --- publish and compare-and-save -----------------------------------------------------------


@pytest.mark.parametrize("size", [5, 250_000])
def test_the_first_publisher_wins(storage: Storage, size: int) -> None:
    first, second = value_of(size, 1), value_of(size, 2)
    assert storage.publish("k", first) == first
    assert storage.publish("k", second) == first
    assert storage.publish("k", first) == first
    assert storage.load("k") == first
    storage.delete("k")
    assert storage.publish("k", second) == second


def test_an_empty_value_is_a_value(storage: Storage) -> None:
    assert storage.publish("k", b"") == b""
    assert storage.publish("k", b"second") == b""
    assert storage.find_many(["k"]) == {"k"}
    value, version = storage.load_version("k")
    assert (value, version == ABSENT) == (b"", False)
    assert not storage.compare_and_save("k", b"2", ABSENT)
    assert storage.compare_and_save("k", b"2", version)


@pytest.mark.parametrize("size", [20, 250_000])
def test_of_many_publishers_at_once_all_get_one_value(storage: Storage, size: int) -> None:
    barrier = threading.Barrier(8)

    def publish(number: int) -> bytes:
        barrier.wait(timeout=WAIT_S)
        return bytes(storage.publish("race", value_of(size, number)))

    with ThreadPoolExecutor(8) as pool:
        got = set(pool.map(publish, range(8)))
    assert got == {bytes(storage.load("race"))}
    assert got < {value_of(size, number) for number in range(8)}


@pytest.mark.parametrize("size", [1, 250_000])
def test_compare_and_save_takes_only_the_version_it_was_given(storage: Storage, size: int) -> None:
    one, two, three = (value_of(size, seed) for seed in (1, 2, 3))
    value, version = storage.load_version("k")
    assert (value, version) == (None, ABSENT)
    assert storage.compare_and_save("k", one, version)
    assert not storage.compare_and_save("k", two, version)
    value, current = storage.load_version("k")
    assert value == one
    assert storage.compare_and_save("k", two, current)
    assert not storage.compare_and_save("k", three, current)
    assert not storage.compare_and_save("other", three, Version('"no such version"'))
    assert storage.load_many(["k", "other"]) == {"k": two}


def test_a_deleted_value_is_at_no_version_but_absent(storage: Storage) -> None:
    storage.save("k", b"1")
    _, before = storage.load_version("k")
    storage.delete("k")
    assert storage.load_version("k") == (None, ABSENT)
    assert not storage.compare_and_save("k", b"2", before)
    assert storage.compare_and_save("k", b"2", ABSENT)
    assert storage.load("k") == b"2"


def test_a_save_and_a_publish_make_a_version_of_their_own(storage: Storage) -> None:
    storage.publish("k", b"1")
    _, published = storage.load_version("k")
    storage.save("k", b"2")
    _, saved = storage.load_version("k")
    assert len({published, saved, ABSENT}) == 3
    assert not storage.compare_and_save("k", b"3", published)
    assert storage.compare_and_save("k", b"3", saved)


def test_no_update_is_lost_between_rivals(storage: Storage) -> None:
    storage.save("count", b"0")

    def increment(_: int) -> None:
        for _attempt in range(1000):
            value, version = storage.load_version("count")
            count = int(bytes(value or b"0")) + 1
            if storage.compare_and_save("count", str(count).encode(), version):
                return
        raise AssertionError("no turn in 1,000 attempts")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(20)))
    assert storage.load("count") == b"20"


# --- lists ----------------------------------------------------------------------------------


def test_list_and_clear_see_a_prefix_only(storage: Storage) -> None:
    for key in ("jobs/a/1", "jobs/a/2", "jobs/ab/1", "jobs/a", "other"):
        storage.save(key, b"x")
        storage.publish(key + "/p", value_of(250_000))
    assert sorted(storage.list("jobs/a/")) == [
        "jobs/a/1",
        "jobs/a/1/p",
        "jobs/a/2",
        "jobs/a/2/p",
        "jobs/a/p",
    ]
    storage.clear("jobs/a/")
    rest = ["jobs/a", "jobs/ab/1", "jobs/ab/1/p", "other", "other/p"]
    assert sorted(storage.list("")) == rest
    assert storage.find_many(rest) == set(rest)
    assert storage.load("jobs/ab/1/p") == value_of(250_000)
    storage.clear("jobs/a/")
    storage.clear("jobs/")
    assert sorted(storage.list("")) == ["other", "other/p"]


def test_a_prefix_is_taken_literally(storage: Storage) -> None:
    keys = ["a*b/1", "a?b/1", "a[x]b/1", "axb/1", "a\\b/1", "a%b/1", "a_b/1", "A*B/1"]
    storage.save_many(dict.fromkeys(keys, b"x"))
    for key in keys:
        assert [*storage.list(key[:-1])] == [key]


def test_clear_refuses_to_empty_the_store(storage: Storage) -> None:
    storage.save("k", b"1")
    with pytest.raises(ValueError, match="expected a prefix"):
        storage.clear("")
    assert storage.load("k") == b"1"


def test_more_keys_than_one_request_can_delete_or_list(storage: Storage) -> None:
    keys = [f"many/{number:05d}" for number in range(1001)]
    storage.save_many(dict.fromkeys(keys, b"x"))
    assert sorted(storage.list("many/")) == keys
    storage.clear("many/")
    assert list(storage.list("many/")) == []


# --- waiting --------------------------------------------------------------------------------


def test_a_wait_ends_as_soon_as_all_values_are_there(storage: Storage) -> None:
    storage.save("first", b"1")

    def second() -> None:
        time.sleep(0.05)
        storage.save("second", b"2")

    with meanwhile(second):
        got = storage.wait_many(["first", "second"], timeout_s=WAIT_S)
    assert got == {"first": b"1", "second": b"2"}


@pytest.mark.parametrize("at_s", [0.001, 0.05, 2.0, 20.0])
def test_a_poller_sees_a_value_soon_after_it_is_there(storage: Storage, at_s: float) -> None:
    if storage.wakes_waiters:
        pytest.skip("its waiters are woken: held by a test of Redis")
    clock = FrozenClock(at_s, lambda: storage.save("second", b"2"))
    storage.save("first", b"1")
    got = storage.wait_many(["first", "second"], timeout_s=30, clock=clock)
    assert got == {"first": b"1", "second": b"2"}
    assert clock.now - at_s <= min(1.0, max(0.005, at_s))


@pytest.mark.parametrize("size", [8, 250_000])
def test_a_wait_yields_in_the_order_of_keys_whatever_comes_first(
    storage: Storage, size: int
) -> None:
    keys = ["a", "b", "c", "d"]
    values = {key: value_of(size, ord(key)) for key in keys}

    def arrive() -> None:
        for key in ("d", "b", "a", "c"):
            time.sleep(0.03)
            storage.publish(key, values[key])

    with meanwhile(arrive):
        assert [*storage.wait_each(keys, timeout_s=WAIT_S)] == [*values.items()]


def test_a_value_is_handed_over_before_later_ones_are_there(storage: Storage) -> None:
    storage.publish("a", b"1")
    wait = storage.wait_each(["a", "b"], timeout_s=30)
    assert next(wait) == ("a", b"1")
    storage.publish("b", b"2")
    assert next(wait) == ("b", b"2")
    assert next(wait, None) is None


def test_a_wait_can_be_left_before_its_end(storage: Storage) -> None:
    storage.publish("a", b"1")
    for key, _ in storage.wait_each(["a", "b"], timeout_s=30):
        assert key == "a"
        break
    assert storage.load("a") == b"1"


def test_all_who_wait_for_a_value_get_it(storage: Storage) -> None:
    def wait() -> None:
        assert storage.wait_many(["k"], timeout_s=WAIT_S) == {"k": b"1"}

    with meanwhile(wait, wait, wait):
        time.sleep(0.1)
        storage.publish("k", b"1")
    assert storage.wait_many(["k"], timeout_s=0) == {"k": b"1"}


@pytest.mark.parametrize("how", ["save", "save_many", "compare_and_save"])
def test_a_wait_sees_a_value_however_it_is_stored(storage: Storage, how: str) -> None:
    store: dict[str, Callable[[], object]] = {
        "save": lambda: storage.save("k", b"1"),
        "save_many": lambda: storage.save_many({"k": b"1"}),
        "compare_and_save": lambda: storage.compare_and_save("k", b"1", ABSENT),
    }

    def later() -> None:
        time.sleep(0.05)
        store[how]()

    with meanwhile(later):
        assert storage.wait_many(["k"], timeout_s=WAIT_S) == {"k": b"1"}


def test_a_wait_for_a_value_that_was_deleted_goes_on_to_the_next(storage: Storage) -> None:
    storage.publish("k", b"1")
    storage.delete("k")
    with pytest.raises(WaitTimeoutError, match="still missing: k"):
        storage.wait_many(["k"], timeout_s=0.2)

    def later() -> None:
        time.sleep(0.05)
        storage.publish("k", b"2")

    with meanwhile(later):
        assert storage.wait_many(["k"], timeout_s=WAIT_S) == {"k": b"2"}


@pytest.mark.parametrize("timeout_s", [0, 0.3])
def test_a_wait_times_out_and_names_what_is_missing(storage: Storage, timeout_s: float) -> None:
    storage.save("here", b"1")
    start = time.monotonic()
    with pytest.raises(WaitTimeoutError, match=f"after {timeout_s:g} s still missing: x, y") as got:
        storage.wait_many(["x", "here", "y"], timeout_s=timeout_s)
    assert got.value.missing == ("x", "y")
    assert timeout_s * 0.9 <= time.monotonic() - start
    clock = TickingClock(tick_s=0.05)
    with pytest.raises(WaitTimeoutError):
        storage.wait_many(["x", "here", "y"], timeout_s=timeout_s, clock=clock)
    assert clock.now < timeout_s + 1


def test_a_waiter_that_polls_waits_ever_longer_and_not_beyond_its_time(storage: Storage) -> None:
    if storage.wakes_waiters:
        pytest.skip("its waiters block in the service")
    clock = FrozenClock()
    with pytest.raises(WaitTimeoutError, match="after 60 s still missing: absent"):
        storage.wait_many(["absent"], timeout_s=60, clock=clock)
    assert clock.now == pytest.approx(60)
    assert (
        clock.slept == sorted(clock.slept[:-1]) + clock.slept[-1:]
    )  # ever longer delays, then the rest


@pytest.mark.parametrize("first_delay_s", [0, 25])
def test_a_poller_can_be_ended_about_once_a_second(storage: Storage, first_delay_s: float) -> None:
    if storage.wakes_waiters:
        pytest.skip("its waiters block in the service: the test below")
    clock, looks = FrozenClock(), [0.0]
    with pytest.raises(WaitTimeoutError):
        storage.wait_many(
            ["absent"],
            timeout_s=30,
            first_delay_s=first_delay_s,
            clock=clock,
            watch=lambda: looks.append(clock.now),
        )
    assert max(after - before for before, after in pairwise(looks)) <= 1.01


def test_a_waiter_that_is_woken_can_be_ended_about_once_a_second(storage: Storage) -> None:
    if not storage.wakes_waiters:
        pytest.skip("its waiters poll: the test above")
    looks = iter([True, True, False])

    def watch() -> None:
        if not next(looks):
            raise InterruptedError

    # How long it blocks between looks is held by a test of Redis.
    with pytest.raises(InterruptedError):
        storage.wait_many(["x", "y"], timeout_s=WAIT_S, watch=watch)


def test_a_wait_can_be_ended_from_outside(storage: Storage) -> None:
    def watch() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        storage.wait_many(["absent"], timeout_s=60, watch=watch)
    storage.save("k", b"1")
    assert storage.load("k") == b"1"


def test_backoff_grows_up_to_its_limit() -> None:
    delays = backoff(start_s=0.1, most_s=0.2)
    assert [next(delays) for _ in range(4)] == pytest.approx([0.1, 0.15, 0.2, 0.2])


# --- expiry ---------------------------------------------------------------------------------


def test_a_service_that_expires_forgets_values_as_if_they_were_deleted(
    short_lived: Storage,
) -> None:
    storage = short_lived
    keys = ["saved", "many", "published", "compared"]

    def store_all() -> tuple[set[str], Version]:
        """Store values in all ways; return the keys of those that have not expired yet."""
        storage.save("saved", b"1")
        storage.save_many({"many": b"1"})
        storage.publish("published", value_of(250_000))
        storage.compare_and_save("compared", b"1", ABSENT)
        _, version = storage.load_version("saved")
        return storage.find_many(keys), version

    # A busy machine may let them expire before they are looked for.
    _, version = eventually(store_all, lambda stored: stored[0] == set(keys))
    eventually(lambda: storage.find_many(keys), lambda found: not found)  # in whole seconds
    assert storage.load_many(keys) == {}
    assert [*storage.list("")] == []
    assert storage.load_version("compared") == (None, ABSENT)
    assert not storage.compare_and_save("saved", b"2", version)
    with pytest.raises(WaitTimeoutError):
        storage.wait_many(keys, timeout_s=0.1)
    assert storage.publish("published", b"2") == b"2"
    assert storage.compare_and_save("compared", b"2", ABSENT)


# --- durable storages -----------------------------------------------------------------------


def test_ranges_are_cut_at_the_end_of_the_value(durable: DurableStorage) -> None:
    durable.save("k", b"0123456789")
    assert durable.load_range("k", 2, 5) == b"234"
    assert durable.load_range("k", 8, 50) == b"89"
    assert durable.load_range("k", 5, 5) == b""
    assert durable.load_range("k", 10, 20) == b""
    with pytest.raises(KeyNotFoundError):
        durable.load_range("absent", 0, 1)


def test_a_range_of_a_value_that_was_replaced_is_refused(durable: DurableStorage) -> None:
    durable.save("k", b"0123456789")
    described = durable.describe("k")
    assert described is not None
    assert durable.load_range("k", 0, 3, described.etag) == b"012"
    durable.save("k", b"abcdefghij")
    with pytest.raises(ValueChangedError, match="k was changed"):
        durable.load_range("k", 0, 3, described.etag)


def test_descriptions_tell_size_and_change(durable: DurableStorage) -> None:
    durable.save("d/b", b"123")
    durable.save("d/a", b"")
    assert [(info.key, info.value_bytes) for info in durable.describe_many("d/")] == [
        ("d/a", 0),
        ("d/b", 3),
    ]
    before = durable.describe("d/b")
    durable.save("d/b", b"456")
    after = durable.describe("d/b")
    assert before is not None
    assert after is not None
    assert before.etag != after.etag
    assert durable.describe("absent") is None


def test_a_write_tells_the_description_of_its_value(durable: DurableStorage) -> None:
    first = durable.put("d/a", b"123")
    assert first == durable.describe("d/a")
    assert durable.load_range("d/a", 0, 3, first.etag) == b"123"
    second = durable.put("d/a", memoryview(b"4567"))
    assert second == durable.describe("d/a")
    assert second.etag != first.etag
    with pytest.raises(ValueChangedError):
        durable.load_range("d/a", 0, 3, first.etag)


@pytest.mark.parametrize("size", [0, 1, 2**20, 5 * 2**20 + 3])
def test_a_value_comes_in_a_buffer_that_its_reader_may_change(
    durable: DurableStorage, size: int
) -> None:
    value = value_of(size)
    durable.save("k", value)
    buffer = durable.load_buffer("k")
    assert buffer == value
    buffer[:] = bytes(size)
    assert durable.load_buffer("k") == value
    assert durable.load("k") == value
    with pytest.raises(KeyNotFoundError, match="absent"):
        durable.load_buffer("absent")


# --- S3 -------------------------------------------------------------------------------------


def test_s3_tells_what_it_refuses_from_what_is_absent(s3_storage: S3Storage) -> None:
    bucket = s3_storage.bucket
    s3_storage.save("k", b"1")
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    s3_storage._client.put_bucket_policy(Bucket=bucket, Policy=policy)
    with pytest.raises(StorageDeniedError, match="S3 at k"):
        s3_storage.load("k")


def test_s3_sends_a_large_view_without_a_copy(s3_storage: S3Storage) -> None:
    value, sent = np.arange(5 * 2**20 + 3, dtype=np.uint8), []
    events, network = s3_storage._client.meta.events, URLLib3Session()

    def lose_the_first_answer(request: Any, **_: Any) -> Any:
        sent.append(request.body.read(2**20))
        request.body.seek(0)
        assert "Expect" not in request.headers
        if len(sent) > 1:
            return None
        network.send(request)
        raise ConnectionClosedError(endpoint_url=request.url)

    events.register("before-send.s3.PutObject", lose_the_first_answer)
    s3_storage.save("k", value.data)
    assert len(sent) == 2
    assert all(np.shares_memory(np.frombuffer(each, np.uint8), value) for each in sent)
    assert s3_storage.load("k") == value.data
    assert s3_storage.compare_and_save("k", value[1:].data, s3_storage.load_version("k")[1])
    assert s3_storage.publish("k", value.data) == value[1:].data


@pytest.mark.parametrize("sent", [0, 1, 1000])
def test_s3_that_ends_a_value_early_is_unavailable(sent: int) -> None:
    with promising(2000, bytes(sent)) as url:
        client = aws_client("s3", url, retries={"total_max_attempts": 1})
        with pytest.raises(StorageUnavailableError, match="S3"):
            S3Storage("bucket", client).load_buffer("k")


def test_s3_that_does_not_answer_is_unavailable() -> None:
    # The discard port: nothing listens.
    client = aws_client("s3", "http://127.0.0.1:9", retries={"total_max_attempts": 1})
    with pytest.raises(StorageUnavailableError, match="S3 at k"):
        S3Storage("bucket", client).load("k")
