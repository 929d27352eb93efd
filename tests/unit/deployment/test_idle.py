"""The price of servers, which cost money by the hour."""

from __future__ import annotations

import pytest

from stepml.deployment.components import MEMCACHED, REDIS
from stepml.deployment.idle import hourly_usd, monthly_usd
from stepml.job.channels import PARAMETER_SERVER
from stepml.job.prices import HOURS_A_MONTH

TYPES = {
    "RedisNodeType": "cache.t4g.small",
    "MemcachedNodeType": "cache.t4g.small",
    "InstanceType": "c7i.large",
}
SERVERS = (REDIS, MEMCACHED, PARAMETER_SERVER)


def test_an_hour_of_all_servers_is_the_month_divided() -> None:
    months = [monthly_usd(each, TYPES) or 0 for each in SERVERS]
    assert min(months) > 15
    assert float(hourly_usd(SERVERS, TYPES)) == pytest.approx(sum(months) / HOURS_A_MONTH, abs=1e-6)
    assert float(hourly_usd([], TYPES)) == 0


def test_a_server_of_unknown_price_counts_nothing() -> None:
    unknown = TYPES | {"RedisNodeType": "cache.x9.mega"}
    assert monthly_usd(REDIS, unknown) is None
    assert hourly_usd([REDIS, MEMCACHED], unknown) == hourly_usd([MEMCACHED], TYPES)
