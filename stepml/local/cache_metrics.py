"""CloudWatch's metrics of caches, which are measured when somebody asks CloudWatch for them."""

from __future__ import annotations

from typing import Any

from moto.cloudwatch.models import MetricDatum
from moto.core.common_models import CloudWatchMetricProvider
from moto.core.utils import utcnow

from stepml.local.caches import Caches
from stepml.local_identity import ACCOUNT_ID, REGION

NAMESPACE, CLUSTER = "AWS/ElastiCache", "CacheClusterId"


def cache_metrics(caches: Caches) -> type[CloudWatchMetricProvider]:
    """Return the provider of the metrics of ``caches``; moto finds it by its base class.

    A cache here is no cluster of ElastiCache: its id is its address.
    """

    class Provider(CloudWatchMetricProvider):
        @staticmethod
        def get_cloudwatch_metrics(account_id: str, region: str) -> list[Any]:
            if (account_id, region) != (ACCOUNT_ID, REGION):
                return []
            return [
                _datum(address, name, value)
                for address, counts in caches.counts().items()
                for name, value in counts.items()
            ]

    return Provider


def _datum(address: str, name: str, value: int) -> MetricDatum:
    return MetricDatum(
        namespace=NAMESPACE,
        name=name,
        value=value,
        dimensions=[{"Name": CLUSTER, "Value": address}],
        timestamp=utcnow(),
        unit="Count" if name == "CurrItems" else "Bytes",
    )
