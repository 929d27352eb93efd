"""DynamoDB's storage under the service's limits, batches and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.httpsession import URLLib3Session

from stepml.job.errors import (
    StorageDeniedError,
    StorageError,
    StorageUnavailableError,
    WaitTimeoutError,
)
from storage.base import ABSENT
from storage.blocks import BlockStorage
from storage.dynamodb import BATCH_BYTES, DynamoDBStorage
from tests.contracts.conftest import aws_client


def table_of(storage: DynamoDBStorage, **settings: int) -> DynamoDBStorage:
    """Return another storage of the same table."""
    return DynamoDBStorage(storage.table, storage._client, **settings)


def on(storage: DynamoDBStorage, event: str, handler: Callable[..., Any]) -> None:
    storage._client.meta.events.register(event, handler)


def requests_of(storage: DynamoDBStorage) -> list[str]:
    """Return a list of the operations of all requests; it grows with each request."""
    sent: list[str] = []
    on(storage, "before-send.dynamodb", lambda event_name, **_: sent.append(event_name[21:]))
    return sent


# --- sizes ----------------------------------------------------------------------------------


def test_a_listing_goes_on_beyond_the_first_megabyte(dynamodb_storage: DynamoDBStorage) -> None:
    keys = [f"a/{number}" for number in range(12)]
    dynamodb_storage.save_many(dict.fromkeys(keys, bytes(300_000)))
    dynamodb_storage.save("b", bytes(300_000))
    sent = requests_of(dynamodb_storage)
    assert sorted(dynamodb_storage.list("a/")) == sorted(keys)
    assert len(sent) > 3
    dynamodb_storage.clear("a/")
    assert [*dynamodb_storage.list("")] == ["b"]


def test_a_value_of_12_mb_travels_in_blocks(dynamodb_storage: DynamoDBStorage) -> None:
    storage, value = BlockStorage(dynamodb_storage), bytes(range(256)) * 48 * 1024
    sent = requests_of(dynamodb_storage)
    assert storage.publish("k", value) == value
    assert sent == ["BatchWriteItem"] * 8 + ["PutItem"]
    sent.clear()
    assert storage.load("k") == value
    assert set(sent) == {"BatchGetItem"}
    assert len([*dynamodb_storage.list("k")]) == 33


def test_large_blocks_travel_in_small_requests(dynamodb_storage: DynamoDBStorage) -> None:
    """Each is in memory several times, as JSON and in base64, and eight are under way."""
    storage, value = BlockStorage(dynamodb_storage), bytes(range(256)) * 48 * 1024
    sizes: list[int] = []
    on(
        dynamodb_storage,
        "before-send.dynamodb",
        lambda request, **_: sizes.append(len(request.body)),
    )
    on(
        dynamodb_storage,
        "after-call.dynamodb",
        lambda http_response, **_: sizes.append(len(http_response.content)),
    )
    target = memoryview(bytearray(len(value)))
    storage.save("k", value)
    assert storage.load_into({"k": target}) == {"k"}
    assert target == value
    assert 2 * len(value) < sum(sizes)
    assert max(sizes) < 1.4 * BATCH_BYTES


def test_an_answer_that_is_cut_at_16_mb_is_asked_for_the_rest(
    dynamodb_storage: DynamoDBStorage,
) -> None:
    dynamodb_storage.read_batch = 100
    values = {f"k/{number}": bytes([number]) * 400_000 for number in range(50)}
    dynamodb_storage.save_many(values)
    sent = requests_of(dynamodb_storage)
    assert dynamodb_storage.load_many([*values]) == values
    assert sent == ["BatchGetItem", "BatchGetItem"]


def test_a_small_value_costs_one_request(dynamodb_storage: DynamoDBStorage) -> None:
    sent = requests_of(dynamodb_storage)
    dynamodb_storage.publish("k", bytes(1000))
    dynamodb_storage.load("k")
    dynamodb_storage.publish("k", b"second")
    assert sent == ["PutItem", "BatchGetItem", "PutItem"]


# --- expiry ---------------------------------------------------------------------------------


def test_what_has_expired_counts_as_absent_while_it_is_still_there(
    dynamodb_storage: DynamoDBStorage,
) -> None:
    storage, past = dynamodb_storage, table_of(dynamodb_storage, expiry_s=-1)
    old = {"a/k": b"old", "a/p": b"old", "a/c": b"old"}
    past.save_many(old)
    item = storage._client.get_item(TableName=storage.table, Key={"key": {"S": "a/k"}})
    assert item["Item"]["data"]["B"] == b"old"  # the service has not deleted it
    assert storage.load_many([*old]) == {}
    assert storage.find_many([*old]) == set()
    assert [*storage.list("a/")] == []
    assert storage.load_version("a/c") == (None, ABSENT)
    with pytest.raises(WaitTimeoutError):
        storage.wait_many(["a/k"], timeout_s=0)
    assert storage.publish("a/p", b"new") == b"new"
    assert storage.compare_and_save("a/c", b"new", ABSENT)
    assert storage.load_many([*old]) == {"a/p": b"new", "a/c": b"new"}


def test_a_version_that_has_expired_is_no_version(dynamodb_storage: DynamoDBStorage) -> None:
    dynamodb_storage.save("k", b"1")
    _, version = dynamodb_storage.load_version("k")
    assert table_of(dynamodb_storage, expiry_s=-1).compare_and_save("k", b"2", version)
    client, key = dynamodb_storage._client, {"key": {"S": "k"}}
    item = client.get_item(TableName=dynamodb_storage.table, Key=key)["Item"]
    expired = type(version)(item["version"]["S"])
    assert not dynamodb_storage.compare_and_save("k", b"3", expired)


# --- a service that completes only a part of a batch ----------------------------------------


def test_what_a_batch_left_over_is_sent_again(dynamodb_storage: DynamoDBStorage) -> None:
    halve_batches(dynamodb_storage)
    values = {f"k/{number}": str(number).encode() for number in range(60)}
    dynamodb_storage.save_many(values)
    assert dynamodb_storage.load_many([*values]) == values
    assert dynamodb_storage.find_many([*values]) == set(values)
    dynamodb_storage.delete_many([*values])
    assert [*dynamodb_storage.list("")] == []


def halve_batches(storage: DynamoDBStorage) -> None:
    """Make the service complete half of every batch and return the rest, as under load."""

    def halve(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        asked = params["RequestItems"][storage.table]
        items = asked["Keys"] if isinstance(asked, dict) else asked
        done, rest = items[: (len(items) + 1) // 2], items[(len(items) + 1) // 2 :]
        if isinstance(asked, dict):
            done, rest = asked | {"Keys": done}, rest and asked | {"Keys": rest}
        params["RequestItems"] = {storage.table: done}
        context["rest"] = {storage.table: rest} if rest else {}

    def return_rest(parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        parsed["UnprocessedKeys" if "Responses" in parsed else "UnprocessedItems"] = context["rest"]

    for operation in ("BatchWriteItem", "BatchGetItem"):
        on(storage, f"before-parameter-build.dynamodb.{operation}", halve)
        on(storage, f"after-call.dynamodb.{operation}", return_rest)


def test_a_service_that_does_nothing_for_long_is_unavailable(
    dynamodb_storage: DynamoDBStorage,
) -> None:
    storage = dynamodb_storage
    storage.idle_rounds = 3
    rounds: list[dict[str, Any]] = []

    def return_all(parsed: dict[str, Any], **_: Any) -> None:
        rounds.append(parsed)
        parsed["UnprocessedItems"] = {
            storage.table: [{"DeleteRequest": {"Key": {"key": {"S": "k"}}}}]
        }

    on(storage, "after-call.dynamodb.BatchWriteItem", return_all)
    with pytest.raises(StorageUnavailableError, match="refuses 1 of 1 items"):
        storage.delete("k")
    assert len(rounds) == 3


@pytest.mark.parametrize("write", ["publish", "compare_and_save"])
def test_a_write_whose_answer_was_lost_is_known_to_have_counted(
    dynamodb_storage: DynamoDBStorage, write: str
) -> None:
    storage = dynamodb_storage
    lost: list[AWSResponse] = []
    network = URLLib3Session()

    def lose_the_first_answer(request: Any, **_: Any) -> Any:
        if lost:
            return None
        lost.append(network.send(request))
        return answer(500, "InternalServerError")

    on(storage, "before-send.dynamodb.PutItem", lose_the_first_answer)
    if write == "publish":
        assert storage.publish("k", b"mine") == b"mine"
    else:
        assert storage.compare_and_save("k", b"mine", ABSENT)
    assert lost[0].status_code == 200
    assert storage.load("k") == b"mine"


# --- errors ---------------------------------------------------------------------------------


def answer(status: int, code: str) -> AWSResponse:
    """Return an error in the service's form."""
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no"})
    raw = SimpleNamespace(stream=lambda **_: iter([body.encode()]))
    return AWSResponse("http://127.0.0.1", status, HTTPHeaders(), raw)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "ProvisionedThroughputExceededException", StorageUnavailableError),
        (400, "ThrottlingException", StorageUnavailableError),
        (400, "RequestLimitExceeded", StorageUnavailableError),
        (500, "InternalServerError", StorageUnavailableError),
        (503, "ServiceUnavailable", StorageUnavailableError),
        (400, "AccessDeniedException", StorageDeniedError),
        (400, "UnrecognizedClientException", StorageDeniedError),
        (400, "ValidationException", StorageError),
    ],
)
def test_errors_of_the_service_become_those_of_the_contract(
    aws_endpoint: str, status: int, code: str, expected: type[StorageError]
) -> None:
    client = aws_client("dynamodb", aws_endpoint, retries={"total_max_attempts": 1})
    storage = DynamoDBStorage("table", client)
    on(storage, "before-send.dynamodb", lambda **_: answer(status, code))
    for attempt in attempts_on(storage):
        with pytest.raises(expected, match=f"DynamoDB at (k|table): .*{code}") as caught:
            attempt()
        assert type(caught.value) is expected


def test_a_table_that_does_not_exist_is_an_error_of_its_own(aws_endpoint: str) -> None:
    storage = DynamoDBStorage("no-such-table", aws_client("dynamodb", aws_endpoint))
    for attempt in attempts_on(storage):
        with pytest.raises(StorageError, match="ResourceNotFoundException"):
            attempt()


def test_a_service_that_does_not_answer_is_unavailable() -> None:
    # The discard port: nothing listens.
    client = aws_client("dynamodb", "http://127.0.0.1:9", retries={"total_max_attempts": 1})
    for attempt in attempts_on(DynamoDBStorage("table", client)):
        with pytest.raises(StorageUnavailableError, match=r"DynamoDB at (k|table)"):
            attempt()


def attempts_on(storage: DynamoDBStorage) -> list[Callable[[], object]]:
    return [
        lambda: storage.save("k", b"1"),
        lambda: storage.load_many(["k"]),
        lambda: storage.delete("k"),
        lambda: storage.publish("k", b"1"),
        lambda: storage.compare_and_save("k", b"1", ABSENT),
        lambda: [*storage.list("k")],
    ]
