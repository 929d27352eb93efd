"""Amazon DynamoDB: a channel without servers, for models of up to some megabytes.

Three layers repeat requests, each for failures that the others cannot see. boto3 repeats a request
that is refused or gets no answer, `list` and `compare_and_save` included. `_until_done` sends again
the items that an answer lists as unprocessed, which boto3 takes for success. When both give up,
`RetryingStorage` starts the whole operation again: a new table can throttle for tens of seconds,
and between the attempts a waiting rank checks whether it should go on.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stepml.job.errors import StorageDeniedError, StorageError, StorageUnavailableError
from storage.base import ABSENT, Buffer, Storage, Version, backoff
from storage.parallel import PARALLEL, at_once

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
R = TypeVar("R")
Item = dict[str, Any]  # attribute values as the service writes them: {"key": {"S": "jobs/…"}, …}

WRITE_BATCH = 25  # BatchWriteItem takes at most 25 items
# Of the values of a request, of which several are under way: each takes many times that as JSON.
BATCH_BYTES = 1_600_000
_NAMES = {"#k": "key", "#d": "data", "#v": "version", "#e": "expires_at"}  # some are reserved words
_IS_ABSENT = "(attribute_not_exists(#k) OR #e <= :now)"
_IS_AT_VERSION = "#v = :v AND #e > :now"
_DENIED = {"AccessDeniedException", "UnrecognizedClientException"}
_BUSY = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "LimitExceededException",
}


class DynamoDBStorage(Storage):
    """The items of one table, which expire.

    An item has a ``key`` (the partition key, a string), its ``data`` (binary), a ``version`` (new
    with every write), and ``expires_at`` (seconds since 1970, the table's TTL attribute). An
    expired item counts as absent at once; the service deletes it within days.

    `list` and `clear` read the whole table, whatever the prefix, and are charged for it.

    Parameters
    ----------
    table : str
    client : DynamoDBClient, optional
        A boto3 client. The default is made from the environment and has time-outs.
    expiry_s : int, default 86400
        Seconds from the last write of a value until it expires.
    """

    # DynamoDB items hold at most 400 KB (409,600 bytes), attribute names and all values included.
    max_value_bytes = 400_000
    block_bytes = max_value_bytes
    read_batch = 40  # of at most 100 keys a BatchGetItem: 40 of the largest items fill its 16 MB
    idle_rounds = 12  # answers in a row without progress: 8 seconds

    def __init__(
        self, table: str, client: DynamoDBClient | None = None, expiry_s: int = 86400
    ) -> None:
        self.table = table
        self.expiry_s = expiry_s
        self._client = client or default_client()

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        self.require_size(*values.values())

        def save(batch: Sequence[str]) -> None:
            items = [self._item(key, values[key]) for key in batch]
            self._write([{"PutRequest": {"Item": item}} for item in items])

        self._at_once(save, _batches(values, WRITE_BATCH))

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        return {key: item["data"]["B"] for key, item in self._read(keys, "#k, #d, #e").items()}

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        def load(batch: Sequence[str]) -> set[str]:
            return Storage.load_into(self, {key: targets[key] for key in batch})

        return set().union(*self._at_once(load, _batches(targets, self.read_batch)))

    def find_many(self, keys: Sequence[str]) -> set[str]:
        return {*self._read(keys, "#k, #e")}

    def delete_many(self, keys: Sequence[str]) -> None:
        def delete(batch: Sequence[str]) -> None:
            self._write([{"DeleteRequest": {"Key": _key(key)}} for key in batch])

        self._at_once(delete, _cut([*dict.fromkeys(keys)], WRITE_BATCH))

    def list(self, prefix: str) -> Iterator[str]:
        condition, values = "#e > :now", {":now": _now()}
        if prefix:
            condition, values = condition + " AND begins_with(#k, :p)", values | {":p": _s(prefix)}
        pages = self._client.get_paginator("scan").paginate(
            TableName=self.table,
            ConsistentRead=True,
            FilterExpression=condition,
            ProjectionExpression="#k",
            ExpressionAttributeNames=_used(condition, "#k"),
            ExpressionAttributeValues=values,
        )
        with _translated(prefix):
            for page in pages:
                yield from (item["key"]["S"] for item in page["Items"])

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        self.require_size(*values.values())
        firsts = at_once(lambda value: self._put_if(self._item(*value), _IS_ABSENT), values.items())
        return {
            key: data if first is None else cast("Buffer", first["data"]["B"])
            for (key, data), first in zip(values.items(), firsts, strict=True)
        }

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        item = self._read([key], "#k, #d, #v, #e").get(key)
        if item is None:
            return None, ABSENT
        return item["data"]["B"], Version(item["version"]["S"])

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        self.require_size(data)
        item = self._item(key, data)
        if version.token is None:
            return self._put_if(item, _IS_ABSENT) is None
        return self._put_if(item, _IS_AT_VERSION, version.token) is None

    def close(self) -> None:
        self._client.close()

    def _item(self, key: str, data: Buffer) -> Item:
        return {
            **_key(key),
            "data": {"B": bytes(data) if isinstance(data, memoryview) else data},
            "version": _s(secrets.token_hex(8)),
            "expires_at": {"N": str(math.ceil(time.time() + self.expiry_s))},
        }

    def _put_if(self, item: Item, condition: str, version: str | None = None) -> Item | None:
        """Write ``item`` if the condition holds; otherwise return the stored item."""
        values = {":now": _now()} | ({} if version is None else {":v": _s(version)})
        key = item["key"]["S"]
        try:
            with _translated(key):
                self._client.put_item(
                    TableName=self.table,
                    Item=item,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=_used(condition),
                    ExpressionAttributeValues=values,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except _ConditionFailedError as error:
            # If an answer was lost, boto3's second attempt finds our own write.
            return None if error.item.get("version") == item["version"] else error.item
        return None

    def _read(self, keys: Sequence[str], projection: str) -> dict[str, Item]:
        found: dict[str, Item] = {}

        def get(batch: Sequence[Item]) -> Sequence[Item]:
            asked: Any = {
                "Keys": batch,
                "ConsistentRead": True,
                "ProjectionExpression": projection,
                "ExpressionAttributeNames": _used(projection),
            }
            answer: Any = self._client.batch_get_item(RequestItems={self.table: asked})
            now = time.time()
            for item in answer["Responses"].get(self.table, []):
                if int(item["expires_at"]["N"]) > now:
                    found[item["key"]["S"]] = item
            left: Sequence[Item] = answer["UnprocessedKeys"].get(self.table, {}).get("Keys", [])
            return left

        wanted = [_key(key) for key in dict.fromkeys(keys)]
        self._at_once(lambda batch: self._until_done(get, batch), _cut(wanted, self.read_batch))
        return found

    def _write(self, requests: Sequence[Item]) -> None:
        def write(batch: Sequence[Any]) -> Sequence[Any]:
            answer = self._client.batch_write_item(RequestItems={self.table: batch})
            return answer["UnprocessedItems"].get(self.table, [])

        self._until_done(write, requests)

    def _at_once(self, call: Callable[[T], R], batches: Sequence[T]) -> Sequence[R]:
        with _translated(self.table):
            return at_once(call, batches)

    def _until_done(self, call: Callable[[Sequence[T]], Sequence[T]], batch: Sequence[T]) -> None:
        """Pass the items of a batch to ``call``, and again those that it returns as left."""
        delays, idle_rounds = backoff(start_s=0.05, most_s=2.0), 0
        while left := call(batch):
            if len(left) < len(batch):
                delays, idle_rounds = backoff(start_s=0.05, most_s=2.0), 0
            elif (idle_rounds := idle_rounds + 1) == self.idle_rounds:
                raise StorageUnavailableError(f"DynamoDB refuses {len(left)} of {len(batch)} items")
            batch = left
            time.sleep(next(delays))


class _ConditionFailedError(StorageError):
    """The condition of a conditional write does not hold."""

    def __init__(self, key: str, item: Item) -> None:
        super().__init__(key)
        self.item = item


def open_storage(table: str, environment: Mapping[str, str]) -> DynamoDBStorage:
    """Open the table of this deployment."""
    return DynamoDBStorage(table)


def default_client() -> DynamoDBClient:
    """Return a client with time-outs: five attempts of at most half a minute."""
    return boto3.client(
        "dynamodb",
        config=Config(
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=2 * PARALLEL,
            retries={"mode": "standard", "total_max_attempts": 5},
        ),
    )


def _batches(values: Mapping[str, Buffer], most: int) -> list[list[str]]:
    """Return the keys in batches of at most ``most``, whose values have `BATCH_BYTES`."""
    batches: list[list[str]] = []
    room = 0
    for key, value in values.items():
        if not batches or len(value) > room or len(batches[-1]) == most:
            batches.append([])
            room = BATCH_BYTES
        batches[-1].append(key)
        room -= len(value)
    return batches


def _cut(items: Sequence[T], most: int) -> list[Sequence[T]]:
    return [items[start : start + most] for start in range(0, len(items), most)]


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Translate errors of boto3 into those of `Storage`."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalCheckFailedException":
            raise _ConditionFailedError(key, cast("Any", error.response).get("Item", {})) from error
        if code in _DENIED:
            raise StorageDeniedError(f"DynamoDB at {key}: {error}") from error
        if code in _BUSY or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            raise StorageUnavailableError(f"DynamoDB at {key}: {error}") from error
        raise StorageError(f"DynamoDB at {key}: {error}") from error
    except BotoCoreError as error:  # no connection, a time-out, a broken body
        raise StorageUnavailableError(f"DynamoDB at {key}: {error}") from error


def _key(key: str) -> Item:
    return {"key": _s(key)}


def _s(text: str) -> Item:
    return {"S": text}


def _now() -> Item:
    return {"N": str(int(time.time()))}


def _used(*expressions: str) -> dict[str, str]:
    """Return the attribute names in the expressions; DynamoDB refuses unused ones."""
    return {name: _NAMES[name] for name in _NAMES if any(name in text for text in expressions)}
