"""AWS's prices: list prices of us-east-1 in US dollars, as of November 2026.

From https://aws.amazon.com/lambda/pricing (x86), https://aws.amazon.com/step-functions/pricing
(Standard Workflows), https://aws.amazon.com/s3/pricing (S3 Standard) and
https://aws.amazon.com/dynamodb/pricing/on-demand. Free tiers and discounts are ignored,
and so are other regions, most of which cost the same or up to a half more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GB_SECOND_USD = 0.0000166667  # of a function's memory
INVOCATION_USD = 0.20e-6
TRANSITION_USD = 0.025e-3
PUT_USD = 0.005e-3  # S3: PUT, COPY, POST and LIST
GET_USD = 0.0004e-3  # S3: GET, HEAD and all others but DELETE, which is free
WRITE_UNIT_USD = 0.625e-6  # DynamoDB on demand: 1 KB of an item
READ_UNIT_USD = 0.125e-6  # 4 KB of an item, read consistently

WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices of a storage service that charges by the request."""

    write_usd: float  # per unit
    read_usd: float  # per unit
    write_unit_bytes: int | None = None  # of a written value; None: any value is one unit
    read_unit_bytes: int | None = None  # of a read value; None: any value is one unit
    overhead_bytes: int = 0  # counted for each value beside its key and data
    charges_deletions: bool = False  # like writes of the deleted value

    def write_units(self, n_bytes: int) -> int:
        """Return the units of a written value."""
        return units(n_bytes, self.write_unit_bytes or n_bytes)

    def read_units(self, n_bytes: int) -> int:
        """Return the units of a read value; an absent one counts as 0 bytes."""
        return units(n_bytes, self.read_unit_bytes or n_bytes)


def function_usd(seconds: float, memory_mb: int) -> float:
    """Return the price of one invocation; Lambda charges for each millisecond that has begun."""
    # A measured time in whole milliseconds must not become one more by its last bit.
    milliseconds = math.ceil(round(1000 * seconds, 6))
    return INVOCATION_USD + milliseconds / 1000 * memory_mb / 1024 * GB_SECOND_USD


def units(n_bytes: int, unit_bytes: int) -> int:
    """Return the number of units that hold ``n_bytes``, at least 1."""
    return max(1, -(-n_bytes // max(1, unit_bytes)))


S3_TARIFF = Tariff(PUT_USD, GET_USD)
DYNAMODB_TARIFF = Tariff(
    WRITE_UNIT_USD,
    READ_UNIT_USD,
    WRITE_UNIT_BYTES,
    READ_UNIT_BYTES,
    overhead_bytes=46,  # the attributes' names, the version and the time of expiry
    charges_deletions=True,
)

# What exists costs money by the hour, whether or not it is used.
# From https://aws.amazon.com/elasticache/pricing (Valkey; Memcached costs a quarter more),
# https://aws.amazon.com/ec2/pricing/on-demand, https://aws.amazon.com/privatelink/pricing,
# https://aws.amazon.com/ebs/pricing and https://aws.amazon.com/secrets-manager/pricing.
HOURS_A_MONTH = 730
NODE_USD = {
    "cache.t4g.micro": 0.0128,
    "cache.t4g.small": 0.0256,
    "cache.m7g.large": 0.1264,
}
MEMCACHED_FACTOR = 1.25
INSTANCE_USD = {
    "c7i.large": 0.08925,
    "c7i.xlarge": 0.1785,
    "c5.xlarge": 0.170,
    "c5.2xlarge": 0.340,
    "c6i.xlarge": 0.170,
    "c7g.xlarge": 0.145,
}
ENDPOINT_USD = 0.01  # an interface endpoint in one zone
DISK_GB_MONTH_USD = 0.08  # gp3
SECRET_MONTH_USD = 0.40
