"""S3 as the durable store needs it: whole values, ranges, conditions, bounded memory."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.running_aws import RunningAws

MB = 1_000_000


@pytest.fixture(scope="module")
def bucket(aws: RunningAws) -> str:
    aws.client("s3").create_bucket(Bucket="objects")
    return "objects"


def value(size_bytes: int) -> bytes:
    """Bytes without repetition."""
    numbers = b"".join(number.to_bytes(4, "big") for number in range(size_bytes // 4 + 1))
    return numbers[:size_bytes]


def read(objects: Any, bucket: str, key: str, **settings: Any) -> bytes:
    body: bytes = objects.get_object(Bucket=bucket, Key=key, **settings)["Body"].read()
    return body


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1000


def test_an_object_in_parts_is_whole_and_its_ranges_are_its_slices(
    aws: RunningAws, bucket: str
) -> None:
    objects, data = aws.client("s3"), value(25 * MB)
    objects.upload_fileobj(io.BytesIO(data), bucket, "parts")
    assert read(objects, bucket, "parts") == data
    for first, last in [(0, 0), (1, 4_194_304), (24_999_990, 24_999_999), (9_999_999, 10_000_001)]:
        part = read(objects, bucket, "parts", Range=f"bytes={first}-{last}")
        assert part == data[first : last + 1]
    assert read(objects, bucket, "parts", Range="bytes=-10") == data[-10:]
    # The ETag of a multipart upload has the number of parts, and does not change.
    assert objects.head_object(Bucket=bucket, Key="parts")["ETag"].endswith('-3"')


def test_keys_can_be_listed_while_others_are_deleted(aws: RunningAws, bucket: str) -> None:
    stop = threading.Event()

    def come_and_go(writer: int) -> None:
        objects = aws.client("s3")
        while not stop.is_set():
            for number in range(10):
                objects.put_object(Bucket=bucket, Key=f"moving/{writer}/{number}", Body=b"1")
            for number in range(10):
                objects.delete_object(Bucket=bucket, Key=f"moving/{writer}/{number}")

    writers = [threading.Thread(target=come_and_go, args=(writer,)) for writer in range(3)]
    for writer in writers:
        writer.start()
    objects = aws.client("s3")
    objects.put_object(Bucket=bucket, Key="moving/stays", Body=b"1")
    try:
        for _ in range(200):
            listed = objects.list_objects_v2(Bucket=bucket, Prefix="moving/")["Contents"]
            assert "moving/stays" in [item["Key"] for item in listed]
    finally:
        stop.set()
        for writer in writers:
            writer.join(60)


def test_one_of_many_writers_that_want_to_be_first_is(aws: RunningAws, bucket: str) -> None:
    won: list[int] = []
    refused: list[str] = []
    together = threading.Barrier(8)

    def publish(writer: int) -> None:
        objects = aws.client("s3")
        together.wait(60)
        try:
            objects.put_object(
                Bucket=bucket, Key="first", Body=str(writer).encode(), IfNoneMatch="*"
            )
        except ClientError as error:
            refused.append(error.response["Error"]["Code"])
        else:
            won.append(writer)

    writers = [threading.Thread(target=publish, args=(writer,)) for writer in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert (len(won), refused) == (1, ["PreconditionFailed"] * 7)
    assert read(aws.client("s3"), bucket, "first") == str(won[0]).encode()


def test_a_version_can_be_replaced_once(aws: RunningAws, bucket: str) -> None:
    objects = aws.client("s3")
    version = objects.put_object(Bucket=bucket, Key="state", Body=b"0")["ETag"]
    objects.put_object(Bucket=bucket, Key="state", Body=b"1", IfMatch=version)
    with pytest.raises(ClientError) as refused:
        objects.put_object(Bucket=bucket, Key="state", Body=b"2", IfMatch=version)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert read(objects, bucket, "state") == b"1"


def test_readers_never_see_a_mixture_of_two_values(aws: RunningAws, bucket: str) -> None:
    size = 3 * MB
    objects = aws.client("s3")
    objects.put_object(Bucket=bucket, Key="shared", Body=b"a" * size)
    done = threading.Event()
    seen: set[bytes] = set()

    def look() -> None:
        reader = aws.client("s3")
        while not done.is_set():
            got = read(reader, bucket, "shared")
            seen.add(bytes({*got}) if len(got) == size else b"cut")

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(10):
        letter = b"ab"[turn % 2 : turn % 2 + 1]
        objects.put_object(Bucket=bucket, Key="shared", Body=letter * size)
    done.set()
    for reader in readers:
        reader.join(60)
    assert seen <= {b"a", b"b"}


def test_values_that_were_replaced_or_deleted_take_no_memory(aws: RunningAws, bucket: str) -> None:
    objects, data = aws.client("s3"), value(20 * MB)

    def write_and_delete() -> None:
        objects.put_object(Bucket=bucket, Key="large", Body=data)
        objects.upload_fileobj(io.BytesIO(data), bucket, "large")
        objects.delete_object(Bucket=bucket, Key="large")

    write_and_delete()
    before = resident_mb(aws.process.pid)
    for _ in range(10):
        write_and_delete()
    # 400 MB have been written.
    assert resident_mb(aws.process.pid) - before < 200
