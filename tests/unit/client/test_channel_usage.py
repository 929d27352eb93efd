"""The channels of a stack say what they have, or why they cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stepml.client import Client
from stepml.client.channel_usage import ChannelUsage, channel_usage
from stepml.client.connection import Connection
from stepml.job.channels import CHANNELS, DURABLE
from tests.support.moto_stack import MotoStack

CACHES = [name for name, each in CHANNELS.items() if each.parameter and not each.merges]


def usage(client: Client, **urls: str) -> dict[str, ChannelUsage]:
    parameters = {str(CHANNELS[name].parameter): url for name, url in urls.items()}
    stack = replace(client.stack, parameters=parameters)
    return {each.channel.name: each for each in channel_usage(client.connection, stack)}


def put(stack: MotoStack, cluster: str, name: str, value: float) -> None:
    dimensions = [{"Name": "CacheClusterId", "Value": cluster}]
    stack.service("cloudwatch").put_metric_data(
        Namespace="AWS/ElastiCache",
        MetricData=[{"MetricName": name, "Dimensions": dimensions, "Value": value}],
    )


def test_what_the_stack_lacks_is_there_without_numbers(stack: MotoStack) -> None:
    found = usage(stack.client())
    assert list(found) == list(CHANNELS)
    for name in CACHES:
        assert not found[name].is_configured
        assert found[name].usage.items is None


def test_the_bucket_of_the_stack_is_counted(stack: MotoStack) -> None:
    stack.put("data/counted-by-cloudwatch.csv", b"x")
    own = usage(stack.client())[DURABLE]
    assert own.place == stack.client().stack.bucket
    assert own.usage.items is not None
    assert own.usage.items >= 1


def test_a_service_that_refuses_is_said_and_others_are_counted(stack: MotoStack) -> None:
    found = usage(stack.client())  # this stack has no table
    refusals = [each.usage.remark for each in found.values() if "not found" in each.usage.remark]
    assert refusals
    assert found[DURABLE].usage.items is not None


@pytest.mark.parametrize("name", CACHES)
@pytest.mark.parametrize(
    ("host", "clusters"),
    [
        ("master.own-cache.abc123.use1.cache.amazonaws.com", ["own-cache-001"]),
        (
            "clustercfg.own-set.abc.use1.cache.amazonaws.com",
            ["own-set-0001-001", "own-set-0002-001"],
        ),
        ("own-nodes.abc123.cfg.use1.cache.amazonaws.com", ["own-nodes"]),
        ("127.0.0.1", ["127.0.0.1:6379"]),
    ],
)
def test_a_cache_is_known_by_its_address(
    stack: MotoStack, name: str, host: str, clusters: list[str]
) -> None:
    for each in (*clusters, "other-001", "own-001"):
        put(stack, each, "CurrItems", 3)
        put(stack, each, "BytesUsedForCache", 40)
    found = usage(stack.client(), **{name: f"rediss://stepml@{host}:6379"})[name]
    assert found.place == f"{host}:6379"  # without the user
    assert (found.usage.items, found.usage.n_bytes) == (3 * len(clusters), 40 * len(clusters))
    assert found.usage.is_up


@pytest.mark.parametrize(
    ("is_local", "is_up", "remark"), [(True, False, "first job"), (False, None, "no numbers")]
)
def test_a_cache_without_numbers_says_so(
    stack: MotoStack,
    monkeypatch: pytest.MonkeyPatch,
    is_local: bool,
    is_up: bool | None,
    remark: str,
) -> None:
    client = stack.client()
    monkeypatch.setattr(Connection, "is_local", property(lambda _: is_local))
    found = usage(client, **{CACHES[0]: "redis://unknown.example.org:6379"})[CACHES[0]]
    assert (found.usage.items, found.usage.is_up) == (None, is_up)
    assert remark in found.usage.remark


@pytest.mark.parametrize("name", [name for name, each in CHANNELS.items() if each.merges])
def test_nothing_of_aws_knows_whether_a_server_that_merges_is_up(
    stack: MotoStack, name: str
) -> None:
    found = usage(stack.client(), **{name: "thrift://own.example.org:9090"})[name]
    assert found.usage.is_up is None
