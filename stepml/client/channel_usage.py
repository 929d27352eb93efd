"""The channels of a stack, and what is in use of each, as CloudWatch and DynamoDB count it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from stepml.client.connection import Connection, translated
from stepml.client.stack import Stack
from stepml.job.channels import CHANNELS, DURABLE, Channel, channels_of_stack
from stepml.job.errors import StepMLError

_ITEMS, _BYTES = ("CurrItems",), ("BytesUsedForCache", "BytesUsedForCacheItems")
_CACHES, _CLUSTER = "AWS/ElastiCache", "CacheClusterId"
_BUCKETS = "AWS/S3"
_TABLES = "dynamodb"  # the name of the service in boto3
_STARTS = "starts with the first job that uses it"  # on this machine
_DAY_S, _MINUTE_S = 86_400, 60
_DAYS, _MINUTES = timedelta(days=3), timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Usage:
    """The keys and bytes in use of a service.

    Attributes
    ----------
    items : int or None
        Objects, keys or items; None: unknown.
    n_bytes : int or None
    counted_at : datetime or None
        The time of these numbers; None: unknown.
    remark : str
        How old the numbers may be, or why there are none.
    is_up : bool or None
        Whether the service is up, as far as AWS's interfaces tell; None: they do not.
    """

    items: int | None = None
    n_bytes: int | None = None
    counted_at: datetime | None = None
    remark: str = ""
    is_up: bool | None = None


@dataclass(frozen=True, slots=True)
class ChannelUsage:
    """A channel of a stack.

    Attributes
    ----------
    channel : Channel
    place : str
        The name or address of the service; empty: the stack has none.
    usage : Usage
    """

    channel: Channel
    place: str
    usage: Usage

    @property
    def is_configured(self) -> bool:
        """Whether jobs of this stack can use it."""
        return bool(self.place)


def channel_usage(connection: Connection, stack: Stack) -> list[ChannelUsage]:
    """Return all channels that jobs may name, with what is in use of those that the stack has.

    A service that does not answer, or refuses, is said in `Usage.remark`.
    """
    configured = channels_of_stack(stack.parameters)
    return [
        _of_channel(connection, stack, channel)
        if name in configured
        else ChannelUsage(channel, "", Usage())
        for name, channel in CHANNELS.items()
    ]


def _of_channel(connection: Connection, stack: Stack, channel: Channel) -> ChannelUsage:
    if channel.parameter is None:
        place = stack.bucket if channel.name == DURABLE else f"{stack.name}-exchange"
        count = _of_bucket if channel.name == DURABLE else _of_table
        return ChannelUsage(channel, place, _counted(lambda: count(connection, place)))
    address = urlsplit(stack.parameters[channel.parameter].split(",")[0])
    place = f"{address.hostname}:{address.port}"
    if channel.merges:
        return ChannelUsage(channel, place, _of_server(connection))
    return ChannelUsage(channel, place, _counted(lambda: _of_cache(connection, place)))


def _counted(count: Callable[[], Usage]) -> Usage:
    try:
        return count()
    except StepMLError as error:
        return Usage(remark=str(error))


def _of_bucket(connection: Connection, bucket: str) -> Usage:
    sizes = {"StorageType": "StandardStorage", "BucketName": bucket}
    all_types = {**sizes, "StorageType": "AllStorageTypes"}
    found = _newest(
        connection,
        [(_BUCKETS, "NumberOfObjects", all_types), (_BUCKETS, "BucketSizeBytes", sizes)],
        _DAYS,
        _DAY_S,
    )
    age = "" if connection.is_local else ", counted once a day"
    return replace(_usage(found[:1], found[1:], f"of the whole bucket{age}"), counted_at=None)


def _of_table(connection: Connection, table: str) -> Usage:
    with translated(connection.endpoint_url):
        found = connection.client(_TABLES).describe_table(TableName=table)["Table"]
    remark = "" if connection.is_local else "counted every six hours"
    return Usage(found.get("ItemCount"), found.get("TableSizeBytes"), None, remark, True)


def _of_server(connection: Connection) -> Usage:
    """Return the usage of a parameter server, of which AWS knows no numbers."""
    starts = f"{_STARTS}; " if connection.is_local else ""
    return Usage(remark=f"{starts}the server counts at its own /metrics")


def _of_cache(connection: Connection, place: str) -> Usage:
    """Return the usage of a cache's clusters; their ids are in its address, or are it."""
    ids = _clusters(connection, place)
    if not ids and connection.is_local:
        return Usage(remark=_STARTS, is_up=False)
    if not ids:
        return Usage(remark="CloudWatch has no numbers: it is not running, or of another account")
    items, sizes = (
        [(_CACHES, name, {_CLUSTER: each}) for each in ids for name in names]
        for names in (_ITEMS, _BYTES)
    )
    found = _newest(connection, [*items, *sizes], _MINUTES, _MINUTE_S)
    return _usage(found[: len(items)], found[len(items) :], "")


def _clusters(connection: Connection, place: str) -> list[str]:
    labels = {place, *place.partition(":")[0].split(".")}
    pages = connection.client("cloudwatch").get_paginator("list_metrics")
    with translated(connection.endpoint_url):
        found = [
            each["Value"]
            for page in pages.paginate(Namespace=_CACHES, MetricName=_ITEMS[0])
            for metric in page["Metrics"]
            for each in metric["Dimensions"]
            if each["Name"] == _CLUSTER
        ]
    # The nodes of a replication group have its id and numbers: cache-001, cache-0001-001.
    return sorted({each for each in found if labels & {each, *_stems(each)}})


def _stems(cluster: str) -> Iterable[str]:
    stem, _, number = cluster.rpartition("-")
    while number.isdecimal() and stem:
        yield stem
        stem, _, number = stem.rpartition("-")


Metric = tuple[str, str, Mapping[str, str]]  # namespace, name and dimensions
Point = tuple[datetime, float]


def _newest(
    connection: Connection, metrics: list[Metric], since: timedelta, period_s: int
) -> list[Point | None]:
    """Return the newest value of each metric."""
    queries = [_query(f"m{at}", each, period_s) for at, each in enumerate(metrics)]
    now = datetime.now(UTC)
    with translated(connection.endpoint_url):
        answer = connection.client("cloudwatch").get_metric_data(
            MetricDataQueries=queries,
            StartTime=now - since,
            EndTime=now + timedelta(seconds=_MINUTE_S),
            ScanBy="TimestampDescending",
        )
    found = {each["Id"]: each for each in answer["MetricDataResults"] if each["Values"]}
    return [
        (found[name]["Timestamps"][0], found[name]["Values"][0]) if name in found else None
        for name in (f"m{at}" for at in range(len(metrics)))
    ]


def _query(name: str, metric: Metric, period_s: int) -> dict[str, Any]:
    namespace, metric_name, dimensions = metric
    named = {
        "Namespace": namespace,
        "MetricName": metric_name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }
    return {"Id": name, "MetricStat": {"Metric": named, "Period": period_s, "Stat": "Maximum"}}


def _usage(items: list[Point | None], sizes: list[Point | None], remark: str) -> Usage:
    known = [each for each in (*items, *sizes) if each is not None]
    if not known:
        return Usage(remark="CloudWatch has no numbers yet")
    return Usage(_sum(items), _sum(sizes), max(time for time, _ in known), remark, True)


def _sum(points: list[Point | None]) -> int | None:
    values = [value for _, value in filter(None, points)]
    return int(sum(values)) if values else None
