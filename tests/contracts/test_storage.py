"""What every storage promises."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config

from stepml.job.errors import (
    KeyNotFoundError,
    StorageDeniedError,
    StorageUnavailableError,
    ValueChangedError,
    WaitTimeoutError,
)
from storage import DurableStorage
from storage.base import ABSENT, Version, backoff
from storage.s3 import S3Storage


class FrozenClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.parametrize("size", [0, 1, 7, 1000, 2**20, 64 * 2**20])
def test_a_saved_value_is_loaded_whole(storage: DurableStorage, size: int) -> None:
    value = bytes(range(256)) * (size // 256) + bytes(size % 256)
    storage.save("jobs/a/value", value)
    assert storage.load("jobs/a/value") == value


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_saved(storage: DurableStorage, kind: type) -> None:
    storage.save("k", kind(b"value"))
    assert storage.load("k") == b"value"
    assert storage.publish("p", kind(b"value")) == b"value"


def test_a_later_save_replaces_an_earlier_one(storage: DurableStorage) -> None:
    storage.save("k", b"first")
    storage.save("k", b"second")
    assert storage.load("k") == b"second"


def test_absent_keys_are_left_out_or_named(storage: DurableStorage) -> None:
    storage.save("here", b"1")
    assert storage.load_many(["here", "absent"]) == {"here": b"1"}
    assert storage.load_many([]) == {}
    with pytest.raises(KeyNotFoundError, match="nothing is stored under absent"):
        storage.load("absent")


def test_deleting_twice_is_no_error(storage: DurableStorage) -> None:
    storage.save("k", b"1")
    storage.delete("k")
    storage.delete("k")
    storage.delete_many([])
    assert storage.load_many(["k"]) == {}


def test_the_first_publisher_wins(storage: DurableStorage) -> None:
    assert storage.publish("k", b"first") == b"first"
    assert storage.publish("k", b"second") == b"first"
    assert storage.load("k") == b"first"


def test_of_many_publishers_at_once_all_get_one_value(storage: DurableStorage) -> None:
    barrier = threading.Barrier(8)

    def publish(number: int) -> bytes:
        barrier.wait(timeout=30)
        return storage.publish("race", f"value {number}".encode())

    with ThreadPoolExecutor(8) as pool:
        got = set(pool.map(publish, range(8)))
    assert got == {storage.load("race")}


def test_compare_and_save_takes_only_the_version_it_was_given(storage: DurableStorage) -> None:
    value, version = storage.load_version("k")
    assert (value, version) == (None, ABSENT)
    assert storage.compare_and_save("k", b"1", version)
    assert not storage.compare_and_save("k", b"2", version)
    value, current = storage.load_version("k")
    assert value == b"1"
    assert storage.compare_and_save("k", b"2", current)
    assert not storage.compare_and_save("k", b"3", current)
    assert not storage.compare_and_save("other", b"3", Version('"no such version"'))
    assert storage.load_many(["k", "other"]) == {"k": b"2"}


def test_no_update_is_lost_between_rivals(storage: DurableStorage) -> None:
    storage.save("count", b"0")

    def increment(_: int) -> None:
        for _attempt in range(1000):
            value, version = storage.load_version("count")
            if storage.compare_and_save("count", str(int(value or b"0") + 1).encode(), version):
                return
        raise AssertionError("no turn in 1,000 attempts")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(20)))
    assert storage.load("count") == b"20"


def test_list_and_clear_see_a_prefix_only(storage: DurableStorage) -> None:
    for key in ("jobs/a/1", "jobs/a/2", "jobs/ab/1", "other"):
        storage.save(key, b"x")
    assert sorted(storage.list("jobs/a/")) == ["jobs/a/1", "jobs/a/2"]
    storage.clear("jobs/a/")
    assert sorted(storage.list("")) == ["jobs/ab/1", "other"]
    storage.clear("jobs/a/")


def test_clear_refuses_to_empty_the_store(storage: DurableStorage) -> None:
    storage.save("k", b"1")
    with pytest.raises(ValueError, match="expected a prefix"):
        storage.clear("")
    assert storage.load("k") == b"1"


def test_more_keys_than_one_request_can_delete_or_list(storage: DurableStorage) -> None:
    keys = [f"many/{number:05d}" for number in range(1001)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: storage.save(key, b"x"), keys))
    assert sorted(storage.list("many/")) == keys
    storage.clear("many/")
    assert list(storage.list("many/")) == []


def test_ranges_are_cut_at_the_end_of_the_value(storage: DurableStorage) -> None:
    storage.save("k", b"0123456789")
    assert storage.load_range("k", 2, 5) == b"234"
    assert storage.load_range("k", 8, 50) == b"89"
    assert storage.load_range("k", 5, 5) == b""
    assert storage.load_range("k", 10, 20) == b""
    with pytest.raises(KeyNotFoundError):
        storage.load_range("absent", 0, 1)


def test_a_range_of_a_value_that_was_replaced_is_refused(storage: DurableStorage) -> None:
    storage.save("k", b"0123456789")
    described = storage.describe("k")
    assert described is not None
    assert storage.load_range("k", 0, 3, described.etag) == b"012"
    storage.save("k", b"abcdefghij")
    with pytest.raises(ValueChangedError, match="k was changed"):
        storage.load_range("k", 0, 3, described.etag)


def test_descriptions_tell_size_and_change(storage: DurableStorage) -> None:
    storage.save("d/b", b"123")
    storage.save("d/a", b"")
    assert [(info.key, info.value_bytes) for info in storage.describe_many("d/")] == [
        ("d/a", 0),
        ("d/b", 3),
    ]
    before = storage.describe("d/b")
    storage.save("d/b", b"456")
    after = storage.describe("d/b")
    assert before is not None
    assert after is not None
    assert before.etag != after.etag
    assert storage.describe("absent") is None


def test_a_wait_ends_as_soon_as_all_values_are_there(storage: DurableStorage) -> None:
    storage.save("first", b"1")
    threading.Timer(0.05, lambda: storage.save("second", b"2")).start()
    assert storage.wait_many(["first", "second"], timeout_s=30) == {"first": b"1", "second": b"2"}


def test_a_wait_times_out_and_names_what_is_missing(storage: DurableStorage) -> None:
    storage.save("here", b"1")
    clock = FrozenClock()
    with pytest.raises(WaitTimeoutError, match="after 60 s still missing: absent") as caught:
        storage.wait_many(["here", "absent"], timeout_s=60, clock=clock)
    assert caught.value.missing == ("absent",)
    assert clock.now == pytest.approx(60)
    assert clock.slept == sorted(clock.slept[:-1]) + clock.slept[-1:]  # ever longer, then the rest


def test_a_wait_can_be_ended_from_outside(storage: DurableStorage) -> None:
    def watch() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        storage.wait_many(["absent"], timeout_s=60, clock=FrozenClock(), watch=watch)


def test_backoff_begins_with_the_expected_wait() -> None:
    delays = backoff(first_s=3.0, start_s=0.1, most_s=0.2)
    assert [next(delays) for _ in range(4)] == pytest.approx([3.0, 0.1, 0.15, 0.2])


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


def test_s3_that_does_not_answer_is_unavailable() -> None:
    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",  # the discard port: nothing listens
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(StorageUnavailableError, match="S3 at k"):
        S3Storage("bucket", client).load("k")
